"""What a list of a declared API may be besides a plain one: of changes, of deletes, of a parent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.model import DeleteFeed, Row
from connectors.rest.asks import Ask, fill_body, fill_params, fill_path
from connectors.rest.declaration import Windows
from connectors.rest.paging import counts
from connectors.rest.reader import PASSES_MAX, Passes
from connectors.rest.source import shape
from connectors.toolkit.faults import (
    DeleteLogIncompleteError,
    QuotaExhaustedError,
    RecordNotFoundError,
    UnreadableBodyError,
)
from schemas.errors import (
    AuthenticationError,
    ConfigError,
    PsaStreamError,
    RateLimitedError,
    SchemaMismatchError,
    TargetBusyError,
)
from tests.support.polled import START, MemoryLog
from tests.support.rest_api import (
    REST,
    Visits,
    make_source,
    poller_of,
    read_folder,
    write_folder,
)
from tests.support.vendor_server import serving

PLAIN = REST.format(paginator="{type: cursor, cursor_path: meta.after, cursor_param: after}")
CHANGED = (
    PLAIN.replace('    params: {since: "{since}"}\n', "")
    + """\
    changed:
      path: /v1/search
      method: POST
      json: {filters: [{from: "{since}", any: [1, null]}], limit: "{page_size}"}
      data_selector: found
      paginator: {type: single_page}
"""
)
DELETED = (
    PLAIN
    + """\
    deleted:
      path: /v1/visits/gone
      params: {from: "{since}"}
      data_selector: data
      paginator: {type: offset, limit_param: null}
      id: visit.id
      deleted_at: at
      format: epoch_seconds
      reads: epoch_milliseconds
"""
)
CHILDREN = """\
auth: {type: api_key, name: key, location: query}
outcomes:
  - {status: 404, means: not_found, evidence: a test}
objects:
  place: {path: /v1/places, data_selector: data, paginator: {type: page_number}}
  visit:
    path: /v1/places/{parent}/visits
    data_selector: data
    columns: {place_id: nowhere.id}
    parent: {object: place, column: place_id}
"""
PLACES = """\
system: visits
vendor: rest
capture: polled
objects:
  place: {kind: place, key: id}
  visit: {kind: visit, key: id}
