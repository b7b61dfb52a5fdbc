"""Every way to page, with everything that goes wrong between two pages: all rows, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.paging import BrokenPagingError
from connectors.toolkit.faults import UnreadableBodyError
from schemas.errors import PsaStreamError, RateLimitedError, SchemaMismatchError, TargetBusyError
from schemas.system import SystemBundle
from tests.support.polled import MemoryLog
from tests.support.rest_api import (
    PAGINATORS,
    REST,
    Visits,
    make_source,
    poller_of,
    read_folder,
    served,
    write_folder,
)

COUNTED = [name for name in PAGINATORS if name.startswith(("page_number", "offset"))]
TOKENS = ["cursor", "cursor_then_absent", "json_link", "json_link_relative", "header_link"]
LINKS = ["json_link", "header_link"]
Body = dict[str, Any]


@cache
def system_of(paginator: str) -> SystemBundle:
    with TemporaryDirectory() as parent:
        return read_folder(write_folder(Path(parent), REST.format(paginator=PAGINATORS[paginator])))


@dataclass
class Polls:
    """What came of some polls: errors (None: a complete one), and what was published."""

    ends: list[type[PsaStreamError] | None]
    log: MemoryLog

    def texts(self) -> dict[str, Any]:
        return {row_id: row["text"] for row_id, row in self.log.state().items()}


def polls(
    paginator: str, api: Visits, count: int, between: Callable[[int], None] = lambda number: None
) -> Polls:
    """Poll so often, in one process. `between` runs before each poll but the first."""
    found = Polls([], MemoryLog())

    async def run() -> None:
        async with served(api) as url:
            source = make_source(system_of(paginator), url)
            try:
                contract = source.system.contract("visit")
                poller = poller_of(source, source.reader("visit", contract), found.log, api)
                for number in range(count):
                    if number:
                        between(number)
                    try:
                        await poller.poll()
                    except PsaStreamError as error:
                        found.ends.append(type(error))
                    else:
                        found.ends.append(None)
            finally:
                await source.close()

    asyncio.run(run())
    return found


def is_first(request: web.Request) -> bool:
    later = {"page", "p", "offset", "cursor", "after", "since_id", "hidden"} & set(request.query)
    first = {"page": "1", "p": "0", "offset": "0"}
    return all(request.query[name] == first.get(name) for name in later)


class OnSecond:
    """Gives another answer to the first request that is not of a first page."""

    def __init__(self, spoil: Callable[[web.Request, Body], web.StreamResponse | Body]) -> None:
        self._spoil = spoil
        self.count = 0

    def __call__(self, request: web.Request, body: Body) -> web.StreamResponse | Body:
        if is_first(request) or self.count:
            return body
        self.count += 1
        return self._spoil(request, body)


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_all_rows_are_told_once_and_a_second_poll_tells_nothing(paginator: str) -> None:
    api = Visits()
    found = polls(paginator, api, 2)
    assert found.ends == [None, None]
    assert found.texts() == api.truth()
    assert found.log.operations() == [("r", str(number)) for number in range(1, 11)]
    assert found.log.state()["7"]["place_id"] == 107
    assert all(request.headers["Authorization"] == "Bearer t0ken" for request in api.asked)


@pytest.mark.parametrize("paginator", PAGINATORS)
@pytest.mark.parametrize("rows", [0, 1, 3, 4])
def test_any_number_of_rows_fits_its_pages(paginator: str, rows: int) -> None:
    api = Visits()
    api.rows = api.rows[:rows]
    found = polls(paginator, api, 1)
    assert found.ends == [None]
    assert found.texts() == api.truth()


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_a_page_that_is_shorter_than_asked_for_is_no_end(paginator: str) -> None:
    api = Visits(page=2)  # whatever page.size says
    assert polls(paginator, api, 1).texts() == api.truth()


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_a_row_that_slides_to_an_earlier_page_is_not_lost(paginator: str) -> None:
    api = Visits()

    def remove_first(request: web.Request, body: Body) -> Body:
        api.remove(1)
        return body

    # The page that is answered was cut before the delete; the next one is not.
    api.spoil = OnSecond(remove_first)
    found = polls(paginator, api, 1)
    assert found.ends == [None]
    assert found.texts().items() >= api.truth().items()
    assert len(found.log.changes) == 10, "a row was told twice"


@pytest.mark.parametrize(
    ("paginator", "readings"),
    [("json_link", 2), ("header_link", 2), ("json_link_of_rows", 1), ("json_link_declared", 1),
     ("cursor", 1), ("cursor_of_pages", 2), ("cursor_in_disguise", 2)],
)  # fmt: skip
def test_a_list_is_read_once_only_where_nothing_can_slide_past(
    paginator: str, readings: int
) -> None:
    api = Visits()
    before = "2026-05-04T11:00:00Z"
    # Ids that are no count of what was shown.
    api.rows = [{**row, "id": 50 + row["id"], "changed_at": before} for row in api.rows]
    assert polls(paginator, api, 1).ends == [None]
    assert len(api.asked) == readings * 4


def test_a_list_that_changes_with_each_reading_is_read_to_its_end() -> None:
    api = Visits()
    api.rows = [{**row, "changed_at": "2026-05-04T11:00:00Z"} for row in api.rows]

    def add(request: web.Request, body: Body) -> Body:
        api.put(100 + len(api.asked), "made meanwhile")
        return body

    api.spoil = add
    assert polls("json_link", api, 1).ends == [None]


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_a_row_that_is_gone_is_deleted_when_two_complete_scans_miss_it(paginator: str) -> None:
    api = Visits()
    found = polls(paginator, api, 2, lambda number: api.remove(4))
    assert found.texts() == api.truth()
    assert found.log.operations()[10:] == [("d", "4")]


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_only_what_changed_is_told_and_asked_for(paginator: str) -> None:
    api = Visits()

    def change(number: int) -> None:
        api.put(5, "another text")
        api.asked.clear()

    found = polls(paginator, api, 2, change)
    assert found.texts() == api.truth()
    assert found.log.operations()[10:] == [("u", "5")]
    assert api.asked[0].query["since"] <= "2026-05-04T12:00:00Z"


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_half_an_answer_is_no_answer(paginator: str) -> None:
    api = Visits()
    api.spoil = OnSecond(
        lambda request, body: web.Response(body=b'{"data": [{"id": 4', headers={"Date": "x"})
    )
    found = polls(paginator, api, 2)
    assert found.ends == [UnreadableBodyError, None]
    assert found.texts() == api.truth()
    assert len(found.log.changes) == 10


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_who_asks_too_often_is_told_how_long_to_wait_and_loses_nothing(paginator: str) -> None:
    api = Visits()
    api.spoil = OnSecond(
        lambda request, body: web.Response(status=429, headers={"Retry-After": "7"})
    )
    found = polls(paginator, api, 2)
    assert found.ends == [RateLimitedError, None]
    assert found.texts() == api.truth()
    assert len(found.log.changes) == 10


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_a_cursor_that_has_expired_starts_the_list_anew(paginator: str) -> None:
    api = Visits()
    api.spoil = OnSecond(lambda request, body: web.json_response({}, status=410))
    found = polls(paginator, api, 2)
    assert found.ends == [TargetBusyError, None]
    assert found.texts() == api.truth()
    assert len(found.log.changes) == 10


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_a_page_that_comes_again_doubles_no_row(paginator: str) -> None:
    api = Visits()
    sound: list[Body] = []

    def again(request: web.Request, body: Body) -> Body:
        if not sound or is_first(request):
            sound.append(body)
            return body
        return {**body, "data": sound[0]["data"]} if len(api.asked) == 2 else body

    api.spoil = again
    found = polls(paginator, api, 2)
    api.spoil = lambda request, body: body
    assert found.texts() == api.truth(), found.ends
    assert len(found.log.changes) == 10


@pytest.mark.parametrize("paginator", PAGINATORS)
def test_a_list_that_shows_its_first_page_for_ever_is_reported(paginator: str) -> None:
    api = Visits()
    first: list[Body] = []

    def always_first(request: web.Request, body: Body) -> Body:
        first.append(body)
        return first[0]

    api.spoil = always_first
    found = polls(paginator, api, 1)
    if paginator == "page_number_of_pages":  # as many pages as it says, all of them the same
        assert found.ends in ([BrokenPagingError], [None])
    else:
        assert found.ends == [BrokenPagingError]
    assert len(api.asked) < 8
    assert len(found.log.changes) == 3


@pytest.mark.parametrize("paginator", LINKS)
@pytest.mark.parametrize(
    "leads",
    [
        "http://127.0.0.1:{other}/v1/visits?cursor=3",
        "http://localhost:{port}/v1/visits?cursor=3",
        "https://127.0.0.1:{port}/v1/visits?cursor=3",
        "//127.0.0.1:{other}/v1/visits?cursor=3",
        "http://127.0.0.1:{port}@127.0.0.1:{other}/v1/visits?cursor=3",
        "http://user@127.0.0.1:{port}/v1/visits?cursor=3",
        "http://127.0.0.1:no/v1/visits?cursor=3",
        "file:///v1/visits",
    ],
)
def test_a_link_to_another_host_is_not_followed(paginator: str, leads: str) -> None:
    api, other = Visits(), Visits()

    async def run() -> None:
        async with served(api) as url, served(other) as elsewhere:
            port, other_port = url.rpartition(":")[2], elsewhere.rpartition(":")[2]
            target = leads.format(port=port, other=other_port)
            api.spoil = lambda request, body: {**body, "links": {"next": target, "relative": ""}}
            source = make_source(system_of(paginator), url)
            reader = source.reader("visit", source.system.contract("visit"))
            try:
                with pytest.raises(BrokenPagingError, match="outside the API"):
                    async for _ in reader.changes(None):
                        pass
            finally:
                await source.close()

    asyncio.run(run())
    assert len(api.asked) == 1
    assert other.asked == []


@pytest.mark.parametrize("paginator", [*TOKENS, "page_number_and_more", "page_number_of_rows"])
def test_an_answer_without_the_word_that_tells_of_more_is_no_last_page(paginator: str) -> None:
    api = Visits()
    api.spoil = lambda request, body: body | {"meta": {}, "links": {}, "paging": {}}
    is_its_end = paginator in {"cursor_then_absent", "header_link"}
    assert polls(paginator, api, 1).ends == [None if is_its_end else SchemaMismatchError]
