"""NetSuite as a polled source: SuiteQL with a composite cursor, deletes from `deletedrecord`.

Every query selects explicit columns, dates through TO_CHAR, in keyset pages on
(lastmodifieddate, id) with offset 0: an offset without a unique order repeats and skips rows.
Date-times are asked for in UTC (SYS_EXTRACT_UTC): SuiteQL shows and compares them in the time zone
of the user that it runs for, who may be anywhere and may move.
The stamp can be null. Such rows have no place in that order: a complete scan reads them after the
others, by id.
Invoices are read in two steps, changed headers and then all lines of those, because lines have
neither a dependable stamp nor a delete log. Those are in keyset pages too, on (header, line).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Self

from pydantic import Field, SecretStr, field_validator

from connectors.polled.answers import Answer, Instant, name_of, read_answer, read_instant
from connectors.polled.config import ApiConfig, PolledConfig, read_secret_file
from connectors.polled.conversion import Layout, RowReader, nameless, read_key
from connectors.polled.model import (
    DeleteFeed,
    DeletePage,
    Deletion,
    ObjectReader,
    Page,
    ReaderTraits,
    UnreadableRow,
)
from connectors.polled.paging import Paging
from connectors.polled.source import Readable, readable_objects
from connectors.toolkit.body import ROWS
from connectors.toolkit.http import Limiter, RetrySettings, VendorClient
from connectors.vendors.netsuite.auth import POLICY, SERVER_TIME, make_auth
from connectors.vendors.netsuite.queries import (
    INVOICE_HEADERS,
    INVOICE_LINES,
    QUERIES,
    STAMP_MASK,
    Query,
    shown_in_utc,
)
from schemas.codec.record import AvroSchema
from schemas.system import SystemBundle

USER_AGENT: Final = "psastream"
ROWS_MAX: Final = 1000
INVOICES_A_PAGE_MAX: Final = 100
_ZONES: Final = timedelta(days=1)
"""More than any time zone is off: -12 to +14 hours."""
_IGNORED: Final = frozenset({"links"})
_ID: Final = re.compile(r"-?[0-9]{1,18}")
_LINE_ID: Final = re.compile(r"-?[0-9]{1,18}-[0-9]{1,18}")

Position = tuple[datetime | None, str]
"""Stamp and id of the row a page ended with."""


class NetSuiteConfig(ApiConfig):
    """Address and credentials of an account."""

    page_size: int = Field(default=500, alias="page.size", ge=1, le=ROWS_MAX)
    client_id: SecretStr = Field(alias="auth.client.id")
    certificate_id: str = Field(alias="auth.certificate.id")
    private_key: SecretStr = Field(alias="auth.private.key.file")

    @field_validator("private_key", mode="before")
    @classmethod
    def _read_key(cls, path: object) -> SecretStr:
        return read_secret_file(path)


class QueryAnswer(Answer):
    """A page of a SuiteQL query."""

    items: list[Any]
    hasMore: bool


class ServerTimeAnswer(Answer):
    """The server's clock."""

    serverTime: Instant


class NetSuiteSource:
    """The readers of one account, on one client."""

    config_model: ClassVar[type[PolledConfig]] = NetSuiteConfig

    def __init__(self, config: NetSuiteConfig, retry: RetrySettings | None = None) -> None:
        auth = make_auth(
            url=config.url,
            client_id=config.client_id.get_secret_value(),
            certificate_id=config.certificate_id,
            private_key_pem=config.private_key.get_secret_value(),
        )
        self._client = VendorClient(
            config.url,
            auth,
            POLICY,
            user_agent=USER_AGENT,
            timeout_s=config.request_timeout_ms / 1000,
            limiter=Limiter(config.max_in_flight, config.requests_per_second),
            retry=retry,
            bounds=ROWS,
        )
        self.config = config

    @classmethod
    def objects_of(cls, system: SystemBundle) -> Collection[str]:
        """What the queries select. Raises ConfigError."""
        queries = {**QUERIES, "invoice": INVOICE_LINES}
        known = {obj: Readable("id", fields=query.labels) for obj, query in queries.items()}
        return readable_objects(system, known)

    @classmethod
    def from_config(cls, config: PolledConfig, system: SystemBundle) -> Self:
        """Make the source from its validated configuration."""
        assert isinstance(config, NetSuiteConfig)
        return cls(config)

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        """Return the reader of an object, whose rows have the fields of the contract."""
        api = _Api(self._client)
        stamp = () if obj == "subsidiary" else ("lastmodifieddate",)
        layout = Layout(
            "id",
            id_form=_LINE_ID if obj == "invoice" else _ID,
            modified_fields=stamp,
            null_is_absent=True,
            ignored=_IGNORED,
        )
        rows = RowReader(contract, layout)
        if obj == "invoice":
            return InvoiceReader(api, rows, self.config.page_size)
        return NetSuiteReader(api, QUERIES[obj], rows, self.config.page_size)

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request("GET", SERVER_TIME, retry=False)
        return response.server_at

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


