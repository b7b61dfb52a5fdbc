"""NetSuite as a polled source: SuiteQL with a composite cursor, deletes from `deletedrecord`.

Every query selects explicit columns, dates through TO_CHAR, in keyset pages on
(lastmodifieddate, id) with offset 0: an offset without a unique order repeats and skips rows.
Invoices are read in two steps, changed headers and then all lines of those, because lines have
neither a dependable stamp nor a delete log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from pydantic import Field, SecretStr, field_validator

from connectors.http import Limiter, VendorClient
from connectors.netsuite.auth import POLICY, SYSTEM, make_auth
from connectors.netsuite.queries import INVOICE_HEADERS, INVOICE_LINES, QUERIES, Query
from connectors.polled.config import PolledConfig, read_secret_file
from connectors.polled.conversion import Layout, RowReader, parse_instant
from connectors.polled.model import DeleteFeed, Deletion, ObjectReader, Page, ReaderTraits
from schemas.contracts import record_schema
from schemas.errors import SchemaMismatchError

USER_AGENT: Final = "psastream"
ROWS_MAX: Final = 1000
INVOICES_A_PAGE_MAX: Final = 100
_STAMP_MASK: Final = "YYYY-MM-DD HH24:MI:SS"
_IGNORED: Final = frozenset({"links"})


class NetSuiteConfig(PolledConfig):
    """Address and credentials of an account."""

    page_size: int = Field(default=500, alias="page.size", ge=1, le=ROWS_MAX)
    client_id: SecretStr = Field(alias="auth.client.id")
    certificate_id: str = Field(alias="auth.certificate.id")
    private_key: SecretStr = Field(alias="auth.private.key.file")

    @field_validator("private_key", mode="before")
    @classmethod
    def _read_key(cls, path: str) -> SecretStr:
        return read_secret_file(path)


class NetSuiteSource:
    """The readers of one account, on one client."""

    config_model: Final = NetSuiteConfig

    def __init__(self, config: NetSuiteConfig) -> None:
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
        )
        self._page_size = config.page_size

    @classmethod
    def from_config(cls, config: PolledConfig) -> Self:
        """Make the source from its validated configuration."""
        assert isinstance(config, NetSuiteConfig)
        return cls(config)

    def reader(self, obj: str) -> ObjectReader:
        """Return the reader of a catalogued object."""
        api = _Api(self._client)
        record = record_schema(f"source/{SYSTEM}/{obj}")
        stamp = () if obj == "subsidiary" else ("lastmodifieddate",)
        layout = Layout("id", modified_fields=stamp, null_is_absent=True, ignored=_IGNORED)
        rows = RowReader(record, layout)
        if obj == "invoice":
            return InvoiceReader(api, rows, self._page_size)
        return NetSuiteReader(api, QUERIES[obj], rows, self._page_size)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


@dataclass(frozen=True, slots=True)
class _Api:
    """SuiteQL and the server's clock."""

    client: VendorClient

    async def query(self, text: str, *, limit: int, offset: int = 0) -> tuple[list[Any], bool]:
        """Return one page of items and whether there are more."""
        response = await self.client.request(
            "POST",
            "/services/rest/query/v1/suiteql",
            params={"limit": str(limit), "offset": str(offset)},
            json={"q": text},
            headers={"Prefer": "transient"},
            is_read=True,
        )
        body = response.body
        if not isinstance(body, dict) or not isinstance(body.get("items"), list):
            raise SchemaMismatchError("a query answer came without items")
        return body["items"], bool(body.get("hasMore"))

    async def server_time(self) -> datetime:
        """Return the server's clock."""
        response = await self.client.request("GET", "/services/rest/system/v1/serverTime")
        return parse_instant(response.body["serverTime"])

    async def offset_pages(self, text: str, limit: int) -> AsyncIterator[list[Any]]:
        """Yield the pages of a small answer, which must be in a unique total order."""
        offset, has_more = 0, True
        while has_more:
            items, has_more = await self.query(text, limit=limit, offset=offset)
            offset += limit
            yield items

    async def keyset(
        self, query: Query, since: datetime | None, limit: int
    ) -> AsyncIterator[list[Any]]:
        """Yield the rows of `query` changed since, in pages by (stamp, id)."""
        condition = "" if since is None else f"{query.stamp} >= {_instant(since)}"
        while True:
            items, has_more = await self.query(query.text(condition), limit=limit)
            yield items
            if not items or not has_more:
                return
            stamp = _instant(parse_instant(items[-1][query.stamp_label]))
            last_id = int(items[-1][query.id_label])
            condition = (
                f"({query.stamp} > {stamp} OR ({query.stamp} = {stamp} AND {query.id} > {last_id}))"
            )

    async def deletions(self, script_id: str, since: datetime) -> AsyncIterator[list[Deletion]]:
        """Yield the delete log of a record type."""
        query = Query(
            columns=(
                "d.recordid AS recordid",
                f"TO_CHAR(d.deleteddate, '{_STAMP_MASK}') AS deleteddate",
            ),
            source="deletedrecord d",
            where=f"d.scriptid = '{script_id}'",
            stamp="d.deleteddate",
            id="d.recordid",
        )
        async for items in self.keyset(query, since, ROWS_MAX):
            yield [
                Deletion(str(item["recordid"]), parse_instant(item["deleteddate"]))
                for item in items
            ]


