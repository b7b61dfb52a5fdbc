"""One object of a declared API, for the polled engine, which does all the rest.

A complete scan is what the engine builds on. Pages by number or offset shift when a row before
them goes, and a row slides past. So such a list is read again until it shows nothing new, or the
rows that came are as many as it says it has. So is one behind addresses, unless they are declared
to hold still, and one behind tokens that count. Pages behind other tokens or a key hold still.

What changed since the scan began is not new in this sense: the bookmark never passes that moment,
so the next poll reads it. A list that changes all the time can so be read to its end.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

from connectors.polled.conversion import RowReader, nameless, read_key
from connectors.polled.model import (
    DeleteFeed,
    DeletePage,
    Deletion,
    Page,
    ReaderTraits,
    UnreadableRow,
)
from connectors.polled.paging import Paging
from connectors.polled.quota import Quota
from connectors.polled.scan import ids_of
from connectors.rest.asks import PAGE_SIZE, Ask, fill_body, fill_params, fill_path
from connectors.rest.declaration import (
    FROM,
    PARENT,
    SINCE,
    TO,
    Deleted,
    Endpoint,
    ObjectConfig,
    Parent,
    RateLimit,
)
from connectors.rest.paging import Paginator, counts, read_count
from connectors.rest.paths import at
from connectors.rest.rows import instant, items_of, referred, require_lists, select
from connectors.toolkit.faults import (
    DeleteLogIncompleteError,
    Fault,
    QuotaExhaustedError,
    UnreadableBodyError,
    VendorRejectedError,
)
from connectors.toolkit.http import Response, VendorClient
from schemas.errors import AuthenticationError, SchemaMismatchError, TargetBusyError

QUOTA_PAUSE_S: Final = 900.0
_COUNT: Final = re.compile(r"[0-9]{1,12}")
PASSES_MAX: Final = 5
"""So often a list that moves is read in one scan before the scan is given up."""

Words = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Allowance:
    """A share of an account's requests that is left to everybody else."""

    system: str
    rate_limit: RateLimit
    reserve_ratio: float
    quota: Quota

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises QuotaExhaustedError once only the reserve is left; untold is no limit."""
        left = _count(headers.get(self.rate_limit.remaining_header or ""))
        limit = _count(headers.get(self.rate_limit.limit_header or ""))
        if left is None or not limit:
            return
        self.quota.see(left, limit)
        if left < self.reserve_ratio * limit:
            raise QuotaExhaustedError(
                f"the requests of {self.system} are used up but for the reserve",
                retry_after_s=QUOTA_PAUSE_S,
                hint="raise the account's allowance, or quota.reserve.ratio is too large",
            )


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text.strip()) else None


@dataclass(frozen=True, slots=True)
class Api:
    """Requests of one connector: what all of its objects share."""

    client: VendorClient
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    parameters: Mapping[str, str]
    page_size: int
    paginator: Paginator
    allowance: Allowance

    def windows(self, obj: ObjectConfig) -> Iterator[Words]:
        """Yield what asks for each window of a list: one without words where it has none."""
        if obj.windows is None:
            yield {}
            return
        first = date.fromisoformat(self.parameters[obj.windows.first])
        for start, last in obj.windows.spans(first, datetime.now(UTC).date()):
            yield {FROM: start.isoformat(), TO: last.isoformat()}

    def ask(self, endpoint: Endpoint, words: Words) -> Ask:
        """Return the request for a list, whatever its pages."""
        words = {**self.parameters, PAGE_SIZE: str(self.page_size), **words}
        return Ask(
            endpoint.method,
            fill_path(endpoint.path, words),
            fill_params(endpoint.params, words),
            fill_body(endpoint.body, words),
        )

    def first(self, endpoint: Endpoint, words: Words) -> Ask:
        """Return the request for the first page of a list."""
        paginator = endpoint.paginator or self.paginator
        return paginator.first(self.ask(endpoint, words), self.page_size)

    async def pages(
        self,
        endpoint: Endpoint,
        words: Words,
        *,
        absent_ok: bool = False,
        begin: Ask | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Part]:
        """Yield the pages of a list, from its first or from where `begin` asks.

        `headers` go before those of the file. Raises what the client raises, and BrokenPagingError.
        """
        paginator = endpoint.paginator or self.paginator
        ask: Ask | None = begin or self.first(endpoint, words)
        sent = {**self.headers, **(headers or {})}
        paging = Paging(endpoint.path)
        shown = number = 0
        while ask is not None:
            response = await self._send(ask, sent, absent_ok=absent_ok)
            self.allowance.check(response.headers)
            if response.status >= 400:  # the parent is gone, and its rows with it
                return
            if response.status == 204 and shown and paginator.ends_without_content:
                return
            rows = self._rows(endpoint, response)
            following = paginator.following(ask, rows, response, self.url)
            shown, number = shown + len(rows), number + 1
            total = paginator.rows_total_path
            yield Part(
                rows,
                response,
                None if total is None else read_count(response, total),
                moves=paginator.moves is None
                and following is not None
                and counts(following[1], pages=number, rows=shown, page_size=self.page_size),
                is_last=following is None,
            )
            if following is None:
                return
            ask, position = following
            paging.go_on(position)

    async def one(
        self,
        path: str,
        words: Words,
        *,
        method: Literal["GET", "DELETE"] = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the answer to one request, that there is nothing at the path among them.

        Raises what the client raises.
        """
        words = {**self.parameters, PAGE_SIZE: str(self.page_size), **words}
        ask = Ask(method, fill_path(path, words))
        response = await self._send(ask, {**self.headers, **(headers or {})}, absent_ok=True)
        self.allowance.check(response.headers)
        return response

    async def _send(self, ask: Ask, headers: Mapping[str, str], *, absent_ok: bool) -> Response:
        _, _, query = ask.path.partition("?")
        there = {part.partition("=")[0] for part in query.split("&")}
        return await self.client.request(
            ask.method,
            ask.path,
            params={**ask.params, **{k: v for k, v in self.query.items() if k not in there}},
            json=ask.body,
            headers=headers,
            absent_ok=absent_ok,
            is_read=True,
        )

    def _rows(self, endpoint: Endpoint, response: Response) -> list[Any]:
        if response.body is None:
            raise UnreadableBodyError(
                f"{endpoint.path} came without content",
                hint="a proxy, or the vendor is in trouble",
            )
        rows = select(response.body, endpoint.data_selector)
        if rows is None:
            raise SchemaMismatchError(
                f"{endpoint.path} has no list at {endpoint.data_selector or 'its root'}",
                hint="correct data_selector in rest.yaml, or see the vendor's release notes",
            )
        if endpoint.row_path is None:
            return rows
        found = referred(response.body, rows, endpoint.row_path)
        if found is None:
            raise SchemaMismatchError(
                f"{endpoint.path} refers to a row that is not at {endpoint.row_path}",
                hint="correct row_path in rest.yaml, or see the vendor's release notes",
            )
        return found


