"""Every shape an answer can take, at every request of every reader: one row, or one object.

Whatever comes in, a poll ends in a known error of that object or in none. The other objects
publish everything. Of a page with one bad row the others are published; the bad one is
dead-lettered once, not at each poll. Nothing is deleted, and when the vendor is sound again every
row is there.
"""

import asyncio
import copy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.loop import verdict_on
from connectors.polled.poller import ObjectPoller
from schemas.errors import PsaStreamError
from tests.support.catalogue import contract_of
from tests.support.examples import TIMES
from tests.support.polled import Clock, MemoryLog
from tests.support.scripted_vendors import (
    ROWS,
    Ask,
    Change,
    ScriptedVendor,
    make_source,
    row_id,
    serving,
    sound_rows,
)

POLLS = 2
REQUESTS_MAX = 120
ROTATION = max(1, 6 // TIMES)  # each request meets every sixth shape, each shape every sixth
HALF_EMOJI = "\ud83d"

# request, the object it is about, an object that must not mind, field names
TARGETS = [
    ("salesforce", "query", "account", "opportunity"),
    ("salesforce", "deleted", "account", "opportunity"),
    ("netsuite", "query", "customer", "project"),
    ("netsuite", "query", "subsidiary", "time_bill"),
    ("netsuite", "time", "", ""),
    ("netsuite", "deletions", "customer", "invoice"),
    ("netsuite", "headers", "invoice", "customer"),
    ("netsuite", "lines", "invoice", "subsidiary"),
    ("float", "list", "person", "role"),
    ("float", "list", "role", "person"),
]
PAGES = [(target, is_first) for target in TARGETS for is_first in (True, False)]
PAGES = [
    (target, is_first)
    for target, is_first in PAGES
    if is_first or target[1] not in ("deleted", "time")
]

NOT_ROWS: list[Any] = [None, 5, "x", [], {}, True, [[]]]
NOT_KEYS: list[Any] = [None, "", "  ", True, [], {}, HALF_EMOJI, "7' OR 'a' = 'a", 10**400]
NOT_STAMPS: list[Any] = [
    20260501,
    "yesterday",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    HALF_EMOJI,
    [],
    {},
    True,
]
NOT_TEXTS: list[Any] = [HALF_EMOJI, f"ok {HALF_EMOJI} ok", {}, [None], True, {"a": {"a": {"a": 1}}}]
NOT_PAGES: list[Any] = [
    *(b"", b" ", b"<html>", b"{", b"\xff\xfe", b"NaN"),
    *(None, 5, "x", True, [], {}, [5], {"a": 1}),
]
NOT_LISTS: list[Any] = [None, {}, "x", 5, True]
NOT_FLAGS: list[Any] = [None, "yes", 1, [], {}]


async def poll_all(
    vendor: ScriptedVendor, source: Any, logs: dict[str, MemoryLog], clock: Clock, polls: int
) -> dict[str, list[PsaStreamError | None]]:
    """Poll each object some times as a new process would, and say how each poll ended."""
    ends: dict[str, list[PsaStreamError | None]] = {}
    for obj, log in logs.items():
        bookmark, ledger = log.stored()
        poller = ObjectPoller(
            source.config,
            obj,
            source.reader(obj, contract_of(source.config.system, obj)),
            log,
            bookmark=bookmark,
            ledger=ledger,
            clock=clock,
        )
        for _ in range(polls):
            clock.tick(1)
            try:
                await poller.poll()
            except PsaStreamError as error:
                ends.setdefault(obj, []).append(error)
            else:
                ends.setdefault(obj, []).append(None)
    return ends


def ids_of(vendor: ScriptedVendor, obj: str) -> set[str]:
    return {row_id(row, vendor.system, obj) for row in sound_rows(vendor.system, obj)}


class Case:
    """One changed answer, polled while it is changed and after."""

    def __init__(
        self, vendor: ScriptedVendor, source: Any, target: Any, change: Change, *, whole: bool
    ) -> None:
        _, self.kind, self.obj, self.other = target
        if not whole:
            self.other = ""
        self.vendor = vendor
        self.vendor.change = change
        self.vendor.asked.clear()
        self.source = source
        self.clock = Clock(datetime.now(UTC))
        self.logs = {obj: MemoryLog() for obj in (self.obj, self.other) if obj}
        if self.kind == "time":
            self.logs = {"customer": MemoryLog()}

    async def run(self) -> dict[str, list[PsaStreamError | None]]:
        ends = await poll_all(self.vendor, self.source, self.logs, self.clock, POLLS)
        assert len(self.vendor.asked) < REQUESTS_MAX
        for obj, errors in ends.items():
            for error in errors:
                verdict = None if error is None else verdict_on(error)
                assert error is None or verdict is not None, f"{obj}: {error!r} ends the process"
        if self.other:
            assert ends[self.other] == [None] * POLLS
            assert set(self.logs[self.other].state()) == ids_of(self.vendor, self.other)
        self.seen = {obj: set(log.state()) for obj, log in self.logs.items()}
        self.rejected = {obj: len(log.rejected) for obj, log in self.logs.items()}
        self.vendor.change = lambda body: body
        for obj, errors in (
            await poll_all(self.vendor, self.source, self.logs, self.clock, 1)
        ).items():
            assert errors == [None]
            assert set(self.logs[obj].state()) == ids_of(self.vendor, obj)
            assert "d" not in {op for op, _ in self.logs[obj].operations()}
        return ends


async def each_case(
    directory: Path,
    page: Any,
    changes: list[tuple[str, Change]],
    check: Callable[[Case, dict[str, list[PsaStreamError | None]]], None],
    *,
    whole: bool,
) -> None:
    target, is_first = page
    vendor = ScriptedVendor(target[0], Ask(target[1], target[2], is_first if whole else None))
    async with serving(vendor):
        source = make_source(vendor, directory)
        try:
            for name, change in changes:
                case = Case(vendor, source, target, change, whole=whole)
                try:
                    check(case, await case.run())
                except BaseException as error:
                    error.add_note(f"{target} {'first' if is_first else 'later'} page: {name}")
                    raise
        finally:
            await source.close()


def list_name(kind: str) -> str:
    return {"query": "records", "deleted": "deletedRecords"}[kind]


def rows_in(body: Any) -> list[Any]:
    if isinstance(body, list):
        return body
    return body[next(name for name in ("records", "deletedRecords", "items") if name in body)]


def with_row(id_name: str, row_id: str, change: Callable[[Any], Any]) -> Change:
    """Change one row in whatever page it comes."""

    def changed(body: Any) -> Any:
        body = copy.deepcopy(body)
        rows = rows_in(body)
        for number, row in enumerate(rows):
            if str(row[id_name]) == row_id:
                rows[number] = change(row)
        return body

    return changed


def first_and_last(system: str, kind: str, obj: str, *, is_first: bool) -> list[str]:
    """Ids of the rows at the ends of the first page, or of those after it."""
    match kind:
        case "deleted":
            ids = ["001000000000090AAA", "001000000000091AAA"]
        case "deletions":
            ids = ["900", "902", "903", "905"]
        case "headers":
            ids = ["100", "101", "102", "102"]
        case _:
            rows = [row_id(row, system, obj) for row in sound_rows(system, obj)]
            ids = [rows[0], rows[1], rows[2], rows[5]]
    return ids[:2] if is_first else ids[2:]


NAMES = {
    "deleted": ("id", "deletedDate", ""),
    "deletions": ("recordid", "deleteddate", ""),
    "headers": ("id", "lastmodifieddate", ""),
    "lines": ("id", "lastmodifieddate", "tranid"),
    "account": ("Id", "SystemModstamp", "Name"),
    "customer": ("id", "lastmodifieddate", "currency"),
    "subsidiary": ("id", "", "currency"),
    "person": ("people_id", "modified", "name"),
    "role": ("id", "", "name"),
}
"""Fields for id, stamp and a text; empty where there is none."""


def row_changes(system: str, kind: str, obj: str, is_first: bool) -> list[tuple[str, Change]]:
    id_name, stamp_name, text_name = NAMES.get(kind) or NAMES[obj]
    fields = [
        *((id_name, value) for value in NOT_KEYS),
        *((stamp_name, value) for value in NOT_STAMPS),
        *((text_name, value) for value in NOT_TEXTS),
    ]
    changes: list[tuple[str, Callable[[Any], Any]]] = [
        *((f"it is {value!r}", lambda _, v=value: v) for value in NOT_ROWS),
        *(
            (f"its {name} is {value!r:.60}", lambda row, n=name, v=value: row | {n: v})
            for name, value in fields
            if name
        ),
        (f"it has no {id_name}", lambda row: {k: v for k, v in row.items() if k != id_name}),
    ]
    return [
        (f"row {row}: {name}", with_row(id_name, row, change))
        for row in first_and_last(system, kind, obj, is_first=is_first)
        for name, change in changes
    ]


def page_changes(system: str, kind: str) -> list[tuple[str, Change]]:
    found: list[tuple[str, Change]] = [
        (f"the page is {value!r:.30}", lambda _, v=value: v) for value in NOT_PAGES
    ]
    if system == "netsuite" and kind != "time":
        found += _in_field("items", NOT_LISTS) + _in_field("hasMore", NOT_FLAGS)
        found.append(("more, without items", lambda body: body | {"hasMore": True, "items": []}))
        found.append(("always more", lambda body: body | {"hasMore": True}))
    if kind == "time":
        found += _in_field("serverTime", [None, 5, "", "now", "0001-01-01T00:00:00+14:00", {}, []])
    if system == "salesforce":
        name = list_name(kind)
        found += _in_field(name, NOT_LISTS)
        if kind == "query":
            found += _in_field("done", NOT_FLAGS)
            found.append(("never done", lambda body: body | {"done": False, "records": []}))
            elsewhere = {"done": False, "nextRecordsUrl": "http://127.0.0.1:9/elsewhere"}
            found.append(("next page elsewhere", lambda body: body | elsewhere))
        else:
            found += _in_field("earliestDateAvailable", [5, "never", [], {}])
    if system == "float":
        for name in ("X-Pagination-Total-Count", "X-Pagination-Page-Count"):
            for text in ("x", "-1", "", "1e9", "9" * 5000, "1000000000", "0"):
                found.append((f"{name} is {text:.12}", _with_header(name, text)))
    return found


def _in_field(name: str, values: list[Any]) -> list[tuple[str, Change]]:
    changes: list[tuple[str, Change]] = [
        (f"{name} is {value!r}", lambda body, v=value: body | {name: v}) for value in values
    ]
    without: Change = lambda body: {k: v for k, v in body.items() if k != name}  # noqa: E731
    return [*changes, (f"no {name}", without)]


def _with_header(name: str, text: str) -> Change:
    headers = {"X-Pagination-Total-Count": "6", "X-Pagination-Page-Count": "3"}
    return lambda body: web.json_response(body, headers=headers | {name: text})


def rotated(changes: list[tuple[str, Change]], page: Any) -> list[tuple[str, Change]]:
    return changes[PAGES.index(page) % ROTATION :: ROTATION]


def page_id(page: Any) -> str:
    (system, kind, obj, _), is_first = page
    return f"{system}-{kind}-{obj}-{'first' if is_first else 'later'}"


ROW_PAGES = [page for page in PAGES if page[0][1] != "time"]


@pytest.mark.fault("B3", place="connectors/polled/conversion.py")
@pytest.mark.fault("B4", place="connectors/polled/conversion.py")
@pytest.mark.fault("B5", place="connectors/polled/conversion.py")
@pytest.mark.parametrize("page", ROW_PAGES, ids=page_id)
def test_b3_a_bad_row_is_its_own_problem(page: Any, tmp_path: Path) -> None:
    (system, kind, obj, _), is_first = page
    changes = row_changes(system, kind, obj, is_first)

    def check(case: Case, ends: dict[str, list[PsaStreamError | None]]) -> None:
        assert ends[obj] == [None] * POLLS
        missing = ids_of(case.vendor, obj) - case.seen[obj]
        assert len(missing) <= (2 if kind == "headers" else 1)
        # A header is not published: of its stamp only the place in the order depends.
        assert case.rejected[obj] == 1 or (not missing and kind == "headers")

    asyncio.run(each_case(tmp_path, page, rotated(changes, page), check, whole=False))


@pytest.mark.fault("B3", place="connectors/polled/answers.py")
@pytest.mark.fault("D4", place="connectors/polled/paging.py")
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_b3_a_bad_page_is_its_objects_problem(page: Any, tmp_path: Path) -> None:
    (system, kind, _, _), _ = page
    changes = page_changes(system, kind)

    def check(case: Case, ends: dict[str, list[PsaStreamError | None]]) -> None:
        for log in case.logs.values():
            assert log.rejected == [] or kind != "time"

    asyncio.run(each_case(tmp_path, page, rotated(changes, page), check, whole=True))


STAMPED = [page for page in PAGES if NAMES.get(page[0][1], NAMES.get(page[0][2], ("",) * 3))[1]]
STAMPED = [page for page in STAMPED if page[0][1] in ("query", "headers", "lines", "list")]


@pytest.mark.fault("B8", place="connectors/vendors/netsuite/source.py")
@pytest.mark.parametrize("page", STAMPED, ids=page_id)
def test_b8_a_row_without_a_stamp_is_published(page: Any, tmp_path: Path) -> None:
    (system, kind, obj, _), is_first = page
    id_name, stamp_name, _ = NAMES.get(kind) or NAMES[obj]
    changes = [
        (f"row {row} has no stamp", with_row(id_name, row, lambda row: row | {stamp_name: None}))
        for row in first_and_last(system, kind, obj, is_first=is_first)
    ]

    def check(case: Case, ends: dict[str, list[PsaStreamError | None]]) -> None:
        assert ends[obj] == [None] * POLLS
        assert case.seen[obj] == ids_of(case.vendor, obj)
        assert case.rejected[obj] == 0

    asyncio.run(each_case(tmp_path, page, changes, check, whole=False))


@pytest.mark.fault("B8", place="connectors/vendors/netsuite/source.py")
def test_b8_more_rows_without_a_stamp_than_a_page_holds_are_all_read(tmp_path: Path) -> None:
    async def run() -> None:
        vendor = ScriptedVendor("netsuite", unstamped={"101", "103", "104", "105"})
        async with serving(vendor):
            source = make_source(vendor, tmp_path)
            logs = {"customer": MemoryLog()}
            ends = await poll_all(vendor, source, logs, Clock(datetime.now(UTC)), 2)
            await source.close()
        assert ends == {"customer": [None, None]}
        assert set(logs["customer"].state()) == ids_of(vendor, "customer")
        assert len(logs["customer"].changes) == ROWS

    asyncio.run(run())
