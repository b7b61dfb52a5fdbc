"""What `psastream up` refuses before it starts anything."""

import asyncio
from pathlib import Path

import pytest

from psastream.check.files import Files
from psastream.up import UpOptions, run_up
from schemas.errors import ConfigError

DATABASE = Path(__file__).parents[3] / "connectors/vendors/inhouse/connector.json"


def test_a_part_that_would_have_to_sign_in_is_not_started(tmp_path: Path) -> None:
    environment = {
        "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "PSASTREAM_KAFKA_SECURITY_PROTOCOL": "SSL",
    }
    options = UpOptions(tmp_path, Files((), (), (DATABASE,)), has_read_model=False)
    with pytest.raises(ConfigError) as caught:
        asyncio.run(run_up(options, environment))
    assert "PSASTREAM_REGISTRY_URL, PSASTREAM_CONNECT_URL" in caught.value.hint
    named = environment | {"PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1"}
    with pytest.raises(ConfigError) as caught:
        asyncio.run(run_up(options, named))
    assert caught.value.hint.endswith("name your own: PSASTREAM_CONNECT_URL")


def test_connectors_that_strimzi_keeps_are_not_written(tmp_path: Path) -> None:
    environment = {"PSASTREAM_CONNECTOR_OWNER": "strimzi"}
    options = UpOptions(tmp_path, Files((), (), (DATABASE,)), has_read_model=False)
    with pytest.raises(ConfigError, match="Strimzi keeps the connectors"):
        asyncio.run(run_up(options, environment))
