"""Lists of a declared API that name rows only, and queues that tell their changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.model import QueuedReader
from connectors.polled.poller import ObjectPoller
from connectors.rest.declaration import read_declaration
from connectors.rest.paths import ABSENT, astray, at
from schemas.errors import (
    ConfigError,
    PsaStreamError,
    SchemaMismatchError,
    TargetBusyError,
    TransientError,
)
from tests.support.polled import MemoryLog
from tests.support.rest_api import Visits, make_source, poller_of, read_folder, write_folder
from tests.support.vendor_server import serving

REST = """\
auth: {type: bearer}
parameters: [tenant]
outcomes:
  - {status: 204, means: nothing, evidence: a test}
  - {status: 403, means: refused, evidence: a test}
  - {status: 404, means: not_found, evidence: a test}
paginator: {type: offset, no_content_is_end: true}
objects:
  visit:
    path: /v1/visits
    data_selector: data
    each: {path: "/v1/visits/{id}", data_selector: data}
    queue:
      path: /v1/messages
      headers: {X-For: "{tenant}"}
      message_header: X-Message
      delete: "/v1/messages/{message}"
      data_selector: events
      id: [new.visit, visit]
    columns: {place_id: place.id}
    optional: [text]
"""
HOURLY = 3_600_000


@dataclass
class Queue:
    """Visits by id, and messages that name them."""

    rows: dict[int, str | None] = field(default_factory=lambda: {1: "one", 2: "two"})
    messages: list[tuple[str, Any]] = field(default_factory=list)
    deletes: int = 200
    refused: int | None = None
    keeps: bool = False
    lacks: int | None = None
    asked: list[str] = field(default_factory=list)

    def change(self, number: int, text: str) -> None:
        self.rows[number] = text
        self.messages.append((f"m/{len(self.messages)} =", {"events": [{"visit": number}]}))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.rel_url.raw_path}")
        if request.method == "DELETE":
            return self._deleted(request)
        if request.path == "/v1/messages":
            return self._first(request)
        if request.path == "/v1/visits":
            start = int(request.query["offset"])
            shown = [{"id": number} for number in [*self.rows][start : start + 2]]
            return web.json_response({"data": shown}) if shown else web.Response(status=204)
        number = int(request.path.rpartition("/")[2])
        if number == self.refused or number not in self.rows:
            return web.json_response({}, status=403 if number == self.refused else 404)
        row = {"id": number, "text": self.rows[number], "changed_at": None, "place": {"id": 7}}
        if row["text"] is None:
            del row["text"]
        if number == self.lacks:
            del row["place"]
        return web.json_response({"data": [row]})

    def _first(self, request: web.Request) -> web.Response:
        assert request.headers["X-For"] == "acme"
        if not self.messages:
            return web.Response(status=204)
        message, body = self.messages[0]
        text = body if isinstance(body, str) else json.dumps(body)
        headers = {"X-Message": message}
        return web.Response(text=text, content_type="application/json", headers=headers)

    def _deleted(self, request: web.Request) -> web.Response:
        assert request.path == f"/v1/messages/{self.messages[0][0]}"
        if self.deletes < 500 and not self.keeps:
            self.messages.pop(0)
        return web.json_response({}, status=self.deletes)


@dataclass
class Running:
    """A poller on a queue, and what it published."""

    queue: Queue
    log: MemoryLog
    restart: Callable[[], ObjectPoller]

    def texts(self) -> list[Any]:
        return [change.after and change.after["text"] for change in self.log.changes]


def run(tmp_path: Path, body: Callable[[Running], Any], sweep_ms: int = HOURLY) -> None:
    """Give a body a poller that has read all rows."""
    system = read_folder(write_folder(tmp_path, REST))
    queue, log, clock = Queue(), MemoryLog(), Visits()

    async def whole() -> None:
        async with serving(queue.answer) as url:
            keys = {"parameter.tenant": "acme", "sweep.interval.ms": sweep_ms, "page.size": 2}
            source = make_source(system, url, **keys)

            def restart() -> ObjectPoller:
                reader = source.reader("visit", system.contract("visit"))
                assert isinstance(reader, QueuedReader)
                return poller_of(source, reader, log, clock)

            try:
                await restart().poll()
                queue.asked.clear()
                await body(Running(queue, log, restart))
            finally:
                await source.close()

    asyncio.run(whole())


def test_what_a_message_names_is_read_and_published_and_then_deleted(tmp_path: Path) -> None:
    async def body(it: Running) -> None:
        it.queue.change(2, "new")
        it.queue.change(3, "three")
        await it.restart().poll()
        assert it.texts() == ["one", "two", "new", "three"]
        assert it.queue.asked == [
            "GET /v1/messages",
            "GET /v1/visits/2",
            "DELETE /v1/messages/m%2F0%20=",
            "GET /v1/messages",
            "GET /v1/visits/3",
            "DELETE /v1/messages/m%2F1%20=",
            "GET /v1/messages",
        ]

    run(tmp_path, body)


def test_a_message_stays_until_what_it_tells_is_committed(tmp_path: Path) -> None:
    async def body(it: Running) -> None:
        it.queue.change(2, "new")
        it.log.failures = iter([True])
        with pytest.raises(TransientError):
            await it.restart().poll()
        assert (len(it.queue.messages), it.texts()) == (1, ["one", "two"])
        await it.restart().poll()
        assert (it.queue.messages, it.texts()) == ([], ["one", "two", "new"])

    run(tmp_path, body)


def test_a_message_that_is_met_again_after_its_commit_publishes_nothing(tmp_path: Path) -> None:
    async def body(it: Running) -> None:
        it.queue.change(2, "new")
        it.queue.deletes = 500
        with pytest.raises(PsaStreamError):
            await it.restart().poll()
        assert (len(it.queue.messages), it.texts()) == (1, ["one", "two", "new"])
        it.queue.deletes = 404
        await it.restart().poll()
        assert (it.queue.messages, it.texts()) == ([], ["one", "two", "new"])

    run(tmp_path, body)


def test_a_queue_that_still_shows_what_was_deleted_ends_the_poll(tmp_path: Path) -> None:
    async def body(it: Running) -> None:
        it.queue.change(2, "new")
        it.queue.keeps = True
        with pytest.raises(TargetBusyError, match="shows a message that was deleted"):
            await it.restart().poll()
        assert it.texts() == ["one", "two", "new"]

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("told", "kept", "why"),
    [
        ("{", None, "sent a body that cannot be used"),
        ("null", None, "it came without content"),
        ({"events": []}, {"events": []}, "it has nothing at events"),
        ({"events": [{"visit": None}]}, {"visit": None}, "it names no row: null is not a key"),
        ({"events": [{"visit": ".."}]}, {"visit": ".."}, "it names no row: the key has not"),
        ({"events": [{"new": {"visit": 9}}]}, {"new": {"visit": 9}}, "9: it is not there"),
        ({"events": [{"visit": 1}]}, {"visit": 1}, "1: it is refused by itself: 403"),
    ],
)
def test_a_message_that_tells_nothing_is_parked_with_all_it_holds_and_deleted(
    tmp_path: Path, told: Any, kept: Any, why: str
) -> None:
    async def body(it: Running) -> None:
        it.queue.messages.append(("odd", told))
        it.queue.change(2, "new")
        it.queue.refused = 1
        await it.restart().poll()
        assert (it.queue.messages, it.texts()) == ([], ["one", "two", "new"])
        [parked] = it.log.rejected
        assert why in parked.detail
        assert parked.raw == {"X-Message": "odd", "told": kept}

    run(tmp_path, body)


def test_a_row_that_lacks_a_column_is_parked_under_its_id(tmp_path: Path) -> None:
    async def body(it: Running) -> None:
        it.queue.change(2, "new")
        it.queue.lacks = 2
        it.queue.change(1, "newer")
        await it.restart().poll()
        assert (it.queue.messages, it.texts()) == ([], ["one", "two", "newer"])
        [parked] = it.log.rejected
        assert parked.row_id == "2"
        assert "came without place_id" in parked.detail

    run(tmp_path, body)


def test_a_column_that_all_rows_had_is_lost_to_one_once_all_are_read(tmp_path: Path) -> None:
    """Its message stays until a sweep has told whether the others still have it."""

    async def body(it: Running) -> None:
        it.queue.change(2, "new")
        it.queue.rows[2] = None
        poller = it.restart()
        await poller.poll()
        assert [message for message, _ in it.queue.messages] == ["m/0 ="]
        assert it.texts() == ["one", "two", None]
        await poller.poll()
        assert (it.queue.messages, it.texts()) == ([], ["one", "two", None])

    run(tmp_path, body)


def test_who_asks_whether_it_can_sign_in_reads_no_row(tmp_path: Path) -> None:
    system = read_folder(write_folder(tmp_path, REST))
    queue = Queue()

    async def whole() -> None:
        async with serving(queue.answer) as url:
            source = make_source(system, url, **{"parameter.tenant": "acme"})
            assert await source.sign_in() is not None
            await source.close()

    asyncio.run(whole())
    assert queue.asked == ["GET /v1/visits"]


def test_a_message_without_an_id_stops_the_object(tmp_path: Path) -> None:
    async def body(it: Running) -> None:
        it.queue.messages.append(("..", {"events": [{"visit": 1}]}))
        with pytest.raises(SchemaMismatchError, match="a message without an id cannot be deleted"):
            await it.restart().poll()

    run(tmp_path, body)


def test_a_queue_that_fails_holds_up_no_sweep(tmp_path: Path) -> None:
    async def body(it: Running) -> None:
        it.queue.rows[1] = "changed in silence"
        it.queue.messages.append(("..", {}))
        poller = it.restart()
        for _ in range(2):
            with pytest.raises(SchemaMismatchError):
                await poller.poll()
        assert it.texts() == ["one", "two", "changed in silence"]

    run(tmp_path, body, sweep_ms=10)


def test_a_listed_row_that_is_refused_by_itself_is_there_all_the_same(tmp_path: Path) -> None:
    async def body(it: Running) -> None:
        it.queue.refused = 1
        await it.restart().poll()
        await it.restart().poll()
        assert [row.row_id for row in it.log.rejected] == ["1"]
        assert it.log.operations() == [("r", "1"), ("r", "2")]

    run(tmp_path, body, sweep_ms=10)


WRONG = {
    "queue names rows, and each is missing": REST.replace("    each:", "    #"),
    "each reads rows of a whole list: no windows beside it": REST.replace(
        "[tenant]", "[tenant, day]"
    )
    + "    windows: {first: day, days: 9}\n",
    "nothing asks with {id}": REST.replace("/v1/visits/{id}", "/v1/visits/id"),
    "nothing asks with {message}": REST.replace("messages/{message}", "messages/last"),
    "{nobody} is no parameter": REST.replace("{tenant}", "{nobody}"),
}


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_word_is_told(tmp_path: Path, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_declaration(read_folder(write_folder(tmp_path, WRONG[said])))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"a": {}}, "a.b.c", ABSENT),
        ({"a": {"b": None}}, "a.b.c", ABSENT),
        ({"a": True}, "a.b", True),
        ({"a": []}, "a.0.b", ABSENT),
        ({"a": {"x": 1}}, "a.0.b", {"x": 1}),
        ({"a": [[]]}, "a.0.b", []),
        ({"a": [[]]}, "a.[b=1].c", [[]]),
        ({"a": [{"b": True}]}, "a.[b=true].c", ABSENT),
    ],
)
def test_another_type_on_the_way_is_not_a_missing_name(value: Any, path: str, found: Any) -> None:
    assert at(value, path) in (ABSENT, None)
    met = astray(value, path)
    assert met is found if found is ABSENT else met == found


def test_an_element_is_found_by_a_truth_value_and_by_a_field_of_a_field() -> None:
    value = [{"is": False, "at": {"x": "a b"}}, {"is": True}]
    assert at(value, "[is=true]") == {"is": True}
    assert at(value, "[at.x=a b].is") is False