class NetSuiteReader:
    """One record type."""

    def __init__(self, api: _Api, query: Query, rows: RowReader, page_size: int) -> None:
        self._api = api
        self._query = query
        self._rows = rows
        self._page_size = page_size
        self.traits: Final = ReaderTraits(
            has_cursor=query.has_stamp,
            delete_feed=DeleteFeed.EVERY_POLL if query.script_id else DeleteFeed.NONE,
        )

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's id alone."""
        return self._rows.key(row_id)

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield rows by (lastmodifieddate, id), or by id where there is no stamp."""
        server_at = await self._api.server_time()
        if not self._query.has_stamp:
            async for items in self._api.offset_pages(self._query.text(""), self._page_size):
                yield self._rows.page(items, server_at)
            return
        async for items in self._api.keyset(self._query, since, self._page_size):
            reached = parse_instant(items[-1][self._query.stamp_label]) if items else None
            yield self._rows.page(items, server_at, reached=reached)

    async def deletions(self, since: datetime) -> AsyncIterator[Sequence[Deletion]]:
        """Yield the delete log."""
        async for page in self._api.deletions(self._query.script_id, since):
            yield page


class InvoiceReader:
    """Invoice lines: of every changed header, all lines as they are now."""

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
        async for headers in self._api.keyset(INVOICE_HEADERS, since, limit):
            if not headers:
                return
            parents = frozenset(str(header["id"]) for header in headers)
            # The headers' own stamps: a line read later may carry a newer one.
            reached = parse_instant(headers[-1]["lastmodifieddate"])
            lines = await self._lines(parents)
            yield self._rows.page(lines, server_at, reached=reached, parents=parents)

    async def _lines(self, parents: frozenset[str]) -> list[Any]:
        ids = ", ".join(str(int(parent)) for parent in sorted(parents))
        text = INVOICE_LINES.text(f"t.id IN ({ids})")
        lines: list[Any] = []
        has_more = True
        while has_more:
            items, has_more = await self._api.query(text, limit=self._page_size, offset=len(lines))
            lines += items
        return lines

    async def deletions(self, since: datetime) -> AsyncIterator[Sequence[Deletion]]:
        """Yield deleted invoices, each standing for all its lines."""
        async for page in self._api.deletions("invoice", since):
            yield page


def _instant(instant: datetime) -> str:
    text = instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"TO_TIMESTAMP('{text}', '{_STAMP_MASK}')"
