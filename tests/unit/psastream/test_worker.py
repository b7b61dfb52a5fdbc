"""Which agent groups a worker runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from psastream import worker
from runtime.settings import Settings
from schemas.errors import ConfigError
from streams.engine import NoInstruments, create_app
from streams.groups import make_groups
from tables.measures.own import load_measure
from tests.support.catalogue import LANDSCAPE
from tests.support.topology import FixedRegistry

SETTINGS = Settings.from_env(
    {"PSASTREAM_BOOTSTRAP_SERVERS": "b:9092", "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1"}
)
ENTRIES = """
-- name: entries_of_status
-- key: status
-- sums: entries
-- unit: entries
-- period: none
SELECT status, COUNT(*) AS entries FROM time_entry GROUP BY status
"""


def test_a_measure_counts_what_tables_read_in_a_consumer_group_of_its_own(tmp_path: Path) -> None:
    measure, registry = load_measure(ENTRIES, "a.sql"), FixedRegistry()
    registry.add_topic(measure.topic)
    groups = make_groups([], registry, LANDSCAPE, [measure])
    settings = SETTINGS.model_copy(update={"data_dir": tmp_path})
    ran = []
    for app_id in worker.APP_IDS:
        mine = worker.groups_of(app_id, groups)
        # Refuses topics that two groups read, since a consumer group has one position in each.
        create_app(worker.engine_settings(settings, app_id), mine, NoInstruments())
        ran.append([group.name for group in mine])
    assert ran == [["normalize", "customer", "engagement", "project", "rollup"], ["measures"]]


def test_a_worker_of_measures_says_that_there_are_none() -> None:
    with pytest.raises(ConfigError, match="no measure") as raised:
        worker.run_worker(SETTINGS, worker.MEASURES_APP_ID)
    assert "PSASTREAM_MEASURES" in raised.value.hint
