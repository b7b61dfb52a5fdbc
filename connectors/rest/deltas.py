"""One object of a declared API whose changes are told from a token on, for the polled engine.

What is kept of a reading is where the vendor says that it goes on, with a digest of what was asked:
a token holds the columns and filters that it was given for, so that one of another question is lost
like one that the vendor does not know any more. Who has no token begins with all rows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any, Final

from connectors.polled.answers import name_of
from connectors.polled.conversion import RowReader, nameless
from connectors.polled.ledger import digest_of
from connectors.polled.model import LostTokenError, Page, UnreadableRow
from connectors.rest.asks import PAGE_SIZE, Ask, fill_text
from connectors.rest.declaration import Delta, ObjectConfig
from connectors.rest.paging import TOKEN_LENGTH_MAX, at_address
from connectors.rest.paths import ABSENT, at
from connectors.rest.reader import Api, Part, RestReader
from connectors.rest.rows import flat
from connectors.toolkit.faults import DeleteLogIncompleteError
from schemas.errors import PsaStreamError, SchemaMismatchError, TargetBusyError

LOST: Final = frozenset({400, 404, 410})
"""Answers to a token that say that it is of no use, whatever their words. What is wrong with the
request itself is told again when it is asked without.
"""


class DeltaReader(RestReader):
    """One declared object with `delta`. Upholds `ContinuedReader`."""

    def __init__(self, api: Api, obj: ObjectConfig, delta: Delta, rows: RowReader) -> None:
        super().__init__(api, obj, rows)
        self._delta = delta
        params = {**obj.params, **delta.params}
        self._asked = obj.model_copy(update={"path": delta.path or obj.path, "params": params})

    async def continued(self, token: str | None) -> AsyncGenerator[Page, None]:
        """Yield what changed since the token was given; None: all rows.

        Raises LostTokenError where the vendor does not go on from it, TargetBusyError where its
        paging cursor ended, and what the client raises.
        """
        begin = None if token is None else self._resumed(token)
        is_begun = begin is None
        try:
            pages = self._api.pages(self._asked, {}, begin=begin, headers=self._headers())
            async for part in pages:
                is_begun = True
                yield self._page(part)
        except PsaStreamError as error:
            if not is_begun and _is_lost(error):
                raise LostTokenError(str(error)) from error
            if not isinstance(error, DeleteLogIncompleteError):
                raise
            raise TargetBusyError(
                f"the paging cursor of {self._asked.path} has expired",
                hint="what changed is read again from where it was asked",
            ) from error

    def _headers(self) -> Mapping[str, str]:
        words = {**self._api.parameters, PAGE_SIZE: str(self._api.page_size)}
        return {name: fill_text(text, words) or "" for name, text in self._delta.headers.items()}

    def _resumed(self, token: str) -> Ask:
        """The request that goes on from a token. Raises LostTokenError for one of other columns."""
        asked, _, resume = token.partition("|")
        if asked != self._question:
            raise LostTokenError("what is asked for is not what the token was given for")
        first = self._api.first(self._asked, {})
        if self._delta.resume_param is not None:
            return first.having(self._delta.resume_param, resume, in_body=first.body is not None)
        return Ask(first.method, resume, {}, first.body)

    @property
    def _question(self) -> str:
        """Digest of what is asked, but for the size of pages."""
        ask = self._api.ask(self._asked, {PAGE_SIZE: ""})
        return digest_of([ask.path, ask.params, ask.body])

    def _page(self, part: Part) -> Page:
        kept: dict[str | int, Any] = {}
        gone: set[str] = set()
        refused: list[UnreadableRow] = []
        for number, raw in enumerate(part.rows):
            if not isinstance(raw, dict) or at(raw, self._delta.removed.when) is ABSENT:
                row = flat(raw, self._obj.columns)
                row_id = self._id_of(row)
                gone.discard(row_id or "")
                kept[number if row_id is None else row_id] = row
                continue
            try:
                row_id = self._rows.read_id(at(raw, self._delta.removed.id))
            except ValueError as error:
                refused.append(nameless(raw, f"a deleted row: {error}"))
                continue
            kept.pop(row_id, None)
            gone.add(row_id)
        page = self._rows.page([*kept.values()], part.response.server_at, refused=refused)
        token = self._token(part.response.body) if part.is_last else None
        return replace(page, gone=frozenset(gone), token=token)

    def _id_of(self, row: Any) -> str | None:
        try:
            return self._rows.read_key(row) if isinstance(row, dict) else None
        except ValueError:
            return None

    def _token(self, body: Any) -> str:
        """Where reading goes on after the last page. Raises SchemaMismatchError."""
        path = self._delta.resume_path
        found = at(body, path)
        if not isinstance(found, str) or not 0 < len(found) <= TOKEN_LENGTH_MAX:
            told = "missing" if found is ABSENT else name_of(found)
            raise SchemaMismatchError(
                f"{self._asked.path}: {path} of the last page is {told}, which would tell where"
                " reading goes on",
                hint="have the vendor track changes of this list, or correct rest.yaml",
            )
        if self._delta.resume_param is None:
            found = at_address(self._api.ask(self._asked, {}), found, self._api.url).path
        return f"{self._question}|{found}"


def _is_lost(error: PsaStreamError) -> bool:
    return isinstance(error, DeleteLogIncompleteError) or error.context.get("status") in LOST