@dataclass(frozen=True, slots=True)
class Part:
    """A page of raw rows; `total` where the list tells how many there are.

    `moves`: its token is a number of pages or rows. `is_last`: no page follows.
    """

    rows: list[Any]
    response: Response
    total: int | None
    moves: bool
    is_last: bool = False


class Passes:
    """How often a list is read in one scan: once, or until it has shown all it has."""

    def __init__(self, moves: bool | None) -> None:
        """`moves`: whether rows may slide past; None: where a page says so."""
        self._moves = bool(moves)
        self._before: set[str] | None = None
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self._ids: set[str] = set()
        self._changed: set[str] = set()
        self._pages = 0
        self._totals: set[int | None] = set()

    def see(
        self,
        ids: set[str],
        total: int | None,
        *,
        changed: Collection[str] = (),
        moves: bool = False,
    ) -> None:
        """Note a page: the ids of its rows, and how many the list says it has.

        `changed`: ids of those that changed since the first pass began.
        """
        self._ids |= ids
        self._changed.update(changed)
        self._moves |= moves
        self._pages += 1
        self._totals.add(total)

    def are_due(self, path: str) -> bool:
        """Whether the list is to be read, once more. Raises TargetBusyError after too often."""
        self._number += 1
        if self._number == 1:
            return True
        if not self._moves or self._is_whole:
            return False
        if self._number > PASSES_MAX:
            raise TargetBusyError(f"{path} changes faster than it can be read")
        self._before = (self._before or set()) | self._ids
        self._begin()
        return True

    @property
    def _is_whole(self) -> bool:
        """Nothing can have slid past: one answer, as many rows as there are, or nothing new.

        Where rows came meanwhile, as many may have gone: the number of rows proves nothing.
        """
        if self._pages <= 1 or (self._totals == {len(self._ids)} and not self._changed):
            return True
        return self._before is not None and self._ids - self._changed <= self._before


