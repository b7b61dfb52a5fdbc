"""Files of an export: exact values, a manifest, and nothing half-written."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from psastream.query.export import Format, write_files, write_manifest
from psastream.query.exported import ExportedTables
from psastream.query.reading import Offsets
from psastream.query.session import Session, dtypes_of
from psastream.query.views import packaged_views
from schemas.errors import ConfigError
from tests.support.catalogue import BY_NAME, CATALOGUE

TOPIC = "psa.metric.pipeline_health"
AMOUNT = Decimal("12345678901234567890123456789012.000001")


def load(names: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    if TOPIC in names:
        empty = pl.DataFrame(schema=dtypes_of(BY_NAME[TOPIC]))
        rows = pl.DataFrame(
            {"stage": ["won", "it's", ""], "amount": [AMOUNT, None, Decimal(1)]},
            {"stage": pl.String, "amount": pl.Decimal(38, 6)},
        )
        yield TOPIC, pl.concat([empty, rows], how="diagonal")


@pytest.fixture(scope="module")
def session() -> Session:
    session = Session(CATALOGUE, packaged_views(), load, is_locked=False)
    session.load([TOPIC])
    return session


def test_parquet_keeps_every_digit_and_csv_all_of_them_as_text(
    session: Session, tmp_path: Path
) -> None:
    said = write_files(session, tmp_path / "it's new", Format.PARQUET)
    assert {each["name"] for each in said} == {*session.views, *session.topics}
    [pipeline] = [each for each in said if each["name"] == "pipeline"]
    assert (pipeline["file"], pipeline["rows"]) == ("pipeline.parquet", 3)
    assert {"name": "amount", "type": "DECIMAL(38,6)"} in pipeline["columns"]
    frame = pl.read_parquet(tmp_path / "it's new" / "pipeline.parquet").sort("stage")
    assert frame.schema["amount"] == pl.Decimal(38, 6)
    assert frame["amount"].to_list() == [Decimal(1), None, AMOUNT]
    table = pl.read_parquet(tmp_path / "it's new" / f"{TOPIC}.parquet")
    assert sorted(table["stage"].to_list()) == ["", "it's", "won"]
    write_files(session, tmp_path, Format.CSV)
    with (tmp_path / "pipeline.csv").open() as file:
        found = {row["stage"]: row["amount"] for row in csv.DictReader(file)}
    assert found == {"won": str(AMOUNT), "it's": "", "": "1.000000"}


def test_the_manifest_says_what_is_there_and_up_to_where(session: Session, tmp_path: Path) -> None:
    files = write_files(session, tmp_path, Format.CSV)
    write_manifest(tmp_path, files, [Offsets(TOPIC, {0: 7, 1: 9})], Format.CSV)
    said = json.loads((tmp_path / "manifest.json").read_text())
    assert said["offsets"] == {TOPIC: {"0": 7, "1": 9}}
    assert said["format"] == "csv"
    assert {each["file"] for each in said["files"]} | {"manifest.json"} == {
        path.name for path in tmp_path.iterdir()
    }


def test_where_one_file_cannot_be_written_none_is_replaced(
    session: Session, tmp_path: Path
) -> None:
    (tmp_path / "pipeline.csv").write_text("of yesterday")
    in_the_way = tmp_path / f".psa.status.billing.{os.getpid()}.part"
    in_the_way.mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_files(session, tmp_path, Format.CSV)
    assert (tmp_path / "pipeline.csv").read_text() == "of yesterday"
    assert {path.name for path in tmp_path.iterdir()} == {"pipeline.csv", in_the_way.name}


def test_a_folder_that_is_a_file_is_told(session: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_files(session, tmp_path / "file", Format.CSV)


def test_an_export_is_asked_as_the_topics_are(session: Session, tmp_path: Path) -> None:
    files = write_files(session, tmp_path, Format.PARQUET)
    write_manifest(tmp_path, files, [], Format.PARQUET)
    tables = ExportedTables(tmp_path)
    asked = Session((), (), tables, files=tables.columns())
    for each in [*session.views, *session.topics]:
        assert asked.columns_of(each) == session.columns_of(each)
    query = "SELECT amount FROM pipeline WHERE stage != '' ORDER BY amount NULLS FIRST"
    assert list(asked.ask(query).rows) == [(None,), (AMOUNT,)]
    assert list(asked.ask("SELECT count(*) FROM all_commands").rows) == [(0,)]
    shown = dict(asked.ask("SHOW TABLES").rows)
    assert (shown["pipeline"], shown[TOPIC]) == ("view", "topic")
    with pytest.raises(ConfigError, match=r"no view or table pipelin; did you mean pipeline\?"):
        asked.ask("FROM pipelin")
    (tmp_path / "people.parquet").write_bytes(b"cut")
    with pytest.raises(ConfigError, match=r"people\.parquet cannot be read"):
        list(asked.ask("FROM people").rows)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (None, "holds no export"),
        ("{", "cannot be read"),
        ("[]", "not that of an export"),
        ('{"format": "csv", "files": []}', "are csv, which says no types"),
    ],
)
def test_what_is_no_export_in_parquet_is_told(
    tmp_path: Path, manifest: str | None, said: str
) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(ConfigError, match=said):
        ExportedTables(tmp_path)