@dataclass(frozen=True, slots=True)
class _Api:
    """SuiteQL and the server's clock."""

    client: VendorClient

    async def query(self, text: str, *, of: str, limit: int) -> tuple[list[Any], bool]:
        """Return one page of items, of any shape, and whether there are more."""
        response = await self.client.request(
            "POST",
            "/services/rest/query/v1/suiteql",
            params={"limit": str(limit), "offset": "0"},
            json={"q": text},
            headers={"Prefer": "transient"},
            is_read=True,
        )
        answer = read_answer(QueryAnswer, response.body, of=f"a query of {of}")
        return answer.items, answer.hasMore

    async def server_time(self) -> datetime:
        """Return the server's clock."""
        response = await self.client.request("GET", SERVER_TIME)
        return read_answer(ServerTimeAnswer, response.body, of="the server's clock").serverTime

    async def keyset(
        self, query: Query, since: datetime | None, limit: int
    ) -> AsyncIterator[tuple[list[Any], Position | None]]:
        """Yield the rows of `query` changed since, in pages by (stamp, id), and how far each goes.

        Without `since` also the rows without a stamp, last; all are, of records that have none.
        """
        if not query.has_stamp:
            async for page in self._keyset(query, "", limit, is_stamped=False):
                yield page
            return
        if since is not None:
            # The first condition decides nothing, but an index can answer it.
            stamped = (
                f"{query.stamp} >= {_instant(since - _ZONES)} AND {query.utc} >= {_instant(since)}"
            )
            async for page in self._keyset(query, stamped, limit, is_stamped=True):
                yield page
            return
        for is_stamped in (True, False):
            condition = f"{query.stamp} IS {'NOT ' if is_stamped else ''}NULL"
            async for page in self._keyset(query, condition, limit, is_stamped=is_stamped):
                yield page

    async def _keyset(
        self, query: Query, condition: str, limit: int, *, is_stamped: bool
    ) -> AsyncIterator[tuple[list[Any], Position | None]]:
        paging = Paging(query.source)
        next_condition = condition
        while True:
            text = query.text(next_condition)
            items, has_more = await self.query(text, of=query.source, limit=limit)
            position = _last_position(items, query, is_stamped=is_stamped)
            yield items, position
            if not has_more:
                return
            paging.go_on(position)
            assert position is not None
            after_id = f"{query.id} > {int(position[1])}"
            if position[0] is None:
                next_condition = f"{condition} AND {after_id}" if condition else after_id
            else:
                stamp = _instant(position[0])
                next_condition = (
                    f"{query.stamp} >= {_instant(position[0] - _ZONES)}"
                    f" AND ({query.utc} > {stamp} OR ({query.utc} = {stamp} AND {after_id}))"
                )

    async def deletions(
        self, script_ids: Sequence[str], since: datetime
    ) -> AsyncIterator[DeletePage]:
        """Yield the delete log of record types that share their ids."""
        query = Query(
            columns=(
                "d.recordid AS recordid",
                f"{shown_in_utc('d.deleteddate')} AS deleteddate",
            ),
            source="deletedrecord d",
            where=f"d.scriptid IN ({', '.join(map(repr, script_ids))})",
            stamp="d.deleteddate",
            id="d.recordid",
        )
        async for items, _ in self.keyset(query, since, ROWS_MAX):
            yield _read_deletions(items)


