"""Lists of a declared API that tell their changes from a token on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.bookmark import Phase
from connectors.polled.model import ContinuedReader, LostTokenError, Page
from connectors.polled.paging import BrokenPagingError
from connectors.rest.declaration import read_declaration
from schemas.errors import ConfigError, PsaStreamError, SchemaMismatchError, TargetBusyError
from schemas.system import SystemBundle
from tests.support.polled import MemoryLog
from tests.support.rest_api import (
    REST,
    Visits,
    make_source,
    poller_of,
    read_folder,
    write_folder,
)
from tests.support.vendor_server import serving

LINKS = (
    REST.format(paginator="{type: json_link, next_url_path: next, absent_is_end: true}")
    .replace('    params: {since: "{since}"}\n', "    params: {fields: all}\n")
    .replace("auth:", "headers: {X-Ask: rows, X-Size: '{page_size}'}\nauth:")
    + """\
    delta:
      headers: {X-Ask: "changes of {page_size}"}
      resume_path: delta
      removed: {when: "@removed.reason", id: id}
"""
)
TOKENS = LINKS.replace("resume_path: delta", "resume_path: delta\n      resume_param: sync")
EVERY_DAY = {"sweep.interval.ms": 86_400_000}

Answer = Callable[[web.Request], Any]


def row(number: int, text: str = "x") -> dict[str, Any]:
    return {"id": number, "text": text, "changed_at": None, "place": {"id": 1}}


def gone(number: object) -> dict[str, Any]:
    return {"@removed": {"reason": "deleted"}, "id": number}


def reading(tmp_path: Path, rest: str, answer: Answer, token: str | None = None) -> list[Page]:
    """What a reader of the folder yields from a token on where a server answers so."""
    system = read_folder(write_folder(tmp_path, rest))

    async def handle(request: web.Request) -> web.StreamResponse:
        found = answer(request)
        return found if isinstance(found, web.StreamResponse) else web.json_response(found)

    async def run() -> list[Page]:
        async with serving(handle) as url:
            source = make_source(system, url)
            reader = source.reader("visit", system.contract("visit"))
            assert isinstance(reader, ContinuedReader)
            try:
                return [page async for page in reader.continued(token)]
            finally:
                await source.close()

    return asyncio.run(run())


def pages(request: web.Request) -> Any:
    """All rows on two pages; then a change and a delete."""
    assert request.headers["X-Ask"] == "changes of 3"
    assert request.headers["X-Size"] == "3"
    match request.query.get("page"), request.query.get("token"):
        case None, None:
            assert request.query["fields"] == "all"
            return {"data": [row(1), row(2)], "next": "/v1/visits?page=2"}
        case "2", None:
            return {"data": [row(3)], "delta": "/v1/visits?token=a%2Fb!c"}
        case None, "a/b!c":
            return {"data": [row(2, "new"), gone(3)], "delta": "/v1/visits?token=later"}
    return web.json_response({}, status=400)


def test_it_begins_with_all_rows_and_goes_on_from_their_address(tmp_path: Path) -> None:
    first = reading(tmp_path, LINKS, pages)
    assert [[each.id for each in page.rows] for page in first] == [["1", "2"], ["3"]]
    assert first[0].token is None
    token = first[-1].token
    [page] = reading(tmp_path, LINKS, pages, token)
    assert [each.values["text"] for each in page.rows] == ["new"]
    assert page.gone == {"3"}
    assert page.token not in (None, token)


def test_a_token_may_go_into_a_parameter(tmp_path: Path) -> None:
    asked: list[str | None] = []

    def answer(request: web.Request) -> Any:
        asked.append(request.query.get("sync"))
        return {"data": [row(1)], "delta": f"s {len(asked)}"}

    [page] = reading(tmp_path, TOKENS, answer)
    reading(tmp_path, TOKENS, answer, page.token)
    assert asked == [None, "s 1"]


def test_of_a_row_that_is_there_and_gone_the_last_word_counts(tmp_path: Path) -> None:
    rows = [row(1), gone(1), gone(2), row(2), gone({}), row(4), row(4, "last"), "no row"]
    [page] = reading(tmp_path, LINKS, lambda _: {"data": rows, "delta": "/v1/visits?token=1"})
    assert [(each.id, each.values["text"]) for each in page.rows] == [("2", "x"), ("4", "last")]
    assert page.gone == {"1"}
    details = [each.detail for each in page.unreadable]
    assert details == ["a row is a text", "a deleted row: id: an object is not a key"]


@pytest.mark.parametrize(
    "change",
    [
        ("fields: all", "fields: more"),
        ("path: /v1/visits", "path: /v1/calls"),
        ('headers: {X-Ask: "changes', 'params: {also: this}\n      headers: {X-Ask: "changes'),
    ],
)
def test_a_token_of_another_question_is_lost(tmp_path: Path, change: tuple[str, str]) -> None:
    token = reading(tmp_path, LINKS, pages)[-1].token
    with pytest.raises(LostTokenError, match="what is asked for"):
        reading(tmp_path, LINKS.replace(*change), pages, token)


@pytest.mark.parametrize(
    ("status", "is_lost"),
    [(400, True), (404, True), (410, True), (403, False), (401, False), (429, False), (500, False)],
)
def test_a_token_that_the_vendor_does_not_take_is_lost(
    tmp_path: Path, status: int, *, is_lost: bool
) -> None:
    token = reading(tmp_path, LINKS, pages)[-1].token
    with pytest.raises(LostTokenError if is_lost else PsaStreamError):
        reading(tmp_path, LINKS, lambda _: web.json_response({}, status=status), token)


def test_pages_that_end_on_the_way_are_asked_for_again_from_the_token(tmp_path: Path) -> None:
    def answer(request: web.Request) -> Any:
        if "page" in request.query:
            return web.json_response({}, status=410)
        return {"data": [row(1)], "next": "/v1/visits?page=2"}

    with pytest.raises(TargetBusyError, match="has expired"):
        reading(tmp_path, LINKS, answer, reading(tmp_path, LINKS, pages)[-1].token)
    with pytest.raises(TargetBusyError, match="has expired"):
        reading(tmp_path, LINKS, answer)


@pytest.mark.parametrize("told", [{}, {"delta": None}, {"delta": ""}, {"delta": "/" * 8_001}])
def test_a_last_page_without_a_token_is_an_error(tmp_path: Path, told: dict[str, Any]) -> None:
    with pytest.raises(SchemaMismatchError, match="have the vendor track changes of this list"):
        reading(tmp_path, LINKS, lambda _: {"data": [row(1)], **told})


def test_an_address_elsewhere_is_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(BrokenPagingError):
        reading(tmp_path, LINKS, lambda _: {"data": [], "delta": "https://elsewhere.example/v1/"})


WRONG = {
    "delta tells changes and deletes of a whole list: no deleted beside it": LINKS
    + "    deleted: {path: /v1/gone, id: id, deleted_at: at}\n",
    "delta goes on from a token: nothing asks with {since} beside it": LINKS.replace(
        "fields: all", 'since: "{since}"'
    ),
    "{since} is no parameter: known are page_size": LINKS.replace(
        "changes of {page_size}", "{since}"
    ),
    "objects.visit.delta.removed": LINKS.replace("removed: {when", "removed: {wen"),
}


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_word_is_told(tmp_path: Path, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_declaration(read_folder(write_folder(tmp_path, WRONG[said])))
    assert said in str(caught.value)


def test_who_begins_to_follow_tokens_compares_all_rows_then(tmp_path: Path) -> None:
    """A bookmark of before `delta` was declared has none, and deletes since its last sweep."""
    api, log = Visits(), MemoryLog()
    rest = REST.format(paginator="{type: cursor, cursor_path: meta.after, cursor_param: after}")
    before = read_folder(write_folder(tmp_path / "before", rest))
    after = read_folder(write_folder(tmp_path / "after", LINKS))

    async def handle(request: web.Request) -> web.StreamResponse:
        rows = [each for each in api.rows if "token" not in request.query]
        return web.json_response({"data": rows, "delta": "/v1/visits?token=1"})

    async def poll(system: SystemBundle, answering: Any) -> None:
        async with serving(answering) as url:
            source = make_source(system, url, **EVERY_DAY)
            reader = source.reader("visit", system.contract("visit"))
            await poller_of(source, reader, log, api).poll()
            await source.close()

    asyncio.run(poll(before, api.answer))
    api.remove(4)
    asyncio.run(poll(after, handle))
    bookmark, _ = log.stored()
    assert bookmark is not None
    assert (bookmark.phase, bookmark.token is None) == (Phase.STREAMING, False)
    assert log.operations()[10:] == [("d", "4")]


def test_more_deletes_than_are_believed_wait_for_a_person(tmp_path: Path) -> None:
    """Whatever tells them: the token goes on, the rows stay, and the next process compares."""
    api, log = Visits(), MemoryLog()
    system = read_folder(write_folder(tmp_path, LINKS))
    told: list[list[Any]] = [api.rows, api.rows, [gone(number) for number in range(1, 10)]]

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response({"data": told.pop(0), "delta": f"/v1/visits?token={len(told)}"})

    async def run() -> None:
        async with serving(handle) as url:
            source = make_source(system, url, **EVERY_DAY, **{"max.delete.rows": 5})
            poller = poller_of(source, source.reader("visit", system.contract("visit")), log, api)
            await poller.poll()
            told.insert(0, [])
            await poller.poll()
            await poller.poll()
            await source.close()

    asyncio.run(run())
    assert [operation for operation, _ in log.operations()] == ["r"] * 10
    bookmark, ledger = log.stored()
    assert bookmark is not None and bookmark.swept_at is None
    assert ledger.living_count == 10
