"""What a worker does unless told otherwise, and what it cannot be told."""

from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import ValidationError

from streams.engine import EngineSettings

MIB: Final = 1_048_576


def settings_of(**changes: Any) -> EngineSettings:
    return EngineSettings(
        app_id="a", bootstrap_servers="unused:1", state_dir=Path("unused"), **changes
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_chunk_records", 50_000),
        ("fetch_max_bytes", 8 * MIB),
        ("in_flight_max_bytes", 402_653_184),
        ("fetch_interval_s", 0.05),
        ("commit_interval_s", 0.045),
        ("handler_threads", 4),
        ("batch_max_bytes", 900_000),
        ("reach_timeout_s", 8),
        ("session_timeout_s", 30),
        ("heartbeat_interval_s", 3),
        ("request_timeout_s", 40),
        ("max_poll_interval_s", 300),
        ("metadata_max_age_s", 10),
        ("topic_check_interval_s", 30),
        ("transaction_timeout_s", 20),
        ("commit_timeout_s", 15),
        ("commit_attempts", 5),
        ("recovery_timeout_s", 1_800),
        ("halt_timeout_s", 10),
        ("retry_backoff_s", 0.5),
        ("retry_backoff_max_s", 15),
        ("stall_timeout_s", 600),
        ("dead_letter_run_max", 1_000),
        ("dead_letter_ratio_max", 0.5),
        ("allow_state_gap", False),
        ("local_state_max_age_s", 43_200),
        ("rocksdb_block_cache_bytes", 16 * MIB),
        ("rocksdb_write_buffer_bytes", 16 * MIB),
        ("buffer_max_bytes", 134_217_728),
        ("chunks_max_bytes", 268_435_456),
    ],
)
def test_a_worker_has_these_bounds_unless_told_otherwise(name: str, value: float) -> None:
    settings = settings_of()
    assert settings.buffer_max_bytes + settings.chunks_max_bytes == settings.in_flight_max_bytes
    assert getattr(settings, name) == value


@pytest.mark.parametrize(
    ("name", "least", "below"),
    [
        ("app_id", "a", ""),
        ("max_chunk_records", 1, 0),
        ("fetch_max_bytes", 1024, 1023),
        ("in_flight_max_bytes", 3, 2),
        ("fetch_interval_s", 0.0, -0.5),
        ("commit_interval_s", 0.0, -0.5),
        ("handler_threads", 1, 0),
        ("batch_max_bytes", 1024, 1023),
        ("commit_attempts", 2, 1),
        ("dead_letter_run_max", 0, -1),
        ("dead_letter_ratio_max", 0.0, -0.5),
        ("dead_letter_ratio_max", 1.0, 1.5),
    ],
)
def test_a_bound_that_stops_all_work_is_refused(name: str, least: object, below: object) -> None:
    known = settings_of().model_dump()
    settings = EngineSettings(**known | {name: least})
    assert getattr(settings, name) == least
    assert 0 < settings.buffer_max_bytes < settings.chunks_max_bytes
    with pytest.raises(ValidationError, match=name):
        EngineSettings(**known | {name: below})