class NetSuiteReader:
    """One record type."""

    def __init__(self, api: _Api, query: Query, rows: RowReader, page_size: int) -> None:
        self._api = api
        self._query = query
        self._rows = rows
        self._page_size = page_size
        self.traits: Final = ReaderTraits(
            has_cursor=query.has_stamp,
            delete_feed=DeleteFeed.EVERY_POLL if query.script_ids else DeleteFeed.NONE,
        )

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's id alone."""
        return self._rows.key(row_id)

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield rows by (lastmodifieddate, id), or by id where there is no stamp."""
        server_at = await self._api.server_time()
        async for items, position in self._api.keyset(self._query, since, self._page_size):
            reached = None if position is None else position[0]
            yield self._rows.page(items, server_at, reached=reached)

    async def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        """Yield the delete log."""
        async for page in self._api.deletions(self._query.script_ids, since):
            yield page


class InvoiceReader:
    """Lines of invoices and credit memos: of every changed header, all lines as they are now."""

    traits: Final = ReaderTraits(has_parent=True, delete_feed=DeleteFeed.EVERY_POLL)

    def __init__(self, api: _Api, rows: RowReader, page_size: int) -> None:
        self._api = api
        self._rows = rows
        self._page_size = page_size

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's id alone."""
        return self._rows.key(row_id)

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield the lines of changed headers, complete for every header in the page."""
        server_at = await self._api.server_time()
        limit = min(self._page_size, INVOICES_A_PAGE_MAX)
        async for headers, position in self._api.keyset(INVOICE_HEADERS, since, limit):
            parents, refused = _read_headers(headers)
            # The headers' own stamps: a line read later may carry a newer one.
            reached = None if position is None else position[0]
            lines = await self._lines(parents)
            yield self._rows.page(
                lines, server_at, reached=reached, parents=parents, refused=refused
            )

    async def _lines(self, parents: frozenset[str]) -> list[Any]:
        if not parents:
            return []
        # By offset, a line that is deleted meanwhile would hide one of another invoice, which
        # would look deleted.
        ids = ", ".join(str(int(parent)) for parent in sorted(parents))
        within = condition = f"t.id IN ({ids})"
        paging = Paging(INVOICE_LINES.source)
        lines: list[Any] = []
        while True:
            items, has_more = await self._api.query(
                INVOICE_LINES.text(condition), of=INVOICE_LINES.source, limit=self._page_size
            )
            lines += items
            if not has_more:
                return lines
            last = _last_line(items)
            paging.go_on(last)
            assert last is not None
            header, line = last
            after = f"(t.id > {header} OR (t.id = {header} AND l.id > {line}))"
            condition = f"{within} AND {after}"

    async def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        """Yield deleted invoices and credit memos, each standing for all its lines."""
        async for page in self._api.deletions(INVOICE_HEADERS.script_ids, since):
            yield page


def _instant(instant: datetime) -> str:
    text = instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"TO_TIMESTAMP('{text}', '{STAMP_MASK}')"


def _last_position(items: Sequence[Any], query: Query, *, is_stamped: bool) -> Position | None:
    """Stamp and id of the last row that has both in a usable form."""
    for item in reversed(items):
        if isinstance(item, dict):
            try:
                stamp = read_instant(item.get(query.stamp_label)) if is_stamped else None
                return stamp, read_key(item.get(query.id_label), _ID)
            except ValueError:
                continue
    return None


def _last_line(items: Sequence[Any]) -> tuple[int, int] | None:
    """Ids of the header and the line of the last row that has both in a usable form."""
    for item in reversed(items):
        if isinstance(item, dict):
            try:
                header, _, line = read_key(item.get("id"), _LINE_ID).rpartition("-")
            except ValueError:
                continue
            return int(header), int(line)
    return None


def _read_headers(items: Sequence[Any]) -> tuple[frozenset[str], list[UnreadableRow]]:
    parents: set[str] = set()
    unreadable: list[UnreadableRow] = []
    for item in items:
        try:
            parents.add(read_key(_record(item).get("id"), _ID))
        except ValueError as error:
            unreadable.append(nameless(item, f"header: {error}"))
    return frozenset(parents), unreadable


def _read_deletions(items: Sequence[Any]) -> DeletePage:
    found: list[Deletion] = []
    unreadable: list[UnreadableRow] = []
    for item in items:
        try:
            row_id = read_key(_record(item).get("recordid"), _ID)
            found.append(Deletion(row_id, read_instant(item.get("deleteddate"))))
        except ValueError as error:
            unreadable.append(nameless(item, f"delete log: {error}"))
    return DeletePage(found, unreadable)


def _record(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise ValueError(f"a row is {name_of(item)}")
    return item
