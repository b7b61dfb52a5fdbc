"""One object of a declared API whose list only names rows, and whose changes a queue may tell.

Each row is read by itself, whatever names it: a list and a row of their own need not show the same
columns, and a row that is read now this way, now that would seem to change.

A queue shows its first message until that is deleted. What a message names is read anew and
yielded, and the message deleted only when the next page is asked for, which the poller does once
that page is committed: a process that ends between meets the message again, and publishes nothing
twice. The queue hastens, and sweeps prove: so a message that cannot be understood, or names a row
that is not to be had, is refused with all it holds, and deleted, too. It would hold up all behind
it for ever.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.polled.conversion import RowReader, nameless, read_key
from connectors.polled.model import Page, UnreadableRow
from connectors.rest.asks import PAGE_SIZE, fill_text
from connectors.rest.declaration import ID, MESSAGE, Endpoint, ObjectConfig
from connectors.rest.paths import ABSENT, astray, at
from connectors.rest.reader import Api, Part, Passes, RestReader, Words
from connectors.rest.rows import flat, select
from connectors.toolkit.faults import UnreadableBodyError
from connectors.toolkit.http import Response
from schemas.errors import AuthenticationError, SchemaMismatchError, TargetBusyError

MESSAGES_MAX: Final = 1_000
"""Of one poll, so that sweeps have their turn; the next goes on."""
ROWS_A_PAGE: Final = 50
"""So many are read before they are published: a poll that is quiet for long is taken for stuck."""
REFUSED: Final = frozenset({400, 403, 404, 422})
"""Answers about one row that is not to be had, while its list is."""
_STEP: Final = re.compile(r"(?!\.+$)[^?\s]\S*")
"""A key that can be a step of a path: dots alone would lead elsewhere."""
_MESSAGE: Final = re.compile(r"(?!\.+$)\S.*")


class EachReader(RestReader):
    """One declared object with `each`."""

    def __init__(self, api: Api, obj: ObjectConfig, rows: RowReader, key_path: str) -> None:
        """`key_path`: where the list, and a row, hold its key."""
        super().__init__(api, obj, rows)
        assert obj.each is not None
        self._each = obj.each
        self._key_path = key_path

    async def _whole(
        self, endpoint: Endpoint, words: Words, parent: str | None
    ) -> AsyncIterator[Page]:
        passes = Passes((endpoint.paginator or self._api.paginator).moves)
        read: set[str] = set()
        while passes.are_due(endpoint.path):
            async for part in self._api.pages(endpoint, words):
                named, nameless_rows = self._named(part)
                passes.see(
                    {*named, *(row.id for row in nameless_rows)}, part.total, moves=part.moves
                )
                fresh = [key for key in named if key not in read]
                read.update(fresh)
                yield await self._page(part.response, {}, nameless_rows)
                for start in range(0, len(fresh), ROWS_A_PAGE):
                    keys = fresh[start : start + ROWS_A_PAGE]
                    yield await self._page(part.response, {key: named[key] for key in keys}, [])

    def _named(self, part: Part) -> tuple[dict[str, Any], list[UnreadableRow]]:
        """What a page of the list holds by key, and what has none."""
        named: dict[str, Any] = {}
        refused: list[UnreadableRow] = []
        for raw in part.rows:
            try:
                named[read_key(at(raw, self._key_path), _STEP)] = raw
            except ValueError as error:
                refused.append(nameless(raw, str(error)))
        return named, refused

    async def _page(
        self, response: Response, named: Mapping[str, Any], refused: Sequence[UnreadableRow]
    ) -> Page:
        """A page of the rows that are named, and of what was refused before."""
        rows, odd = [], [*refused]
        for key, raw in named.items():
            row, problem = await self._row(key)
            if problem:
                odd.append(UnreadableRow(key, raw if row is None else row, problem))
            else:
                rows.append(row)
        return self._rows.page(rows, response.server_at, refused=odd)

    async def _row(self, key: str) -> tuple[Any, str]:
        """Return a row by its key, and why it is none that can be used."""
        try:
            response = await self._api.one(self._each.path, {ID: key})
        except AuthenticationError as error:
            if error.context.get("status") not in REFUSED:
                raise
            return None, f"it is refused by itself: {error.context.get('status')}"
        if response.status >= 400 or response.status == 204:
            return None, f"it is not there by itself: {response.status}"
        body, selector = _content(response, self._each.path), self._each.data_selector
        found = [body] if selector is None else select(body, selector)
        if found is None:
            raise SchemaMismatchError(
                f"{self._each.path} has no list at {selector}",
                hint="correct data_selector in rest.yaml, or see the vendor's release notes",
            )
        if not found or not isinstance(found[0], dict):
            return None, "what is told of it is no row"
        if (told := at(found[0], self._key_path)) is ABSENT or str(told) != key:
            return found[0], "another row was told for it"
        return self._flat(found[0]), ""

    def _flat(self, row: dict[str, Any]) -> Any:
        """The row with its columns; what stands where their records should be, in their place.

        A column that may be missing would be taken for null there.
        """
        found = flat(row, self._obj.columns)
        for column, path in self._obj.columns.items():
            if column not in found and (odd := astray(row, path)) is not ABSENT:
                found[column] = odd
        return found


@dataclass(frozen=True, slots=True)
class _Message:
    """The first message; `problem` says why its body cannot be used."""

    id: str
    body: Any
    response: Response | None
    problem: str = ""


class QueueReader(EachReader):
    """One declared object with `queue`. Upholds `QueuedReader`."""

    def __init__(self, api: Api, obj: ObjectConfig, rows: RowReader, key_path: str) -> None:
        super().__init__(api, obj, rows, key_path)
        assert obj.queue is not None
        self._queue = obj.queue

    async def queued(self) -> AsyncGenerator[Page, None]:
        """Yield the rows that each message names, and delete it once the next page is asked for.

        Raises TargetBusyError where the queue still shows a message that was deleted, and what the
        client raises.
        """
        deleted: set[str] = set()
        while len(deleted) < MESSAGES_MAX:
            message = await self._first()
            if message is None:
                return
            if message.id in deleted:
                raise TargetBusyError(f"{self._queue.path} shows a message that was deleted")
            yield await self._told(message)
            await self.delete(message.id)
            deleted.add(message.id)

    async def delete(self, message: str) -> None:
        """Delete a message. One that is gone is deleted."""
        await self._api.one(
            self._queue.delete, {MESSAGE: message}, method="DELETE", headers=self._headers()
        )

    def _headers(self) -> Mapping[str, str]:
        words = {**self._api.parameters, PAGE_SIZE: str(self._api.page_size)}
        return {name: fill_text(text, words) or "" for name, text in self._queue.headers.items()}

    async def _first(self) -> _Message | None:
        """Return the first message, None where there is none. Raises SchemaMismatchError."""
        try:
            response = await self._api.one(self._queue.path, {}, headers=self._headers())
        except UnreadableBodyError as error:
            if self._queue.message_header not in error.headers:
                raise
            return _Message(self._id_of(error.headers), None, None, str(error))
        if response.status == 204:
            return None
        if response.status >= 400:
            raise AuthenticationError(
                f"{self._queue.path} is not there: {response.status}",
                hint="have the vendor give the client its queue, or correct rest.yaml",
            )
        if self._queue.message_header not in response.headers:
            _content(response, self._queue.path)
        why = "it came without content" if response.body is None else ""
        return _Message(self._id_of(response.headers), response.body, response, why)

    def _id_of(self, headers: Mapping[str, str]) -> str:
        name = self._queue.message_header
        try:
            return read_key(headers.get(name), _MESSAGE)
        except ValueError as error:
            raise SchemaMismatchError(
                f"{self._queue.path}: {name}: {error}",
                hint="a message without an id cannot be deleted: correct rest.yaml, or report it",
            ) from error

    async def _told(self, message: _Message) -> Page:
        entries = select(message.body, self._queue.data_selector)
        if not entries:
            why = message.problem or f"it has nothing at {self._queue.data_selector}"
            refused = [self._refused(message, message.body, why)]
            return self._page_of(message, {}, refused)
        rows: dict[str, Any] = {}
        refused = []
        for entry in entries:
            try:
                key = read_key(self._named_by(entry), _STEP)
            except ValueError as error:
                refused.append(self._refused(message, entry, f"it names no row: {error}"))
                continue
            if key in rows:
                continue
            row, problem = await self._row(key)
            if problem:
                refused.append(self._refused(message, entry, f"{key}: {problem}"))
            else:
                rows[key] = row
        return self._page_of(message, rows, refused)

    def _named_by(self, entry: Any) -> Any:
        found = (at(entry, path) for path in self._queue.id)
        return next((value for value in found if value not in (ABSENT, None)), None)

    def _page_of(
        self, message: _Message, rows: Mapping[str, Any], refused: list[UnreadableRow]
    ) -> Page:
        """A page of what a message told. A row alone that lacks a column is refused, not all."""
        at_s = None if message.response is None else message.response.server_at
        try:
            return self._rows.page([*rows.values()], at_s, refused=refused)
        except SchemaMismatchError as error:
            odd = [UnreadableRow(key, row, str(error)) for key, row in rows.items()]
            return self._rows.page([], at_s, refused=[*refused, *odd])

    def _refused(self, message: _Message, told: Any, why: str) -> UnreadableRow:
        raw = {self._queue.message_header: message.id, "told": told}
        return nameless(raw, f"a message of {self._queue.path}: {why}")


def _content(response: Response, path: str) -> Any:
    if response.body is None:
        raise UnreadableBodyError(
            f"{path} came without content", hint="a proxy, or the vendor is in trouble"
        )
    return response.body
