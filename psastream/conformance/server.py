"""An API as its vendor documents it, made of a `conformance.yaml` and sample rows.

It lists rows in pages, shows changes and deletes as documented, and refuses who does not ask as
documented.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from connectors.rest.paths import ABSENT
from psastream.conformance.account import Account, Stored, order_of
from psastream.conformance.documented import (
    After,
    Answer,
    Api,
    Counted,
    Limit,
    Link,
    ListOf,
    Lost,
    Paging,
    Queue,
    Single,
    Token,
    Tracked,
)
from psastream.conformance.paths import dump, get, load, put

DEFAULT_PAGE: Final = 3
_WORD: Final = re.compile(r"\$\{(?P<base64>base64 )?(?P<name>\w+)(?P<rest>:\w*)?\}")
NO_CONTENT: Final = object()
"""The body of an answer that has none."""
PAGES: Final = 10_000
"""So many pages a list tells that never ends."""


@dataclass(frozen=True, slots=True)
class _Counts:
    """Where a page ends in a list: `after` so many rows of those `found`.

    `since`: the version since which changes are asked for, None where none are.
    """

    found: list[Stored]
    after: int
    has_more: bool
    size: int
    is_endless: bool
    since: int | None = None

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return PAGES if self.is_endless else -(-len(self.found) // self.size)

    def next_of(self, paging: Counted) -> int | None:
        """What asks for the next page where pages are counted."""
        if not self.has_more:
            return None
        return self.after if paging.type == "offset" else paging.base + self.after // self.size

    @property
    def passed(self) -> list[str]:
        """Ids of the rows that were shown."""
        return [stored.key for stored in self.found[: self.after]]


class RefusedAskError(Exception):
    """A request that the vendor's pages do not allow."""

    def __init__(self, status: int, detail: str, body: object = None) -> None:
        super().__init__(detail)
        self.status = status
        self.body = body if body is not None else {"message": detail}