"""

Answer = Callable[[web.Request], Any]


def reading(
    tmp_path: Path,
    rest: str,
    answer: Answer,
    *,
    mapping: str | None = None,
    since: Any = None,
    feed: bool = False,
) -> list[Any]:
    """Rows, or deletions, that a reader of the folder yields where a server answers so."""
    folder = write_folder(tmp_path, rest, *([] if mapping is None else [mapping]))
    if mapping is not None:
        contract = (folder / "avro" / "visit.avsc").read_text()
        (folder / "avro" / "place.avsc").write_text(contract.replace("Visit", "Place"))
    system = read_folder(folder)

    async def handle(request: web.Request) -> web.StreamResponse:
        found = answer(request)
        if isinstance(found, web.StreamResponse):
            return found
        if asyncio.iscoroutine(found):
            found = await found
        return web.json_response(found)

    async def run() -> list[Any]:
        async with serving(handle) as url:
            source = make_source(system, url)
            reader = source.reader("visit", system.contract("visit"))
            try:
                if feed:
                    return [each async for page in reader.deletions(START)
                            for each in (*page.deletions, *page.unreadable)]  # fmt: skip
                return [row async for page in reader.changes(since) for row in page.rows]
            finally:
                await source.close()

    return asyncio.run(run())


def visit(number: int, **values: Any) -> dict[str, Any]:
    return {"id": number, "text": "x", "changed_at": None, "place": {"id": 1}, **values}


def ids(rows: list[Row]) -> list[str]:
    return [row.id for row in rows]


def test_changes_may_be_told_by_another_list_than_all_rows(tmp_path: Path) -> None:
    bodies: list[Any] = []

    async def searched(request: web.Request) -> Any:
        bodies.append(await request.json())
        return {"found": [visit(7)]}

    def answer(request: web.Request) -> Any:
        if request.path == "/v1/search":
            return searched(request)
        return {"data": [visit(1), visit(2)], "meta": {"after": None}}

    assert ids(reading(tmp_path, CHANGED, answer)) == ["1", "2"]
    assert ids(reading(tmp_path, CHANGED, answer, since=START)) == ["7"]
    since = "2024-10-03T23:59:59Z"
    assert bodies == [{"filters": [{"from": since, "any": [1, None]}], "limit": 3}]


def test_where_changes_can_no_longer_be_told_all_rows_are_read(tmp_path: Path) -> None:
    def answer(request: web.Request) -> Any:
        if request.path == "/v1/search":
            return web.json_response({"error": {"code": "too_many"}}, status=410)
        return {"data": [visit(1), visit(2)], "meta": {"after": None}}

    assert ids(reading(tmp_path, CHANGED, answer, since=START)) == ["1", "2"]


def test_a_list_of_all_rows_that_ends_on_the_way_is_read_anew(tmp_path: Path) -> None:
    with pytest.raises(TargetBusyError, match="expired"):
        reading(tmp_path, CHANGED, lambda request: web.json_response({}, status=410))


def test_changes_of_a_list_that_ends_on_the_way_are_asked_for_again(tmp_path: Path) -> None:
    with pytest.raises(TargetBusyError, match="expired"):
        reading(tmp_path, PLAIN, lambda request: web.json_response({}, status=410), since=START)


def gone(number: object, at: object = 1_777_896_000_000) -> dict[str, Any]:
    return {"visit": {"id": number}, "at": at}


def test_deletes_are_told_by_a_list(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: web.Request) -> Any:
        asked.append(request.query["from"])
        entries = [gone(4), gone(None), gone(5, "?"), gone(6)]
        return {"data": entries[int(request.query["offset"]) :]}

    found = reading(tmp_path, DELETED, answer, feed=True)
    assert [each.id for each in found if not each.id.startswith("?")][:2] == ["4", "6"]
    assert found[0].deleted_at.isoformat() == "2026-05-04T12:00:00+00:00"
    assert {each.detail for each in found if each.id.startswith("?")} == {
        "delete log: id: null is not a key",
        "delete log: a text is not a time since 1970",
    }
    assert set(asked) == {"1727999999"}


def test_a_list_of_deletes_that_was_cut_has_all_rows_compared(tmp_path: Path) -> None:
    with pytest.raises(DeleteLogIncompleteError):
        reading(tmp_path, DELETED, lambda request: web.json_response({}, status=410), feed=True)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_list_of_deletes_that_an_account_lacks_has_all_rows_compared(
    tmp_path: Path, status: int
) -> None:
    def refused(request: web.Request) -> Any:
        return web.json_response({}, status=status)

    needed = DELETED.replace(
        "outcomes:\n",
        "outcomes:\n  - {status: [400, 403, 404], means: refused, evidence: a test}\n",
    )
    with pytest.raises(DeleteLogIncompleteError, match="refused"):
        reading(tmp_path / "optional", needed + "      optional: true\n", refused, feed=True)
    with pytest.raises(AuthenticationError):
        reading(tmp_path / "needed", needed, refused, feed=True)


REFERRED = PLAIN.replace(
    "    data_selector: data\n", '    data_selector: results\n    row_path: "{key}.{id}"\n'
)


def test_rows_may_stand_elsewhere_than_the_list_that_names_them(tmp_path: Path) -> None:
    answer = {
        "results": [{"key": "visits", "id": "2"}, {"key": "visits", "id": 1}],
        "visits": {"1": visit(1), "2": visit(2), "3": visit(3)},
        "meta": {"after": None},
    }
    assert ids(reading(tmp_path, REFERRED, lambda request: answer)) == ["2", "1"]


@pytest.mark.parametrize("reference", [{"key": "visits", "id": "4"}, {"id": "1"}, "1", None])
def test_a_reference_that_leads_nowhere_is_no_row_less(tmp_path: Path, reference: Any) -> None:
    answer = {"results": [reference], "visits": {"1": visit(1)}, "meta": {"after": None}}
    with pytest.raises(SchemaMismatchError, match="refers to a row that is not at"):
        reading(tmp_path, REFERRED, lambda request: answer)


def test_without_a_list_nothing_tells_deletes(tmp_path: Path) -> None:
    assert reading(tmp_path, PLAIN, lambda request: {}, feed=True) == []


def test_rows_that_the_list_names_are_deleted_at_the_next_poll(tmp_path: Path) -> None:
    api, log = Visits(), MemoryLog()
    system = read_folder(write_folder(tmp_path, DELETED))
    deleted: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/gone"):
            return web.json_response({"data": deleted[int(request.query["offset"]) :]})
        return await api.answer(request)

    async def run() -> None:
        async with serving(handle) as url:
            source = make_source(system, url, **{"sweep.interval.ms": 10**9})
            reader = source.reader("visit", system.contract("visit"))
            assert reader.traits.delete_feed is DeleteFeed.EVERY_POLL
            poller = poller_of(source, reader, log, api)
            await poller.poll()
            api.remove(4)
            deleted.append(gone(4, int(api.now.timestamp() * 1000)))
            await poller.poll()
            await source.close()

    asyncio.run(run())
    assert log.operations()[10:] == [("d", "4")]


def children(request: web.Request) -> Any:
    assert request.query["key"] == "t0ken"
    if request.path == "/v1/places":
        rows = [visit(1), visit(2), {"id": None}, visit(1), "no row", visit(3)]
        return {"data": rows if request.query["page"] == "1" else []}
    place = int(request.path.split("/")[3])
    if place == 2:
        return web.json_response({}, status=404)  # it went since the places were read
    return {"data": [visit(10 * place), visit(10 * place + 1)]}


def test_rows_below_a_parent_are_read_parent_by_parent(tmp_path: Path) -> None:
    rows = reading(tmp_path, CHILDREN, children, mapping=PLACES)
    assert ids(rows) == ["10", "11", "30", "31"]
    assert [row.values["place_id"] for row in rows] == [1, 1, 3, 3]


def test_a_list_of_parents_that_is_not_there_is_no_empty_list(tmp_path: Path) -> None:
    with pytest.raises(RecordNotFoundError):
        reading(
            tmp_path, CHILDREN, lambda request: web.json_response({}, status=404), mapping=PLACES
        )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda request: web.Response(status=200), UnreadableBodyError),
        (lambda request: {"data": None, "meta": {"after": None}}, SchemaMismatchError),
        (lambda request: {"data": {}, "meta": {"after": None}}, SchemaMismatchError),
        (lambda request: [visit(1)], SchemaMismatchError),
        (lambda request: {"meta": {"after": None}}, SchemaMismatchError),
        (lambda request: {"data": [], "meta": {"after": 1.5}}, SchemaMismatchError),
        (lambda request: {"data": [], "meta": {"after": True}}, SchemaMismatchError),
        (lambda request: {"data": [], "meta": {"after": "x" * 8_001}}, SchemaMismatchError),
        (lambda request: web.json_response({}, status=403), PsaStreamError),
        (lambda request: web.json_response({}, status=404), PsaStreamError),
    ],
)
def test_an_answer_of_another_shape_is_no_empty_list(
    tmp_path: Path, answer: Answer, error: type[PsaStreamError]
) -> None:
    with pytest.raises(error):
        reading(tmp_path, PLAIN, answer)


def test_a_row_that_does_not_fit_is_its_own_problem(tmp_path: Path) -> None:
    def answer(request: web.Request) -> Any:
        rows = [visit(1), visit(2, text=[]), "no row", visit(3, changed_at="?"), visit(4)]
        return {"data": rows, "meta": {"after": None}}

    assert ids(reading(tmp_path, PLAIN, answer)) == ["1", "4"]


KEYSET = REST.format(paginator="{type: keyset, value_path: id, param: after}")


def test_a_page_that_ends_with_a_row_that_does_not_fit_goes_on_before_it(tmp_path: Path) -> None:
    asked: list[str | None] = []

    def answer(request: web.Request) -> Any:
        asked.append(request.query.get("after"))
        pages = {None: [visit(1), visit(2), {"id": True}, 7], "2": [visit(5)]}
        return {"data": pages.get(asked[-1], [])}

    assert ids(reading(tmp_path, KEYSET, answer)) == ["1", "2", "5"]
    assert asked == [None, "2", "5"]


def test_a_page_from_which_nobody_can_go_on_is_no_last_page(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatchError, match="no row of a page has a usable id"):
        reading(tmp_path, KEYSET, lambda request: {"data": ["no row", {"id": None}]})


def test_the_outcome_table_reads_codes_of_several_errors(tmp_path: Path) -> None:
    rest = PLAIN.replace(
        "errors: {code: error.code}", "errors: {list: errors, code: code, detail: text}"
    ).replace(
        "{status: 410, means: expired,", '{status: [400, 403], means: refused, code: ["NO", "7"],'
    )

    def answer(request: web.Request) -> Any:
        return web.json_response({"errors": [{"code": "A"}, 3, {"code": 7}]}, status=403)

    with pytest.raises(AuthenticationError, match="visits denies access: A"):
        reading(tmp_path, rest, answer)


@pytest.mark.parametrize(("status", "is_refused"), [(400, True), (401, False), (402, False),
                                                    (403, True), (404, False)])  # fmt: skip
def test_several_statuses_are_those_alone(tmp_path: Path, status: int, is_refused: bool) -> None:
    rest = PLAIN.replace("{status: 410, means: expired,", "{status: [403, 400], means: refused,")
    with pytest.raises(PsaStreamError) as caught:
        reading(tmp_path, rest, lambda request: web.json_response({}, status=status))
    assert ("denies access" in str(caught.value)) is is_refused


def test_a_list_that_never_holds_still_is_given_up(tmp_path: Path) -> None:
    rest = REST.format(paginator="{type: page_number, total_pages_path: pages}")
    asked = 0

    def answer(request: web.Request) -> Any:
        nonlocal asked
        asked += 1
        return {"data": [visit(asked)], "pages": 2}

    with pytest.raises(TargetBusyError, match="changes faster"):
        reading(tmp_path, rest, answer)
    assert asked == 2 * PASSES_MAX


def told(**headers: str) -> Answer:
    return lambda request: web.json_response(
        {"data": [visit(1)], "meta": {"after": None}},
        headers={f"X-{name}": value for name, value in headers.items()},
    )


LIMITED = (
    PLAIN + "rate_limit: {remaining_header: X-Left, limit_header: X-Limit, wait_header: X-W}\n"
)


@pytest.mark.parametrize(
    "answer",
    [told(Left="20", Limit="100"), told(Left="1"), told(Limit="100"), told(Left="0", Limit="0"),
     told(Left="-1", Limit="100"), told(Left="1", Limit="many")],
)  # fmt: skip
def test_what_is_left_of_an_allowance_is_used_down_to_the_reserve(
    tmp_path: Path, answer: Answer
) -> None:
    assert ids(reading(tmp_path, LIMITED, answer)) == ["1"]


def test_the_reserve_of_an_allowance_is_left_to_others(tmp_path: Path) -> None:
    with pytest.raises(QuotaExhaustedError) as caught:
        reading(tmp_path, LIMITED, told(Left=" 19 ", Limit="100"))
    assert caught.value.retry_after_s == 900


def test_another_header_may_tell_how_long_to_wait(tmp_path: Path) -> None:
    with pytest.raises(RateLimitedError) as caught:
        reading(
            tmp_path,
            LIMITED,
            lambda request: web.Response(status=429, headers={"X-W": "9", "Retry-After": "3"}),
        )
    assert caught.value.retry_after_s == 9


def passes(*seen: tuple[set[str], int | None], moves: bool = True) -> bool:
    """Whether a list is read again after a pass that showed these pages."""
    found = Passes(moves)
    assert found.are_due("list")
    for page in seen:
        found.see(*page)
    return found.are_due("list")


def test_a_list_is_read_again_where_a_row_may_have_slid_past() -> None:
    assert passes(({"a"}, None), (set(), None))
    assert not passes(({"a"}, None), (set(), None), moves=False)
    assert not passes(({"a"}, None))
    assert not passes(({"a"}, 2), ({"b"}, 2))
    assert passes(({"a"}, 2), ({"b"}, 3))
    assert passes(({"a"}, 3), ({"b"}, 3))
    assert passes(({"a", "b"}, 2), ({"b"}, None))


def test_what_changed_since_the_scan_began_needs_no_further_reading() -> None:
    for changed, is_due in (((), True), (("c",), False)):
        found = Passes(moves=True)
        for shown in (("a", "b"), ("b", "c")):
            assert found.are_due("list")
            for row_id in shown:
                found.see({row_id}, None, changed=changed)
        assert found.are_due("list") is is_due


def test_as_many_rows_as_there_are_prove_nothing_where_one_came_and_one_may_have_gone() -> None:
    found = Passes(moves=True)
    assert found.are_due("list")
    found.see({"a"}, 2)
    found.see({"c"}, 2, changed={"c"})
    assert found.are_due("list")


def test_a_list_whose_pages_turn_out_to_be_numbered_is_read_again() -> None:
    found = Passes(moves=None)
    assert found.are_due("list")
    found.see({"a"}, None, moves=True)
    found.see({"b"}, None)
    assert found.are_due("list")


@pytest.mark.parametrize(
    ("token", "is_count"),
    [("2", True), ("3", True), ("51", True), ("52", True), ("60", True), ("61", True),
     ("4", False), ("59", False), ("1000051", False), ("2=", False), ("", False)],
)  # fmt: skip
def test_a_token_counts_where_it_is_a_number_of_pages_or_rows(token: str, is_count: bool) -> None:
    assert counts(token, pages=2, rows=51, page_size=30) is is_count


def test_a_second_reading_ends_where_it_shows_nothing_new() -> None:
    found = Passes(moves=True)
    for shown, is_due in ((("a", "b"), True), (("a", "c"), True), (("c", "b"), False)):
        assert found.are_due("list")
        for row_id in shown:
            found.see({row_id}, None)
        if not is_due:
            assert not found.are_due("list")


def test_placeholders_are_filled_where_they_have_a_value() -> None:
    words = {"since": None, "account": "a/b c", "page_size": "50"}
    assert fill_path("/v1/{account}/x", words) == "/v1/a%2Fb%20c/x"
    assert fill_params({"a": "{account}", "s": ">{since}", "n": "1"}, words) == {
        "a": "a/b c", "n": "1",
    }  # fmt: skip
    body = {"q": ["{account}", {"deep": "x{page_size}"}], "n": 3, "limit": "{page_size}"}
    assert fill_body(body, words) == {"q": ["a/b c", {"deep": "x50"}], "n": 3, "limit": 50}


def test_a_request_takes_one_more_parameter_where_its_others_are() -> None:
    assert Ask("GET", "/x", {"a": "1"}).having("a", "2", in_body=False).params == {"a": "2"}
    assert Ask("GET", "/x").having("a", 2, in_body=False).params == {"a": "2"}
    posted = Ask("POST", "/x", body={"b": 1}).having("a", 2, in_body=True)
    assert (posted.params, posted.body) == ({}, {"b": 1, "a": 2})


@pytest.mark.parametrize(
    ("paginator", "first", "second"),
    [
        ("{type: page_number, limit_param: n}", {"n": 3, "page": 1}, {"n": 3, "page": 2}),
        ("{type: offset}", {"limit": 3, "offset": 0}, {"limit": 3, "offset": 1}),
        ("{type: cursor, cursor_path: next}", {}, {"cursor": "x"}),
        ("{type: keyset, value_path: id, param: after}", {}, {"after": 1}),
    ],
)
def test_a_list_that_is_posted_takes_its_paging_in_the_body(
    tmp_path: Path, paginator: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    rest = REST.format(paginator=paginator).replace(
        "    data_selector", "    method: POST\n    json: {q: all}\n    data_selector"
    )
    bodies: list[Any] = []

    async def page(request: web.Request) -> Any:
        bodies.append(await request.json())
        is_first = len(bodies) == 1
        return {"data": [visit(1)] if is_first else [], "next": "x" if is_first else None}

    assert set(ids(reading(tmp_path, rest, page))) == {"1"}
    assert bodies[:2] == [{"q": "all", **first}, {"q": "all", **second}]


EXPANDED = """\
auth: {type: bearer}
objects:
  visit:
    path: /v1/trips
    data_selector: data
    expand: {path: visits, outer: {place_id: place.id}}
    unused: [outer.id]
