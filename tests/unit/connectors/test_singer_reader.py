"""Streams of taps in the polled engine: bookmarks, sweeps, refused rows, what is not asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
import structlog

from connectors.polled.bookmark import Bookmark, Phase
from connectors.polled.model import ContinuedReader, Page
from connectors.singer.process import TapFailedError
from connectors.singer.reader import CATALOG_S, SingerReader
from connectors.singer.rows import PAGE_S
from schemas.errors import SchemaMismatchError, TransientError
from tests.support.polled import Clock, MemoryLog
from tests.support.singer import (
    CATALOG,
    CONTRACT,
    SCHEMA,
    MemoryTap,
    poller_of,
    reader_of,
    record,
    schema,
    state,
    visit,
)


def always(*messages: object) -> MemoryTap:
    return MemoryTap(lambda files: messages)


def pages_of(
    reader: SingerReader, *, token: str | None = None, is_whole: bool = True
) -> list[Page]:
    async def read() -> list[Page]:
        pages = reader.changes(None) if is_whole else reader.continued(token)
        return [page async for page in pages]

    return asyncio.run(read())


def poll(reader: SingerReader, log: MemoryLog, times: int = 1, **keys: object) -> None:
    async def run() -> None:
        poller = poller_of(reader, log, Clock(), **keys)
        for _ in range(times):
            await poller.poll()

    asyncio.run(run())


def test_pages_are_full_or_the_last_and_carry_the_state_before_them() -> None:
    said = [schema(), *(record(visit(number)) for number in range(1, 8))]
    said.insert(3, state({"at": 2}))
    said.insert(9, state({"at": 7}))
    pages = pages_of(reader_of(always(*said)), is_whole=False)
    assert [[row.id for row in page.rows] for page in pages] == [
        ["1", "2", "3"], ["4", "5", "6"], ["7"],
    ]  # fmt: skip
    assert [page.token for page in pages] == ['{"at":2}', '{"at":2}', '{"at":7}']


def test_a_page_is_handed_on_after_a_while_for_a_slow_tap() -> None:
    now = [0.0]

    def play(files: Mapping[str, Any]) -> Any:
        yield schema()
        yield record(visit(1))
        now[0] += PAGE_S
        yield record({}, stream="another")
        now[0] += PAGE_S / 2
        yield record(visit(2))

    reader = reader_of(MemoryTap(play), clock=lambda: now[0])
    assert [len(page.rows) for page in pages_of(reader)] == [1, 1]


def test_what_sweeps_read_moves_no_poll() -> None:
    said = [schema(), record(visit(1)), state({"at": 1})]
    assert {page.token for page in pages_of(reader_of(always(*said)))} == {None}


def test_a_tap_without_a_state_is_read_from_its_beginning_each_time() -> None:
    tap, log = always(schema(), record(visit(1))), MemoryLog()
    poll(reader_of(tap), log, 3)
    assert ["state" in run for run in tap.runs] == [False, False, False]
    methods = [run["catalog"]["streams"][0]["replication_method"] for run in tap.runs]
    assert methods == ["FULL_TABLE", "INCREMENTAL", "INCREMENTAL"]
    assert log.operations() == [("r", "1")]
    assert log.batches[-1].bookmark.phase is Phase.STREAMING


def test_a_bookmark_keeps_its_state_over_restarts_and_in_its_bytes() -> None:
    tap, log = always(schema(), record(visit(1)), state({"at": 1.50})), MemoryLog()
    poll(reader_of(tap), log, 2)
    poll(reader_of(tap), log)
    assert tap.runs[-1]["state"] == {"at": 1.5}
    bookmark = Bookmark(token='{"a":1}')
    assert Bookmark.from_bytes(bookmark.to_bytes()) == bookmark
    old = bookmark.to_bytes().replace(b',"token":"{\\"a\\":1}"', b"")
    assert Bookmark.from_bytes(old) == Bookmark()


def test_a_snapshot_that_is_asked_for_forgets_the_state() -> None:
    tap, log = always(schema(), record(visit(1)), state({"at": 1})), MemoryLog()
    poll(reader_of(tap), log, 2)
    del tap.runs[:]
    poll(reader_of(tap), log, 2, **{"snapshot.mode": "always"})
    assert tap.runs and not any("state" in run for run in tap.runs)
    assert log.operations() == [("r", "1"), ("r", "1")]


def test_a_full_table_is_compared_in_each_poll() -> None:
    rows = [visit(number) for number in range(1, 9)]
    tap = MemoryTap(lambda files: [schema(), *map(record, rows), state({})])
    reader, log = reader_of(tap, replication_method="FULL_TABLE", replication_key=None), MemoryLog()
    assert not reader.traits.has_cursor
    poll(reader, log, 2)
    rows.pop()
    poll(reader, log)
    assert log.operations()[-1] == ("d", "8")
    assert all("state" not in run for run in tap.runs)


def test_a_stream_that_does_not_show_all_rows_tells_no_deletes() -> None:
    rows = [visit(number) for number in range(1, 9)]
    tap = MemoryTap(lambda files: [schema(), *map(record, rows)])
    reader = reader_of(tap, shows_deletes=False)
    assert isinstance(reader, ContinuedReader) and not reader.traits.shows_all
    log = MemoryLog()
    poll(reader, log)
    rows[:] = [visit(9)]
    poll(reader, log, 2, **{"sweep.interval.ms": 10, "max.delete.ratio": 1})
    assert log.operations()[8:] == [("c", "9")]
    assert len(log.state()) == 9


def test_a_tap_that_fails_keeps_its_rows_and_its_state_and_deletes_nothing() -> None:
    said: list[object] = [schema(), *(record(visit(number)) for number in range(1, 9))]
    tap, log = MemoryTap(lambda files: [*said, state({"at": 8})]), MemoryLog()
    poll(reader_of(tap), log, 2)
    del said[3:]
    said += [record(visit(3, "new")), state({"at": 9}), TapFailedError("the tap failed")]
    for _ in range(2):
        with pytest.raises(TransientError):
            poll(reader_of(tap), log, **{"sweep.interval.ms": 10, "max.delete.ratio": 1})
    assert log.operations()[8:] == [("u", "3")]
    assert tap.runs[-1]["state"] == {"at": 9}


def test_a_bad_row_is_its_own_problem() -> None:
    broken = b'{"type": "RECORD", "stream": "visits", "record": {"id": 9, "text": \xff}}'
    tap = always(
        schema(),
        record(visit(1)),
        record({**visit(2), "rate": "much"}),
        record({**visit(3), "id": None}),
        record([1]),
        broken,
        record(visit(4)),
        state({"at": 1}),
    )
    log = MemoryLog()
    poll(reader_of(tap, page_size=50), log, 3)
    assert log.operations() == [("r", "1"), ("r", "4")]
    told = {row.row_id[:1] + row.detail.split(":")[0] for row in log.rejected}
    assert told == {"2rate", "?id", "?a row is a list", "?the line is not JSON"}
    assert len(log.rejected) == 4, "each is told once"


def test_numbers_are_exact_and_never_rounded() -> None:
    exact = (
        b'{"type": "RECORD", "stream": "visits", "record":'
        b' {"id": 1, "text": "a", "rate": 0.1, "changed_at": "2026-05-04T12:00:00Z"}}'
    )
    inexact = exact.replace(b'"id": 1', b'"id": 2').replace(b"0.1", b"0.30000000000000004")
    [page] = pages_of(reader_of(always(schema(), exact, inexact), page_size=9))
    assert [str(row.values["rate"]) for row in page.rows] == ["0.1000"]
    assert [row.detail for row in page.unreadable] == [
        "rate: the number does not fit decimal(18,4)"
    ]


def test_stamps_are_read_where_the_replication_key_tells_time() -> None:
    said = [schema(), record(visit(1)), record(visit(2, changed_at="v17"))]
    [page] = pages_of(reader_of(always(*said)))
    assert [row.modified_at and row.modified_at.isoformat() for row in page.rows] == [
        "2026-05-04T12:00:00+00:00",
        None,
    ]


def test_rows_may_come_without_a_schema_of_their_own_but_all_rows_may_not() -> None:
    reader = reader_of(always(record(visit(1))))
    assert [row.id for page in pages_of(reader, is_whole=False) for row in page.rows] == ["1"]
    with pytest.raises(SchemaMismatchError, match="ended without a SCHEMA of visits"):
        pages_of(reader)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (schema(of={"properties": {"id": {}}}), "there is no property text"),
        (schema(keys=["text"]), "its rows are told apart by text, not id"),
    ],
)
def test_a_schema_that_does_not_fit_stops_the_object(message: object, why: str) -> None:
    tap = always(schema(), record(visit(1)), message, record(visit(2)))
    log = MemoryLog()
    with pytest.raises(SchemaMismatchError, match=why):
        poll(reader_of(tap), log)
    assert log.operations() == [("r", "1")]
    assert tap.closed == 1


def test_a_tap_without_keys_of_its_own_is_told_apart_by_ours() -> None:
    assert pages_of(reader_of(always(schema(keys=[]), record(visit(1)))))[0].rows[0].id == "1"


def test_a_key_of_several_properties() -> None:
    fields = [{"name": name, "type": ["null", "string"], "default": None} for name in ("key", "a")]
    contract = {"type": "record", "name": "Line", "fields": fields}
    of = {"properties": {"order": {}, "line": {}, "a": {}}}
    rows = [{"order": 7, "line": 1, "a": "x"}, {"order": 7, "line": None, "a": "y"}]
    tap = always(schema(of=of, keys=["line", "order"]), *map(record, rows))
    tap.catalog = {"streams": [{"stream": "visits", "schema": of}]}
    reader = reader_of(
        tap, contract, key_properties=["order", "line"], replication_key=None,
        replication_method="FULL_TABLE",
    )  # fmt: skip
    [page] = pages_of(reader)
    assert [(row.id, row.values) for row in page.rows] == [("7:1", {"key": "7:1", "a": "x"})]
    assert [row.detail for row in page.unreadable] == ["key: null is not a key"]
    assert reader.key("7:1") == {"key": "7:1"}
    assert page.new_fields == ()


def test_what_nobody_asked_for_is_told_once_and_read_past() -> None:
    tap = always(
        schema("another", of={"properties": {"id": {}}}),
        record({"id": 1}, "another"),
        schema(),
        {"type": "ACTIVATE_VERSION", "stream": "visits", "version": 1},
        {"type": "METRIC", "value": 1},
        record(visit(1)),
    )
    reader = reader_of(tap)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            assert [row.id for page in pages_of(reader) for row in page.rows] == ["1"]
    assert [entry["what"] for entry in logs] == ["stream 'another'", "messages of type METRIC"]


def test_columns_that_nobody_takes_are_named_once_though_the_tap_leaves_them_out() -> None:
    tap = always(schema(), record(visit(1)), record({**visit(2), "extra": 1}), record(visit(3)))
    wage = {"properties": {**SCHEMA["properties"], "wage": {}}}  # type: ignore[dict-item]
    tap.catalog = {"streams": [{"stream": "visits", "schema": wage}]}
    reader = reader_of(tap, page_size=2)
    names = [name for _ in range(2) for page in pages_of(reader) for name in page.new_fields]
    assert names == ["extra", "wage"]


def test_a_catalog_is_discovered_anew_after_an_hour_and_after_a_failure() -> None:
    now, said = [0.0], [schema(), record(visit(1))]
    tap = MemoryTap(lambda files: said)
    reader = reader_of(tap, clock=lambda: now[0])
    for at, discoveries in ((0.0, 1), (CATALOG_S - 1, 1), (CATALOG_S, 2), (CATALOG_S + 1, 2)):
        now[0] = at
        pages_of(reader)
        assert tap.discoveries == discoveries
    said.append(TapFailedError("the tap failed"))
    with pytest.raises(TransientError):
        pages_of(reader)
    said.pop()
    pages_of(reader)
    assert tap.discoveries == 3


@pytest.mark.parametrize("option", ["catalog", "properties", "none"])
def test_a_tap_is_given_its_catalog_as_it_takes_it(option: str) -> None:
    tap = always(schema(), record(visit(1)))
    pages_of(reader_of(tap, catalog=option), token='{"at":1}', is_whole=False)
    [run] = tap.runs
    assert run.keys() == ({"state"} if option == "none" else {"state", option})
    assert tap.discoveries == (0 if option == "none" else 1)
    if option != "none":
        [entry] = run[option]["streams"]
        assert (entry["replication_method"], entry["replication_key"]) == (
            "INCREMENTAL",
            "changed_at",
        )
        assert entry["schema"] == {**SCHEMA, "selected": True}
        assert CATALOG["streams"][0].keys() < entry.keys()


def test_a_long_line_is_read_beside_the_event_loop_and_the_same() -> None:
    [page] = pages_of(reader_of(always(schema(), record(visit(1, "x" * 100_000)))))
    assert page.rows[0].values["text"] == "x" * 100_000
    assert CONTRACT["name"] == "Visit"


def test_a_catalog_is_given_back_with_its_numbers_as_they_came() -> None:
    tap = always(schema(), record(visit(1)))
    rate = {"type": "number", "multipleOf": Decimal("1E-38"), "maximum": Decimal("1E+308")}
    of = {"properties": {**SCHEMA["properties"], "rate": rate}}  # type: ignore[dict-item]
    tap.catalog = {"streams": [{"stream": "visits", "schema": of}]}
    pages_of(reader_of(tap))
    assert '"multipleOf":1E-38,"maximum":1E+308' in tap.texts[0]["catalog"]


def test_a_long_discovery_is_followed_by_a_sign_of_life() -> None:
    now = [0.0]
    tap = always(schema(), record(visit(1)))
    discover = tap.discover

    async def slowly() -> object:
        now[0] += PAGE_S
        return await discover()

    tap.discover = slowly  # type: ignore[method-assign]
    reader = reader_of(tap, clock=lambda: now[0])
    assert [len(page.rows) for page in pages_of(reader)] == [0, 1]
    now[0] += CATALOG_S
    assert [len(page.rows) for page in pages_of(reader, is_whole=False)] == [0, 1]
    assert [len(page.rows) for page in pages_of(reader, is_whole=False)] == [1]
