"""Databases: held to the clauses as Debezium tells their changes; each fault breaks its clause."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from psastream.conformance.clauses import DATABASE_CLAUSES
from psastream.conformance.debezium import Debezium
from psastream.conformance.suite import conform_database, read_database_subject
from psastream.system import read_system
from schemas.errors import ConfigError
from tests.conformance.bad_database import faulty, subject_with
from tests.conformance.test_vendors import VENDORS, folders, is_database
from tests.support.examples import TIMES
from tests.support.source_events import GOLDEN

FOLDERS: Final = {
    **{name: folder for name, folder in folders().items() if is_database(folder)},
    "workshop": Path(__file__).parents[1] / "outside" / "workshop",
}
OFTEN: Final = ("captured", "any order", "sampled rows")
"""Clauses that each table is held to in `make test`; the first is held to all."""
FAULTS: Final = {
    "captures too little": "captured",
    "reads no rows": "captured",
    "calls its topics otherwise": "captured",
    "tells numbers as bytes": "rows that are there",
    "tells JSON": "rows that are there",
    "declares another type": "rows that are there",
    "drops a column": "changed rows",
    "takes another key": "own id",
    "tells no deletes": "deleted rows",
    "tells no truncations": "emptied table",
    "forgets": "told again",
    "takes reads for changes": "around a snapshot",
    "keeps no texts": "texts not sent",
    "publishes placeholders": "texts not sent",
    "expects values": "unset columns",
    "cuts texts": "exact columns",
    "knows its columns": "new column",
    "absent is null": "lost column",
    "drops what it cannot read": "no records",
    "takes one for another": "sampled rows",
}
"""Fault of the folder or the code and the clause that is broken by it."""


@pytest.mark.parametrize("name", FOLDERS)
def test_a_database_holds_to_every_clause(name: str) -> None:
    system, _ = read_system(FOLDERS[name])
    subject = read_database_subject(FOLDERS[name], system)
    assert subject.samples.keys() == system.topics.keys()
    first, *others = subject.database.tables
    found = conform_database(subject, [first] if TIMES == 1 else ())
    if TIMES == 1:
        found += conform_database(subject, others, OFTEN)
    assert {(each.obj, each.clause): each.broken for each in found if each.broken} == {}
    assert {each.clause for each in found} == DATABASE_CLAUSES.keys()
    assert sum(each.holds for each in found) > len(found) / 2


@pytest.mark.parametrize(("fault", "clause"), FAULTS.items())
def test_a_fault_breaks_the_clause_that_is_about_it(
    tmp_path: Path, fault: str, clause: str
) -> None:
    subject = subject_with(fault, tmp_path)
    [finding] = conform_database(subject, ["time_entries"], [clause])
    assert finding.broken


def test_a_key_that_changes_is_one_that_goes(tmp_path: Path) -> None:
    subject = subject_with("tells no deletes", tmp_path)
    [finding] = conform_database(subject, ["time_entries"], ["changed key"])
    assert finding.broken


def test_rows_that_nobody_looks_at_again_break_any_order() -> None:
    folder = FOLDERS["workshop"]
    subject = read_database_subject(folder, read_system(folder)[0])
    [finding] = conform_database(faulty(subject, "never looks again"), ["cost"], ["any order"])
    assert finding.broken


def test_every_clause_is_broken_by_some_fault() -> None:
    assert DATABASE_CLAUSES.keys() - {*FAULTS.values(), "changed key"} == {"any order"}


def test_events_are_written_as_debezium_wrote_them() -> None:
    """Against what was captured of these tables."""
    subject = read_database_subject(VENDORS / "inhouse", read_system(VENDORS / "inhouse")[0])
    debezium = Debezium(subject.document, "inhouse")
    captured = {
        each["namespace"]: each for each in json.loads(GOLDEN.read_text())["schemas"].values()
    }
    for name, table in subject.database.tables.items():
        topic = debezium.topic(name)
        assert topic is not None
        ours = json.loads(debezium.envelope(topic, debezium.columns(name, table)).text)
        assert _plain(ours) == _plain(captured[topic])


def _plain(avro: Any) -> Any:
    """A schema without Connect's annotations and the defaults of columns."""
    match avro:
        case {"type": str(kind), **more} if more.keys() <= _ANNOTATIONS:
            return kind
        case dict():
            kept = {name: avro[name] for name in avro if name not in _ANNOTATIONS}
            return {name: _plain(each) for name, each in kept.items()}
        case list():
            return [_plain(each) for each in avro]
    return avro


_ANNOTATIONS: Final = {
    "connect.name", "connect.version", "connect.default", "connect.parameters", "default"
}  # fmt: skip


def test_a_database_whose_changes_are_told_otherwise_is_not_held_to_clauses(tmp_path: Path) -> None:
    folder = tmp_path / "worklog"
    shutil.copytree(VENDORS / "inhouse", folder)
    mapping = folder / "mapping.yaml"
    text = mapping.read_text().replace("capture: debezium", "capture: mysql")
    mapping.write_text(text.replace("inhouse", "worklog"))
    system, _ = read_system(folder)
    with pytest.raises(ConfigError, match="only what is captured from a PostgreSQL"):
        read_database_subject(folder, system)