class DocumentedApi(Account):
    """The API of one account. Rows are put and removed by its owner, and told over HTTP.

    A subclass may answer what no list describes (`told`), and look at who signs in (`signed_in`).
    """

    def __init__(
        self,
        api: Api,
        samples: Mapping[str, list[dict[str, Any]]],
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(api.objects, samples, clock)
        self.environment = environment
        self._api = api
        self._token = f"token-of-{api.tokens.path}" if api.tokens else ""
        self._passed: dict[str, set[str]] = {}
        self._tracking: dict[str, int] = {}
        self._given: dict[str, int] = {}
        self.messages: dict[str, Any] = {}
        """What the queue holds: bodies by id, the first first."""
        self._announced = 0

    def put(
        self,
        obj: str,
        key: str,
        text: str | None = None,
        *,
        stamp: datetime | None = None,
        row: Mapping[str, Any] | None = None,
        silent: bool = False,
    ) -> None:
        """Write a row, as an account does, and tell the queue."""
        super().put(obj, key, text, stamp=stamp, row=row, silent=silent)
        queue = self._api.queue
        if queue is not None and self.documented(obj).announced and not silent:
            self.announce(load(dump(queue.body).replace(b"{id}", key.encode())))

    def announce(self, body: object) -> None:
        """Put a message into the queue; bytes are told as they are."""
        self._announced += 1
        self.messages[f"m/{self._announced}="] = body

    @property
    def token_path(self) -> str | None:
        """Where tokens are had."""
        return self._api.tokens.path if self._api.tokens else None

    @property
    def secrets(self) -> set[str]:
        """What it gave out that nobody else may see."""
        return {self._token} - {""}

    @property
    def answers(self) -> Sequence[Answer]:
        """Answers that the vendor documents."""
        return self._api.answers

    def tracked_of(self, obj: str) -> Tracked | None:
        """Return how an object is asked for what changed since a token, if it can be."""
        tracks = any(listed.tracks for listed in self.documented(obj).lists)
        return self._api.tracked if tracks else None

    def queue_of(self, obj: str) -> Queue | None:
        """Return the queue that tells changes of an object, if one does."""
        return self._api.queue if self.documented(obj).announced else None

    def paging_of(self, obj: str) -> Paging:
        """Return how pages of the first list of an object follow."""
        return self.documented(obj).lists[0].paging or self._api.paging

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            body, headers = await self._answer(request)
        except RefusedAskError as error:
            return respond(error.status, error.body, self.clock())
        if body is NO_CONTENT:
            return web.Response(status=204, headers={"Date": dated(self.clock())})
        return respond(200, body, self.clock(), headers)

    async def _answer(self, request: web.Request) -> tuple[object, dict[str, str]]:
        tokens = self._api.tokens
        if tokens is not None and request.path == tokens.path:
            self.signed_in(request, await request.post())
            found = {"access_token": self._token, "token_type": "Bearer"}
            return {**found, "expires_in": tokens.expires_in}, {}
        for name, pattern in self._api.headers.items():
            if request.headers.get(name) != self._filled(pattern):
                raise RefusedAskError(401, f"{name} is missing or wrong")
        asked = load(await request.text()) if request.can_read_body else None
        return self.told(request, asked)

    def signed_in(self, request: web.Request, form: Mapping[str, Any]) -> None:
        """Look at who asks for a token. Raises RefusedAskError."""

    def told(self, request: web.Request, asked: Any) -> tuple[object, dict[str, str]]:
        """Return body and headers of the answer to a request. Raises RefusedAskError.

        `asked` is its body.
        """
        if self._api.queue is not None and (found := self._queued(self._api.queue, request)):
            return found
        for obj, documented in self._api.objects.items():
            for listed in documented.lists:
                if (key := _match_one(listed, request)) is not None:
                    return self._one(obj, listed, key), {}
                if (parent := _match(listed, request)) is not None:
                    return self._page(obj, listed, request, asked, parent)
        raise RefusedAskError(404, "there is no such list")

    def _queued(self, queue: Queue, request: web.Request) -> tuple[object, dict[str, str]] | None:
        """Answer a request to the queue, None to another. Raises RefusedAskError."""
        if (request.method, request.path) == ("GET", queue.path):
            first = next(iter(self.messages), None)
            if first is None:
                return NO_CONTENT, {}
            return self.messages[first], {queue.header: first}
        pattern = re.escape(queue.delete).replace(r"\{message\}", "(?P<message>.+)")
        found = re.fullmatch(pattern, request.path)
        if request.method != "DELETE" or found is None:
            return None
        if found["message"] not in self.messages:
            raise RefusedAskError(404, "there is no such message")
        return self.messages.pop(found["message"]), {}

    def _one(self, obj: str, listed: ListOf, key: str) -> object:
        """A row by itself. Raises RefusedAskError where there is none."""
        stored = self.rows[obj].get(key)
        if stored is None or stored.deleted_at is not None:
            raise RefusedAskError(404, "there is no such row")
        rows = self.quirks.reshape([self._shown(obj, listed, stored)])
        return self._body(obj, listed, rows[:1])

    def _filled(self, pattern: str) -> str:
        words = {**self.environment, "token": self._token}

        def fill(found: re.Match[str]) -> str:
            text = words.get(found["name"], "") + (found["rest"] or "")
            return b64encode(text.encode()).decode() if found["base64"] else text

        return _WORD.sub(fill, pattern)

    def _page(
        self, obj: str, listed: ListOf, request: web.Request, asked: Any, parent: str
    ) -> tuple[object, dict[str, str]]:
        words = {**asked} if isinstance(asked, dict) else {}
        words |= request.query
        since = self._tracked(listed, request)
        found = (
            self.changed(obj, since) if since else self._listed(obj, listed, words, asked, parent)
        )
        found = found[: self.quirks.shown_rows]
        size = self._size(words, request.headers)
        paging = listed.paging or self._api.paging
        start = self._start(paging, words, found, size)
        if self.quirks.repeats and isinstance(paging, Counted):
            start = 0
        window = listed.window
        if window is not None and start >= (self.quirks.window_rows or window.rows):
            raise RefusedAskError(window.status, "too far", window.body)
        shown = found if paging.type == "single" else found[start : start + size]
        after = start + len(shown)
        self.pages += bool(shown)
        gone = [each for each in shown if since and each.deleted_at is not None]
        rows = self.quirks.reshape(
            [self._shown(obj, listed, each) for each in shown if each not in gone]
        )
        rows += [_removed(self._api.tracked, each.key) for each in gone]
        if listed.one is not None:
            rows = [_id_alone(row, self.documented(obj).id) for row in rows]
        if isinstance(paging, Counted) and paging.no_content and not shown:
            return NO_CONTENT, {}
        body = self._body(obj, listed, rows)
        has_more = bool(shown) and (after < len(found) or self.quirks.repeats)
        if self.quirks.repeats:
            after = min(size, len(found))
        if self.quirks.away is not None and isinstance(paging, Link):
            has_more = True
        if since is not None and not has_more:
            return self._with_token(_param_of(paging), body, request)
        counts = _Counts(found, after, has_more, size, self.quirks.repeats, since)
        return self._with_next(paging, body, request, counts)

    def _tracked(self, listed: ListOf, request: web.Request) -> int | None:
        """Since when changes are asked for: 0 for all rows, None where none are tracked.

        Raises RefusedAskError for a token that is of no use, and for what is not taken with one.
        """
        tracked, words = self._api.tracked, request.query
        if tracked is None or not listed.tracks:
            return None
        paging = listed.paging or self._api.paging
        following = [value for name, value in words.items() if name == _param_of(paging)]
        is_asked = tracked.text in request.headers.get(tracked.header, "")
        since = 0 if is_asked else None
        if following and following[0] in self._tracking:
            since = self._tracking[following[0]]
        elif tracked.param in words:
            given = self._given.get(words[tracked.param])
            if given is None:
                lost = self.quirks.lost or tracked.lost[0]
                raise RefusedAskError(lost.status, "the token has expired", lost.body)
            since = given
        if since is not None and (refused := [name for name in tracked.refuses if name in words]):
            raise RefusedAskError(400, f"{refused[0]} is not supported with change tracking")
        return since

    def lose_tokens(self, lost: Lost) -> None:
        """Refuse the tokens that were given until now."""
        self._given.clear()
        self.quirks.lost = lost

    def _with_token(
        self, skipped: str | None, body: Any, request: web.Request
    ) -> tuple[object, dict[str, str]]:
        """A last page: with the address of what changes from now on."""
        tracked = self._api.tracked
        assert tracked is not None
        token = f"{self.version}!{self.clock():%m/%d/%Y %H:%M:%S}"
        self._given[token] = self.version
        query = {name: value for name, value in request.query.items() if name != skipped}
        target = request.rel_url.with_query({**query, tracked.param: token})
        address = f"{request.scheme}://{request.host}{target.raw_path_qs}"
        return put(body, tracked.path, address), {}

    def _size(self, words: Mapping[str, Any], headers: Mapping[str, str]) -> int:
        limit = self._api.limit
        asked = DEFAULT_PAGE
        if limit is not None and (told := _limit_of(limit, words, headers)) is not None:
            asked = told
            if asked > limit.max and limit.status_above is not None:
                name = limit.param or limit.header
                raise RefusedAskError(limit.status_above, f"{name} is too large")
            asked = min(asked, limit.max)
        return min(asked, self.quirks.page_rows or asked)

    def _listed(
        self, obj: str, listed: ListOf, words: Mapping[str, Any], asked: Any, parent: str
    ) -> list[Stored]:
        found = self.logged(obj) if listed.shows == "deleted" else self.visible(obj)
        if self.documented(obj).parent is not None and parent:
            found = [stored for stored in found if stored.parent == parent]
        if listed.since is not None:
            found = [stored for stored in found if _is_since(listed, stored, words, asked)]
        return found

    def _body(self, obj: str, listed: ListOf, rows: list[Any]) -> Any:
        """An answer that holds rows: in a list, or by their ids beside a list that names them."""
        if listed.by_id is None:
            return rows if listed.rows is None else put({}, listed.rows, rows)
        named: dict[str, Any] = {}
        for number, row in enumerate(rows):
            found = get(row, self.documented(obj).id) if isinstance(row, dict) else None
            is_id = isinstance(found, str | int) and not isinstance(found, bool)
            named[str(found) if is_id and found != "" else f"odd-{number}"] = row
        references = [{"key": listed.by_id, "id": name} for name in named]
        return put({listed.by_id: named}, listed.rows or "results", references)

    def _shown(self, obj: str, listed: ListOf, stored: Stored) -> Any:
        row: Any = stored.row if listed.row is None else put({}, listed.row, stored.row)
        if listed.id_at is not None:
            key = self.documented(obj).id
            row = put(put({}, key, stored.key), listed.id_at, get(stored.row, key))
        if listed.deleted_at is None or stored.deleted_at is None:
            return row
        text = stored.deleted_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return put(row, listed.deleted_at, text)

    def _start(
        self, paging: Paging, words: Mapping[str, Any], found: list[Stored], size: int
    ) -> int:
        match paging:
            case Link() | Token():
                param = paging.token_param if isinstance(paging, Link) else paging.param
                if param not in words:
                    return 0
                if str(words[param]) not in self._passed:
                    raise RefusedAskError(400, f"{param} is no token")
                passed = self._passed[str(words[param])]
                return sum(stored.key in passed for stored in found)
            case After():
                after = words.get(paging.param)
                return (
                    0 if after is None else sum(order_of(s.key) <= order_of(after) for s in found)
                )
            case Counted(type="page"):
                return (int(words.get(paging.param, paging.base)) - paging.base) * size
            case Counted():
                return int(words.get(paging.param, 0))
        return 0

    def _token_after(self, at: _Counts) -> str:
        """What asks for the rows behind those that were shown."""
        token = hashlib.sha256(dump([at.passed, at.since])).hexdigest()[:16]
        self._passed[token] = set(at.passed)
        if at.since is not None:
            self._tracking[token] = at.since
        return token

    def _with_next(
        self, paging: Paging, body: Any, request: web.Request, at: _Counts
    ) -> tuple[object, dict[str, str]]:
        match paging:
            case Link():
                host = self.quirks.away or f"{request.scheme}://{request.host}"
                target = request.rel_url.update_query({paging.token_param: self._token_after(at)})
                address = f"{host}{target.raw_path_qs}" if at.has_more else None
                if paging.path is not None:
                    return put(body, paging.path, address), {}
                return body, {"Link": f'<{address}>; rel="next"'} if address else {}
            case Token() if at.has_more or not paging.absent_at_end:
                token = self._token_after(at) if at.has_more else None
                return put(body, paging.path, token), {}
            case Counted():
                headers = {
                    name: str(value)
                    for name, value in (
                        (paging.pages_header, at.pages),
                        (paging.total_header, len(at.found)),
                    )
                    if name is not None
                }
                target = at.next_of(paging)
                link = request.rel_url.update_query({paging.param: str(target)})
                for path, value in (
                    (paging.link_path, None if target is None else link.raw_path_qs),
                    (paging.pages_path, at.pages),
                    (paging.total_path, len(at.found)),
                    (paging.more_path, at.has_more),
                    (paging.next_path, target),
                ):
                    body = body if path is None else put(body, path, value)
                return body, headers
        return body, {}


def _param_of(paging: Paging) -> str | None:
    """The parameter that holds what leads to the next page."""
    match paging:
        case Link():
            return paging.token_param
        case Single():
            return None
    return paging.param


def _removed(tracked: Tracked | None, key: str) -> dict[str, str]:
    """What stands for a row that is gone."""
    found = {} if tracked is None else tracked.removed
    return {name: text.replace("{id}", key) for name, text in found.items()}


def _limit_of(limit: Limit, words: Mapping[str, Any], headers: Mapping[str, str]) -> int | None:
    """Return how many rows a request asks for, None where it does not."""
    if limit.param is not None:
        return int(words[limit.param]) if limit.param in words else None
    pattern = re.escape(limit.text).replace(r"\{limit\}", "([0-9]+)")
    found = re.search(pattern, headers.get(limit.header or "", ""))
    return int(found[1]) if found else None


def _match(listed: ListOf, request: web.Request) -> str | None:
    """Return the parent that a request names ("" for none), None for another list's request."""
    pattern = re.escape(listed.path).replace(r"\{parent\}", "(?P<parent>[^/]+)")
    found = re.fullmatch(pattern, request.path)
    if found is None or request.method != listed.method:
        return None
    if any(request.query.get(name) != value for name, value in listed.where.items()):
        return None
    return found.groupdict().get("parent", "")


def _match_one(listed: ListOf, request: web.Request) -> str | None:
    """Return the id of the row that is asked for by itself, None for another request."""
    if listed.one is None or request.method != "GET":
        return None
    pattern = re.escape(listed.one).replace(r"\{id\}", "(?P<id>[^/]+)")
    found = re.fullmatch(pattern, request.path)
    return found["id"] if found else None


def _id_alone(row: Any, path: str) -> Any:
    """Return a row with its id only; one that is none, or has none, as it is."""
    found = get(row, path) if isinstance(row, dict) else ABSENT
    return row if found is ABSENT else put({}, path, found)


def _is_since(listed: ListOf, stored: Stored, words: Mapping[str, Any], asked: Any) -> bool:
    """Whether a row is new enough. Raises RefusedAskError for a time in another form."""
    since = listed.since
    assert since is not None
    text = words.get(since.param) if since.param is not None else None
    if since.body is not None and asked is not None:
        found = get(asked, since.body)
        text = None if found is ABSENT else found
    if text is None:
        return True
    try:
        before, _, after = since.text.partition("{since}")
        if not str(text).startswith(before) or not str(text).endswith(after):
            raise ValueError(f"{text} is not written as {since.text}")
        moment = since.format.read(str(text)[len(before) : len(str(text)) - len(after)])
        changed_at = stored.deleted_at if listed.shows == "deleted" else None
        stamp = since.format.read(str(since.format.write(changed_at or stored.stamp)))
    except ValueError as error:
        raise RefusedAskError(400, f"a time is to be written as {since.format.value}") from error
    return stamp > moment if since.exclusive else stamp >= moment


def respond(
    status: int, body: object, now: datetime, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer in JSON that tells the time."""
    return web.Response(
        status=status,
        body=body if isinstance(body, bytes) else dump(body),
        content_type="application/json",
        headers={"Date": dated(now), **(headers or {})},
    )


def dated(now: datetime) -> str:
    """Return an instant as a header tells it."""
    return now.strftime("%a, %d %b %Y %H:%M:%S GMT")
