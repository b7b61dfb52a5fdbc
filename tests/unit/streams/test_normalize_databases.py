"""Changes of MySQL and SQL Server, whose envelopes tell their places in other words.

Source blocks as Debezium's documentation shows them:
https://debezium.io/documentation/reference/3.3/connectors/mysql.html#mysql-create-events
https://debezium.io/documentation/reference/3.3/connectors/sqlserver.html#sqlserver-create-events
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest

from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec, load_schema
from streams.agents.normalize import TIMELINE_CHANGED, make_normalizer
from streams.engine import Accounting, Effects
from tests.support.catalogue import load_mappings
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    chunk_of,
    debezium_schema,
    mapping_text,
    numbers_as_text,
    published,
)
from tests.unit.streams.test_normalize import ENTRIES, entry

AT_MS: Final = 1_767_225_600_000
MINUTE_MS: Final = 60_000
TEXT: Final = ["null", "string"]
BLOCKS: Final = {
    "mysql": {"file": "string", "pos": "long", "row": "int", "gtid": TEXT, "server_id": "long"},
    "sqlserver": {"change_lsn": TEXT, "commit_lsn": TEXT, "event_serial_no": ["null", "long"]},
}
OF_POSTGRESQL: Final = ("lsn", "xmin", "txId")


def mysql(file: int, pos: int, row: int = 0) -> dict[str, Any]:
    name = f"mysql-bin.{file:06}"
    return {"file": name, "pos": pos, "row": row, "gtid": None, "server_id": 223344}


def sqlserver(change: int | None, commit: int, serial: int | None = 1) -> dict[str, Any]:
    return {
        "change_lsn": None if change is None else f"00000027:{change:08x}:0003",
        "commit_lsn": f"00000027:{commit:08x}:0005",
        "event_serial_no": serial,
    }


class Table:
    """The time entries in a database of some kind, and their normalizer."""

    def __init__(self, kind: str, capture: str = "") -> None:
        envelope: Any = json.loads(debezium_schema(ENTRIES).text)
        [source] = [each["type"] for each in envelope["fields"] if each["name"] == "source"]
        source["fields"] = [it for it in source["fields"] if it["name"] not in OF_POSTGRESQL]
        source["fields"] += [{"name": name, "type": avro} for name, avro in BLOCKS[kind].items()]
        schema = load_schema(envelope)
        self._codec, self._registry = RecordCodec(schema), FakeRegistry()
        self._id = self._registry.add(schema)
        text = mapping_text("inhouse").replace("capture: debezium", f"capture: {capture or kind}")
        mapping = load_mappings(text)[ENTRIES]
        self._normalize = make_normalizer(mapping, self._registry)
        self._state, self._offset = MemoryState(), 0

    def change(
        self,
        place: dict[str, Any],
        op: str = "u",
        snapshot: str = "false",
        at_ms: int = AT_MS,
        **columns: Any,
    ) -> bytes:
        source = {"version": "3.3.1.Final", "connector": "any", "name": "src", "ts_ms": at_ms,
                  "snapshot": snapshot, "db": "worklog", "sequence": None, "schema": "dbo",
                  "table": "time_entries", **place}  # fmt: skip
        row = numbers_as_text(entry(**columns))
        before, after = (row, None) if op == "d" else (None, row)
        return frame(
            self._id,
            self._codec.encode(
                {"before": before, "after": after, "source": source, "op": op, "ts_ms": at_ms}
            ),
        )

    def take(self, *values: bytes) -> Effects:
        effects = self._normalize(chunk_of(ENTRIES, values, start=self._offset), self._state)
        self._offset += len(values)
        self._state.commit(effects)
        return effects


def notes(effects: Effects) -> list[str | None]:
    """What is published of the notes, None of a row that goes."""
    return [
        None if each.value is None else each.value["notes"]
        for each in published(effects)
        if each.topic == "psa.time_entry"
    ]


PLACES: Final[dict[str, Sequence[dict[str, Any]]]] = {
    "mysql": (mysql(3, 484), mysql(3, 484, 1), mysql(3, 805), mysql(4, 4)),
    "sqlserver": (
        sqlserver(0x758, 0x760),
        sqlserver(0xAC0, 0xAC7, 2),
        sqlserver(0xDB0, 0xDB7, 1),
        sqlserver(0xDB0, 0xDB7, 2),
    ),
}


@pytest.mark.parametrize("kind", PLACES)
def test_changes_come_in_the_order_of_their_log_and_what_is_told_again_is_stale(kind: str) -> None:
    table, places = Table(kind), PLACES[kind]
    created = table.take(table.change(places[0], "c", notes="created"))
    changed = [table.change(place, notes=f"at {at}") for at, place in enumerate(places[1:-1], 1)]
    updated = table.take(*changed)
    again = table.take(table.change(places[0], "c", notes="created"), *changed)
    gone = table.take(table.change(places[-1], "d"))

    assert notes(created) == ["created"]
    assert updated.accounting == Accounting(applied=2)
    assert notes(updated)[-1] == "at 2"
    assert again.accounting == Accounting(stale=3)
    assert notes(gone) == [None]


@pytest.mark.parametrize("kind", PLACES)
def test_a_mapping_for_postgresql_refuses_them(kind: str) -> None:
    table = Table(kind, "debezium")
    effects = table.take(table.change(PLACES[kind][0], "c"))
    assert effects.accounting == Accounting(dead_lettered=1)


def test_a_change_written_before_the_snapshot_and_committed_after_it_counts() -> None:
    table = Table("sqlserver")
    read = table.change(sqlserver(None, 0x900, None), "r", snapshot="true", notes="as read")
    late = table.change(sqlserver(0x800, 0x950, 2), notes="committed later")

    assert notes(table.take(read)) == ["as read"]
    assert notes(table.take(late)) == ["committed later"]


def test_a_read_of_an_incremental_snapshot_comes_in_order_with_the_changes() -> None:
    table = Table("mysql")
    table.take(table.change(mysql(3, 484), "c", notes="created"))
    read = table.change(mysql(3, 0), "r", snapshot="incremental", notes="as read")
    assert notes(table.take(read)) == ["as read"]
    assert notes(table.take(table.change(mysql(3, 805), notes="changed"))) == ["changed"]


@pytest.mark.fault("C19", place="schemas/position.py")
@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("mysql", mysql(700, 5_000), mysql(2, 157)),
        ("sqlserver", sqlserver(0xAC0, 0xAC7), sqlserver(0x50, 0x57)),
    ],
)
def test_c19_another_server_whose_log_counts_from_lower_places_is_taken_in(
    kind: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    table = Table(kind)
    table.take(table.change(before, "c", notes="here"))
    told_again = table.take(table.change(after, notes="older"))
    moved = table.take(table.change(after, at_ms=AT_MS + 2 * MINUTE_MS, notes="there"))

    assert told_again.accounting == Accounting(stale=1)
    assert notes(moved) == ["there"]
    assert list(moved.notices) == [TIMELINE_CHANGED]


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("mysql", mysql(3, 2**32)),
        ("mysql", mysql(2**20, 4)),
        ("sqlserver", sqlserver(2**24, 0x950)),
        ("sqlserver", sqlserver(None, 0x950)),
    ],
)
def test_a_change_at_a_place_that_cannot_be_counted_is_refused(
    kind: str, place: dict[str, Any]
) -> None:
    table = Table(kind)
    effects = table.take(table.change(place, "c"))
    assert effects.accounting == Accounting(dead_lettered=1)
    [letter] = [each for each in published(effects) if each.topic == "psa.dlq"]
    assert letter.value is not None
    assert "no comparable position" in str(letter.value)
