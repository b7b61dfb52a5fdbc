"""Copies of topics as files: ids of another registry, and what is no whole copy."""

from __future__ import annotations

from pathlib import Path

import fastavro
import pytest

from psastream.topic_files import _RECORD, SCHEMAS, _rows, load_topics, save_topics
from runtime.settings import Settings
from schemas.errors import ConfigError

TOPIC = "psa.command_intent"
NOWHERE = Settings.from_env(
    {"PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:9", "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:9"}
)


def framed(schema_id: int, body: bytes = b"body") -> bytes:
    return b"\0" + schema_id.to_bytes(4) + body


def write(folder: Path, *values: bytes | None) -> Path:
    path = folder / f"{TOPIC}.avro"
    rows = [
        {"partition": 3, "timestamp_ms": 5, "key": framed(1, b"k"), "value": value}
        for value in values
    ]
    with path.open("wb") as file:
        fastavro.writer(file, _RECORD, rows, codec="deflate")
    return path


def test_records_get_the_ids_of_the_registry_of_now(tmp_path: Path) -> None:
    path = write(tmp_path, framed(7), None)
    ids = {f"{TOPIC}-key": {1: 40_000}, f"{TOPIC}-value": {7: 2}}
    assert list(_rows(path, TOPIC, ids)) == [
        {"partition": 3, "timestamp_ms": 5, "key": framed(40_000, b"k"), "value": framed(2)},
        {"partition": 3, "timestamp_ms": 5, "key": framed(40_000, b"k"), "value": None},
    ]


def test_a_damaged_copy_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, framed(7))
    with pytest.raises(ConfigError, match="the copy cannot be read"):
        list(_rows(path, TOPIC, {f"{TOPIC}-key": {1: 1}, f"{TOPIC}-value": {}}))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ConfigError, match="the copy cannot be read"):
        list(_rows(path, TOPIC, {f"{TOPIC}-key": {1: 1}, f"{TOPIC}-value": {7: 7}}))


def test_a_folder_that_is_no_whole_copy_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    for text in (None, "{"):
        if text is not None:
            (tmp_path / SCHEMAS).write_text(text)
        with pytest.raises(ConfigError, match="no whole copy"):
            load_topics(NOWHERE, tmp_path)


def test_each_copy_has_a_folder_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the folder cannot be made"):
        save_topics(NOWHERE, tmp_path)