class RestReader:
    """One declared object."""

    def __init__(
        self, api: Api, obj: ObjectConfig, rows: RowReader, parents: Parents | None = None
    ) -> None:
        self._api = api
        self._obj = obj
        self._rows = rows
        self._parents = parents
        feed = DeleteFeed.EVERY_POLL if obj.deleted else DeleteFeed.NONE
        self.traits: Final = ReaderTraits(
            has_cursor=obj.incremental is not None or obj.delta is not None,
            delete_feed=feed,
            begins_whole=obj.delta is not None,
        )

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's id alone."""
        return self._rows.key(row_id)

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield every row changed since, or all.

        Raises TargetBusyError where the list moves faster than it can be read, or its paging
        cursor ended; both after yielding what came.
        """
        try:
            async for page in self._all(self._list_of(since), since):
                yield page
        except DeleteLogIncompleteError as error:
            if since is None or self._obj.changed is None:
                raise TargetBusyError(
                    f"the paging cursor of {self._obj.path} has expired",
                    hint="the list is read again from where it was asked",
                ) from error
            async for page in self._all(self._obj, None):
                yield page

    def _list_of(self, since: datetime | None) -> Endpoint:
        return self._obj if since is None or self._obj.changed is None else self._obj.changed

    async def _all(self, endpoint: Endpoint, since: datetime | None) -> AsyncIterator[Page]:
        """Yield the pages of a list, or of one list for each parent."""
        words: Words = {SINCE: self._since(since)}
        if self._parents is None:
            for window in self._api.windows(self._obj):
                async for page in self._whole(endpoint, {**words, **window}, None):
                    yield page
            return
        for key in await self._parents.keys(self._api):
            async for page in self._whole(endpoint, {**words, PARENT: key}, key):
                yield page

    async def _whole(
        self, endpoint: Endpoint, words: Words, parent: str | None
    ) -> AsyncIterator[Page]:
        passes = Passes((endpoint.paginator or self._api.paginator).moves)
        began_at: datetime | None = None
        while passes.are_due(endpoint.path):
            async for part in self._api.pages(endpoint, words, absent_ok=parent is not None):
                rows = [row for raw in part.rows for row in self._rows_of(raw, parent)]
                require_lists(part.rows, self._obj)
                page = self._rows.page(rows, part.response.server_at)
                began_at = began_at or page.server_at
                changed = {row.id for row in page.rows if _is_since(row.modified_at, began_at)}
                total = part.total if self._obj.expand is None else None
                passes.see(ids_of(page), total, changed=changed, moves=part.moves)
                yield page

    def _rows_of(self, raw: Any, parent: str | None) -> list[Any]:
        rows = items_of(raw, self._obj)
        of = self._obj.parent
        if of is None:
            return rows
        return [self._below(row, of, parent) if isinstance(row, dict) else row for row in rows]

    def _below(self, row: dict[str, Any], of: Parent, parent: str | None) -> dict[str, Any]:
        if of.column is not None:
            row = row | {of.column: parent}
        if of.within is None or self._parents is None:
            return row
        try:
            own = read_key(row.get(of.within), _STEP)
        except ValueError:
            return row | {self._parents.child_key: None}
        return row | {self._parents.child_key: f"{parent},{own}"}

    def _since(self, since: datetime | None) -> str | None:
        incremental = self._obj.incremental
        return None if since is None or incremental is None else incremental.format.write(since)

    async def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        """Yield what a list of deleted rows tells, in its order.

        Raises DeleteLogIncompleteError where it tells them no longer, or not to this account.
        """
        feed = self._obj.deleted
        if feed is None:
            return
        try:
            async for page in self._deletions(feed, since):
                yield page
        except (AuthenticationError, VendorRejectedError) as error:
            if isinstance(error, DeleteLogIncompleteError) or not feed.optional:
                raise
            told = Fault(detail=f"{feed.path} is refused: {error.detail}")
            raise DeleteLogIncompleteError(403, [told], context=error.context) from error

    async def _deletions(self, feed: Deleted, since: datetime) -> AsyncIterator[DeletePage]:
        words = {SINCE: feed.format.write(since)}
        passes = Passes((feed.paginator or self._api.paginator).moves)
        while passes.are_due(feed.path):
            async for part in self._api.pages(feed, words):
                page = _read_deletions(part.rows, feed, self._rows)
                ids = {deletion.id for deletion in page.deletions}
                ids |= {row.id for row in page.unreadable}
                passes.see(ids, part.total, moves=part.moves)
                yield page


def _is_since(changed_at: datetime | None, moment: datetime | None) -> bool:
    return changed_at is not None and moment is not None and changed_at >= moment


@dataclass(frozen=True, slots=True)
class Parents:
    """The rows that an object is asked for one after the other, by their keys at a path."""

    endpoint: ObjectConfig
    key_path: str
    child_key: str

    async def keys(self, api: Api) -> list[str]:
        """Return the key of each row, once. One that cannot be read its own reader tells of."""
        found: dict[str, None] = {}
        for window in api.windows(self.endpoint):
            passes = Passes((self.endpoint.paginator or api.paginator).moves)
            while passes.are_due(self.endpoint.path):
                async for part in api.pages(self.endpoint, {SINCE: None, **window}):
                    keys = [key for row in part.rows if (key := self._key(row)) is not None]
                    passes.see(set(keys), part.total, moves=part.moves)
                    found |= dict.fromkeys(keys)
        return list(found)

    def _key(self, row: Any) -> str | None:
        try:
            return read_key(at(row, self.key_path), _STEP)
        except ValueError:
            return None


_STEP: Final = re.compile(r"(?!\.+$)[^?\s]\S*")
"""A key that can be a step of a path: dots alone would lead elsewhere."""


def _read_deletions(rows: Sequence[Any], feed: Deleted, reader: RowReader) -> DeletePage:
    found: list[Deletion] = []
    unreadable: list[UnreadableRow] = []
    for row in rows:
        try:
            row_id = reader.read_id(at(row, feed.id))
            found.append(Deletion(row_id, instant(at(row, feed.deleted_at), feed.reads)))
        except ValueError as error:
            unreadable.append(nameless(row, f"delete log: {error}"))
    return DeletePage(found, unreadable)