"""


def trip(number: int, **values: Any) -> dict[str, Any]:
    return {"id": number, "place": {"id": 7}, **values}


def item(number: object) -> dict[str, Any]:
    return {"id": number, "text": "x", "changed_at": None}


def test_items_of_a_list_in_each_row_are_rows_with_columns_of_the_row(tmp_path: Path) -> None:
    trips = [trip(1, visits=[item(11), item(12)]), trip(2, visits=[]), trip(3, visits=None)]
    rows = reading(tmp_path, EXPANDED, lambda request: {"data": trips})
    assert ids(rows) == ["11", "12"]
    assert [row.values["place_id"] for row in rows] == [7, 7]


def test_what_is_no_item_is_refused_alone_and_takes_no_id_of_the_row(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, EXPANDED)
    system = read_folder(folder)
    first = trip(1, visits=[item(11), 7, {"text": "x"}], rated=5)
    trips = [first, trip(2, visits="none"), trip(3), 4]

    async def answered(request: web.Request) -> web.Response:
        return web.json_response({"data": trips})

    async def run() -> list[Any]:
        async with serving(answered) as url:
            source = make_source(system, url)
            reader = source.reader("visit", system.contract("visit"))
            try:
                return [page async for page in reader.changes(None)]
            finally:
                await source.close()

    [page] = asyncio.run(run())
    assert ids(page.rows) == ["11"]
    assert len(page.unreadable) == 5
    assert all(each.id.startswith("?") for each in page.unreadable)
    assert page.new_fields == ("outer.rated",)


def test_rows_that_all_lack_the_list_stop_the_object(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatchError, match="came without visits"):
        reading(tmp_path, EXPANDED, lambda request: {"data": [trip(1), trip(2)]})


def test_a_number_of_rows_is_none_of_their_items(tmp_path: Path) -> None:
    """Two rows with one item each are shown while a third slides past: two of two is not all."""
    pages: list[int] = []
    paged = EXPANDED.replace(
        "    expand", "    paginator: {type: page_number, total_path: total}\n    expand"
    )

    def answer(request: web.Request) -> Any:
        pages.append(int(request.query["page"]))
        late = [item(13)] if len(pages) > 3 else []
        trips = {1: [trip(1, visits=[item(11)])], 2: [trip(2, visits=[item(12), *late])]}
        return {"data": trips.get(pages[-1], []), "total": 2}

    assert "13" in ids(reading(tmp_path, paged, answer))


def test_a_row_is_tried_with_all_its_items(tmp_path: Path) -> None:
    system = read_folder(write_folder(tmp_path, EXPANDED))
    rows: Any = shape(system, "visit", trip(1, visits=[item(11), item(12)]))
    assert [row["id"] for row in rows] == [11, 12]


WITHIN = CHILDREN.replace("column: place_id", "column: place_id, within: id")


def test_rows_that_are_told_apart_within_their_parent_bear_both_keys(tmp_path: Path) -> None:
    def answer(request: web.Request) -> Any:
        if request.path == "/v1/places":
            page = request.query["page"]
            return {"data": [visit(number) for number in (1, 2)] if page == "1" else []}
        return {"data": [visit(0), visit(7), {**visit(8), "id": None}]}

    mapping = PLACES.replace("kind: visit, key: id", "kind: visit, key: text")
    assert ids(reading(tmp_path, WITHIN, answer, mapping=mapping)) == ["1,0", "1,7", "2,0", "2,7"]


WINDOWS = """\
auth: {type: bearer}
parameters: [since_day]
objects:
  visit:
    path: /v1/visits
    params: {start: "{from}", end: "{to}"}
    data_selector: data
    columns: {place_id: place.id}
    windows: {first: since_day, days: 365, overlap: 31}
