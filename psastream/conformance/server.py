"""An API as its vendor documents it, made of a `conformance.yaml` and sample rows.

It lists rows in pages, shows changes and deletes as documented, and refuses who does not ask as
documented. What it does beyond that, a clause asks of it: rows that come late, twice or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from connectors.rest.paths import ABSENT
from psastream.conformance.documented import (
    After,
    Answer,
    Api,
    Counted,
    Documented,
    Limit,
    Link,
    ListOf,
    Paging,
    Since,
    Token,
)
from psastream.conformance.paths import dump, get, load, put

DEFAULT_PAGE: Final = 3
NUMBERS_FROM: Final = 7_000
FIRST_DAY: Final = date(2026, 1, 1)
PAGES: Final = 10_000
"""So many pages a list tells that never ends."""


@dataclass(slots=True)
class Stored:
    """A row: as the vendor shows it, when it last changed, and when it was deleted."""

    key: str
    row: dict[str, Any]
    stamp: datetime
    parent: str | None = None
    deleted_at: datetime | None = None


@dataclass(slots=True)
class Quirks:
    """What a list does that no page promises not to.

    `page_rows`: fewer rows a page than asked for. `reshape` changes the rows of a page. `repeats`:
    the next page is always the first again. `away`: the next page is at that address.
    `window_rows`: a list that ends early ends after so many. `shown_rows`: who asks sees no more
    of the rows, as if a right were lost.
    """

    page_rows: int | None = None
    reshape: Callable[[list[Any]], list[Any]] = lambda rows: rows
    repeats: bool = False
    away: str | None = None
    window_rows: int | None = None
    shown_rows: int | None = None


@dataclass(frozen=True, slots=True)
class _Counts:
    """Where a page ends in a list: `after` so many rows of those `found`."""

    found: list[Stored]
    after: int
    has_more: bool
    size: int
    is_endless: bool

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


class DocumentedApi:
    """The API of one account. Rows are put and removed by its owner, and told over HTTP."""

    def __init__(
        self,
        api: Api,
        samples: Mapping[str, list[dict[str, Any]]],
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._samples = samples
        self._environment = environment
        self._clock = clock
        self._token = f"token-of-{api.tokens.path}" if api.tokens else ""
        self.rows: dict[str, dict[str, Stored]] = {obj: {} for obj in api.objects}
        self.quirks = Quirks()
        self._numbers: dict[str, int] = {}
        self._passed: dict[str, set[str]] = {}

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

    def documented(self, obj: str) -> Documented:
        """Return what is documented of an object."""
        return self._api.objects[obj]

    def paging_of(self, obj: str) -> Paging:
        """Return how pages of the first list of an object follow."""
        return self.documented(obj).lists[0].paging or self._api.paging

    def template(self, obj: str) -> dict[str, Any]:
        """Return a row as the vendor shows it."""
        return deepcopy(self._samples[obj][0])

    def key_of(self, obj: str, number: int) -> str:
        """Return the id of the row of a number, in the form of the sample's ids."""
        found = get(self.template(obj), self.documented(obj).id)
        digits = str(NUMBERS_FROM + number)
        return digits if isinstance(found, int) else str(found)[: -len(digits)] + digits

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
        """Write a row, now or with the stamp of another time.

        `text` goes to the field that varies; `row`: what it is made of. `silent`: its time of
        change stays.
        """
        documented, known = self.documented(obj), self.rows[obj].get(key)
        base = row if row is not None else known.row if known else self.template(obj)
        is_number = isinstance(get(self.template(obj), documented.id), int)
        written = put(base, documented.id, int(key) if is_number else key)
        if text is not None:
            written = put(written, documented.vary, self._varied(documented, text))
        if documented.flag is not None:
            written = put(written, documented.flag, False)
        changed_at = stamp or self._clock()
        if silent and known is not None:
            changed_at = known.stamp
        elif documented.changed_at is not None:
            for path in documented.changed_at.paths:
                written = put(written, path, documented.changed_at.format.write(changed_at))
        parent = None
        if documented.parent is not None:
            parent = next(iter(self.rows[documented.parent]))
            if documented.parent_path is not None:
                top = self.rows[documented.parent][parent].row
                found = get(top, self.documented(documented.parent).id)
                written = put(written, documented.parent_path, found)
        self.rows[obj][key] = Stored(key, written, changed_at, parent)

    def _varied(self, documented: Documented, text: str) -> object:
        """Return the value that stands for a text where no text can be."""
        number = self._numbers.setdefault(text, len(self._numbers) + 1)
        if documented.varies == "number":
            return number
        if documented.varies == "date":
            return (FIRST_DAY + timedelta(days=number)).isoformat()
        return text

    def remove(self, obj: str, key: str) -> None:
        """Delete a row, so that it shows as documented."""
        documented, stored = self.documented(obj), self.rows[obj][key]
        stored.deleted_at = self._clock()
        if documented.flag is not None:
            stored.row = put(stored.row, documented.flag, True)
            stored.stamp = stored.deleted_at
            for path in documented.changed_at.paths if documented.changed_at else ():
                assert documented.changed_at is not None
                stored.row = put(stored.row, path, documented.changed_at.format.write(stored.stamp))

    def texts(self, obj: str) -> dict[str, str]:
        """Return what varies of each living row, by id."""
        vary = self.documented(obj).vary
        return {
            key: str(get(stored.row, vary))
            for key, stored in self.rows[obj].items()
            if stored.deleted_at is None
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            body, headers = await self._answer(request)
        except RefusedAskError as error:
            return respond(error.status, error.body, self._clock())
        return respond(200, body, self._clock(), headers)

    async def _answer(self, request: web.Request) -> tuple[object, dict[str, str]]:
        tokens = self._api.tokens
        if tokens is not None and request.path == tokens.path:
            found = {"access_token": self._token, "token_type": "Bearer"}
            return {**found, "expires_in": tokens.expires_in}, {}
        for name, pattern in self._api.headers.items():
            if request.headers.get(name) != self._filled(pattern):
                raise RefusedAskError(401, f"{name} is missing or wrong")
        asked = load(await request.text()) if request.can_read_body else None
        for obj, documented in self._api.objects.items():
            for listed in documented.lists:
                if (parent := _match(listed, request)) is not None:
                    return self._page(obj, listed, request, asked, parent)
        raise RefusedAskError(404, "there is no such list")

    def _filled(self, pattern: str) -> str:
        words = {**self._environment, "token": self._token}
        return re.sub(r"\$\{(\w+)\}", lambda found: words.get(found[1], ""), pattern)

    def _page(
        self, obj: str, listed: ListOf, request: web.Request, asked: Any, parent: str
    ) -> tuple[object, dict[str, str]]:
        words = {**asked} if isinstance(asked, dict) else {}
        words |= request.query
        found = self._listed(obj, listed, words, asked, parent)[: self.quirks.shown_rows]
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
        rows = self.quirks.reshape([self._shown(listed, stored) for stored in shown])
        body: Any = rows if listed.rows is None else put({}, listed.rows, rows)
        has_more = bool(shown) and (after < len(found) or self.quirks.repeats)
        if self.quirks.repeats:
            after = min(size, len(found))
        if self.quirks.away is not None and isinstance(paging, Link):
            has_more = True
        counts = _Counts(found, after, has_more, size, self.quirks.repeats)
        return self._with_next(paging, body, request, counts)

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
        documented = self.documented(obj)
        found = list(self.rows[obj].values())
        if documented.parent is not None and parent:
            found = [stored for stored in found if stored.parent == parent]
        if listed.shows == "deleted":
            found = [stored for stored in found if stored.deleted_at is not None]
        elif documented.deletes != "flag":
            found = [stored for stored in found if stored.deleted_at is None]
        if listed.since is not None:
            found = [stored for stored in found if _is_since(listed.since, stored, words, asked)]
        return _in_order(documented, found)

    def first(self, obj: str) -> str:
        """Return the id of the row that stands first in the lists of an object."""
        return _in_order(self.documented(obj), list(self.rows[obj].values()))[0].key

    def _shown(self, listed: ListOf, stored: Stored) -> Any:
        if listed.deleted_at is None or stored.deleted_at is None:
            return stored.row
        text = stored.deleted_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return put(stored.row, listed.deleted_at, text)

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
                return 0 if after is None else sum(_order(s.key) <= _order(after) for s in found)
            case Counted(type="page"):
                return (int(words.get(paging.param, paging.base)) - paging.base) * size
            case Counted():
                return int(words.get(paging.param, 0))
        return 0

    def _token_after(self, at: _Counts) -> str:
        """What asks for the rows behind those that were shown."""
        token = hashlib.sha256(dump(at.passed)).hexdigest()[:16]
        self._passed[token] = set(at.passed)
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
                for path, value in (
                    (paging.pages_path, at.pages),
                    (paging.total_path, len(at.found)),
                    (paging.more_path, at.has_more),
                    (paging.next_path, at.next_of(paging)),
                ):
                    body = body if path is None else put(body, path, value)
                return body, headers
        return body, {}


def _in_order(documented: Documented, rows: list[Stored]) -> list[Stored]:
    if documented.order == "id":
        return sorted(rows, key=lambda each: _order(each.key))
    is_reversed = documented.order == "newest"
    return sorted(rows, key=lambda each: (each.stamp, each.key), reverse=is_reversed)


def _limit_of(limit: Limit, words: Mapping[str, Any], headers: Mapping[str, str]) -> int | None:
    """Return how many rows a request asks for, None where it does not."""
    if limit.param is not None:
        return int(words[limit.param]) if limit.param in words else None
    pattern = re.escape(limit.text).replace(r"\{limit\}", "([0-9]+)")
    found = re.search(pattern, headers.get(limit.header or "", ""))
    return int(found[1]) if found else None


def _order(key: object) -> tuple[int, str]:
    text = str(key)
    return len(text), text


def _match(listed: ListOf, request: web.Request) -> str | None:
    """Return the parent that a request names ("" for none), None for another list's request."""
    pattern = re.escape(listed.path).replace(r"\{parent\}", "(?P<parent>[^/]+)")
    found = re.fullmatch(pattern, request.path)
    if found is None or request.method != listed.method:
        return None
    if any(request.query.get(name) != value for name, value in listed.where.items()):
        return None
    return found.groupdict().get("parent", "")


def _is_since(since: Since, stored: Stored, words: Mapping[str, Any], asked: Any) -> bool:
    """Whether a row is new enough. Raises RefusedAskError for a time in another form."""
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
        stamp = since.format.read(str(since.format.write(stored.stamp)))
    except ValueError as error:
        raise RefusedAskError(400, f"a time is to be written as {since.format.value}") from error
    return stamp > moment if since.exclusive else stamp >= moment


def respond(
    status: int, body: object, now: datetime, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer in JSON that tells the time."""
    date = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return web.Response(
        status=status,
        body=dump(body),
        content_type="application/json",
        headers={"Date": date, **(headers or {})},
    )