"""


@pytest.mark.parametrize(
    ("first", "today", "spans"),
    [
        ("2026-01-01", "2026-01-01", [("2026-01-01", "2026-12-31")]),
        (
            "2024-01-01", "2025-11-20",
            [("2024-01-01", "2024-12-30"), ("2024-11-30", "2025-11-29"),
             ("2025-10-30", "2026-10-29")],
        ),
        ("2027-01-01", "2026-01-01", [("2027-01-01", "2027-12-31")]),
    ],
)  # fmt: skip
def test_windows_share_days_and_reach_beyond_today(
    first: str, today: str, spans: list[tuple[str, str]]
) -> None:
    windows = Windows(first="since_day", days=365, overlap=31)
    found = windows.spans(date.fromisoformat(first), date.fromisoformat(today))
    assert [(start.isoformat(), last.isoformat()) for start, last in found] == spans


def test_windows_that_would_not_go_on_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer days"):
        Windows(first="since_day", days=31, overlap=31)


def test_each_window_is_asked_for(tmp_path: Path) -> None:
    system = read_folder(write_folder(tmp_path, WINDOWS))
    asked: list[tuple[str, str]] = []

    async def answered(request: web.Request) -> web.Response:
        asked.append((request.query["start"], request.query["end"]))
        return web.json_response({"data": [visit(len(asked))]})

    async def run() -> list[Row]:
        async with serving(answered) as url:
            source = make_source(system, url, **{"parameter.since_day": "2025-01-01"})
            reader = source.reader("visit", system.contract("visit"))
            try:
                return [row async for page in reader.changes(None) for row in page.rows]
            finally:
                await source.close()

    assert len(asyncio.run(run())) == len(asked) > 1
    assert asked[:2] == [("2025-01-01", "2025-12-31"), ("2025-12-01", "2026-11-30")]


def test_a_first_day_that_is_none_is_refused(tmp_path: Path) -> None:
    system = read_folder(write_folder(tmp_path, WINDOWS))
    with pytest.raises(ConfigError, match=r"parameter\.since_day is no day"):
        make_source(system, "http://127.0.0.1:1", **{"parameter.since_day": "January"})
