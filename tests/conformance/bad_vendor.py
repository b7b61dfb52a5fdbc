"""A vendor's code with faults to choose from, and the API that it reads.

Without a fault it is sound. Each fault is one that connectors have been seen to have.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlsplit

import structlog
from pydantic import Field, SecretStr

from connectors.polled.config import ApiConfig, PolledConfig
from connectors.polled.conversion import Layout, RowReader
from connectors.polled.model import (
    DeleteFeed,
    DeletePage,
    Deletion,
    ObjectReader,
    Page,
    ReaderTraits,
    Row,
)
from connectors.polled.paging import BrokenPagingError, Paging
from connectors.toolkit.faults import (
    ErrorPolicy,
    Fault,
    Meaning,
    QuotaExhaustedError,
    UnreadableBodyError,
    rule,
)
from connectors.toolkit.http import Limiter, Response, RetrySettings, VendorClient
from connectors.toolkit.vendor import Vendor
from schemas.codec.record import AvroSchema
from schemas.errors import (
    AuthenticationError,
    RateLimitedError,
    SchemaMismatchError,
    TransientError,
)
from schemas.system import SystemBundle

_log = structlog.get_logger()
UNSPENT: Final = RetrySettings(attempts=1)


class VisitsConfig(ApiConfig):
    """The account's token."""

    token: SecretStr = Field(alias="auth.token")


class Token:
    """Credentials that never lapse."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def invalidate(self) -> None:
        """There is no other."""


def policy(faults: Collection[str]) -> ErrorPolicy:
    rules = [rule(403, Meaning.REFUSED_ACCOUNT, evidence="a test")]
    if "no fresh token" in faults:
        rules.append(rule(401, Meaning.REFUSED_ACCOUNT, evidence="a test"))
    if "hopes for other credentials" in faults:
        rules.append(rule(401, Meaning.RETRY, evidence="a test"))
    if "spends the day's allowance" in faults:
        rules.append(rule(429, Meaning.RATE_LIMITED, evidence="a test"))
    rules.append(rule(429, Meaning.QUOTA, "day", evidence="a test"))
    return ErrorPolicy("visits", _faults, tuple(rules))


def _faults(body: object) -> list[Fault]:
    code = body.get("code") if isinstance(body, dict) else None
    return [Fault(code=str(code))] if code else []


def source_with(*faults: str) -> type[VisitsSource]:
    """The source, with faults."""
    return type("VisitsSource", (VisitsSource,), {"faults": frozenset(faults)})


class VisitsSource:
    """Visits of one account."""

    config_model: ClassVar[type[PolledConfig]] = VisitsConfig
    faults: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: VisitsConfig) -> None:
        self.config = config
        self._clients: list[VendorClient] = []
        self.client = self.client_at(config.url)

    def client_at(self, url: str) -> VendorClient:
        client = VendorClient(
            url,
            Token(self.config.token.get_secret_value()),
            policy(self.faults),
            user_agent="test",
            timeout_s=self.config.request_timeout_ms / 1000,
            limiter=Limiter(2),
            retry=UNSPENT if "hammers" in self.faults else None,
        )
        self._clients.append(client)
        return client

    @classmethod
    def objects_of(cls, system: SystemBundle) -> Collection[str]:
        return ["visit"]

    @classmethod
    def from_config(cls, config: PolledConfig, system: SystemBundle) -> Self:
        assert isinstance(config, VisitsConfig)
        return cls(config)

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        return VisitReader(self, contract)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


class VisitReader:
    """The list of visits, newest first, behind links; and that of deleted ones."""

    def __init__(self, source: VisitsSource, contract: AvroSchema) -> None:
        self._source = source
        self._faults = source.faults
        key = "text" if "id of its own" in self._faults else "id"
        layout = Layout(
            key,
            modified_fields=("changed_at",),
            null_is_absent="absent is null" in self._faults,
        )
        self._rows = RowReader(contract, layout)
        feed = DeleteFeed.NONE if "no deletes" in self._faults else DeleteFeed.EVERY_POLL
        self.traits: Final = ReaderTraits(delete_feed=feed)
        self._newest: datetime | None = None
        self._has_all = False
        self._known: set[str | None] = set()
        self._deleted: set[str | None] = set()
        self._reads = 0

    def key(self, row_id: str) -> Mapping[str, object]:
        return self._rows.key(row_id)

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        params = {}
        is_whole = since is None
        if since is not None or ("sweeps the news" in self._faults and self._has_all):
            since = since or self._newest
            assert since is not None
            if "skips ties" in self._faults:
                since += timedelta(seconds=1)
            if "knows better" in self._faults and self._newest is not None:
                since = max(since, self._newest)
            params["since"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        async for response, rows in self._pages("/v1/visits", params):
            page = self._page(self._chosen(rows, is_whole), response)
            stamps = [row.modified_at for row in page.rows if row.modified_at is not None]
            self._newest = max([*stamps, *filter(None, [self._newest])], default=None)
            yield page
        self._has_all = self._has_all or is_whole

    def _chosen(self, rows: list[Any], is_whole: bool) -> list[Any]:
        ids = {str(row["id"]) if isinstance(row, dict) else None: row for row in rows}
        hidden: set[str | None] = set()
        if "deleted is deleted" in self._faults:
            hidden |= self._deleted
        if "news are new rows" in self._faults and not is_whole:
            hidden |= self._known
        self._known |= ids.keys()
        return [row for row in rows if not hidden & {str(row["id"])}] if hidden else rows

    def _page(self, rows: list[Any], response: Response) -> Page:
        self._spoil(rows)
        self._reads += 1
        page = self._rows.page(rows, response.server_at)
        found = page.rows
        if "binary money" in self._faults:
            found = [_with(row, amount=_as_float(row.values["amount"])) for row in found]
        if "stamps its reads" in self._faults:
            found = [_with(row, read_at=str(self._reads)) for row in found]
        stamps = [row.modified_at for row in found if row.modified_at is not None]
        is_ahead = "trusts the order" in self._faults and stamps
        unreadable = [] if "drops what it cannot read" in self._faults else page.unreadable
        return Page(
            found, unreadable, page.server_at, reached=max(stamps) if is_ahead else None,
            new_fields=page.new_fields,
        )  # fmt: skip

    def _spoil(self, rows: list[Any]) -> None:
        """What a reader does that expects every row to be as it was."""
        if "stops at strangers" in self._faults:
            for row in rows:
                if isinstance(row, dict) and (strange := row.keys() - set(self._rows.fields)):
                    raise SchemaMismatchError(f"unknown columns: {', '.join(sorted(strange))}")
        if "expects rows" in self._faults and any(not isinstance(row, dict) for row in rows):
            raise SchemaMismatchError("a row is none")
        if "expects values" in self._faults:
            for row in rows:
                if isinstance(row, dict) and row.get("place", "") is None:
                    row["place"].strip()
        if "counts on one of each" in self._faults:
            ids = [str(row["id"]) for row in rows if isinstance(row, dict)]
            if len(set(ids)) != len(ids):
                raise ValueError("a row twice")

    async def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        async for _, rows in self._pages("/v1/deleted", {}):
            self._deleted |= {str(row["id"]) for row in rows}
            yield DeletePage(
                [
                    Deletion(str(row["id"]), datetime.fromisoformat(row["deleted_at"]))
                    for row in rows
                ]
            )

    async def _pages(
        self, path: str, params: Mapping[str, str]
    ) -> AsyncIterator[tuple[Response, list[Any]]]:
        size = self._source.config.page_size
        ask: str | None = path
        params = {**params, "limit": str(size)}
        paging, client = Paging(path), self._source.client
        while ask is not None:
            try:
                response = await self._ask(client, ask, params)
            except (RateLimitedError, AuthenticationError):
                raise
            except (TransientError, UnreadableBodyError):
                if "half a list is a list" not in self._faults or ask == path:
                    raise
                return
            rows = self._rows_of(response)
            yield response, rows
            link = response.body["links"]["next"] if rows or response.body else None
            if "one page is all" in self._faults:
                return
            if link is None or ("short is the end" in self._faults and len(rows) < size):
                return
            params = {}
            base, target = urlsplit(self._source.config.url), urlsplit(link)
            if base.netloc != target.netloc:
                if "follows links" not in self._faults:
                    raise BrokenPagingError("the next page is elsewhere")
                client = self._source.client_at(f"{target.scheme}://{target.netloc}")
            ask = f"{target.path}?{target.query}"
            if "pages for ever" not in self._faults:
                paging.go_on(ask)

    def _rows_of(self, response: Response) -> list[Any]:
        if response.body is None:
            raise UnreadableBodyError("nothing came")
        if not isinstance(response.body, dict) or "links" not in response.body:
            raise SchemaMismatchError("another answer")
        rows = response.body.get("rows")
        if not isinstance(rows, list):
            raise SchemaMismatchError("no list of rows")
        return rows

    async def _ask(self, client: VendorClient, path: str, params: Mapping[str, str]) -> Response:
        if "leaks" in self._faults:
            _log.info("asking", token=self._source.config.token.get_secret_value())
        while True:
            try:
                return await client.request("GET", path, params=params)
            except AuthenticationError as error:
                is_right = error.context.get("status") == 403
                if "no right is no row" not in self._faults or not is_right:
                    raise
                return _nothing()
            except QuotaExhaustedError:
                raise
            except RateLimitedError:
                if "hammers" not in self._faults:
                    raise
            except TransientError:
                if "never gives up" not in self._faults:
                    raise


def _nothing() -> Response:
    return Response(200, {}, {"rows": [], "links": {"next": None}})


def _with(row: Row, **values: object) -> Row:
    return Row(row.id, {**row.values, **values}, row.modified_at, row.is_deleted)


def _as_float(value: object) -> object:
    return None if value is None else float(str(value))


FIELDS: Final = {
    "id": "long", "text": "string", "changed_at": "string", "place": "string",
    "amount": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4},
    "is_open": "boolean",
}  # fmt: skip
CONTRACT: Final = {
    "type": "record",
    "name": "Visit",
    "namespace": "psa.source.visits",
    "fields": [
        {"name": name, "type": ["null", kind], "default": None} for name, kind in FIELDS.items()
    ],
}
MAPPING: Final = """\
system: visits
capture: polled
objects:
  visit:
    kind: visit
    key: id
    targets:
      - entity: project
        fields:
          name: {from: text, text: trim}
          status: {from: is_open, values: {true: active, false: closed}}
          correlation_id: {mint: correlation, of: "visits:visit", from: id}
        required: [status]
"""
API: Final = """\
headers: {Authorization: "Bearer ${VISITS_TOKEN}"}
limit: {param: limit, max: 100}
paging: {type: link, path: links.next}
answers:
  - {status: 429, body: {code: day}, means: pause}
objects:
  visit:
    id: id
    vary: text
    changed_at: {paths: [changed_at]}
    order: newest
    deletes: list
    nullable: [place, amount]
    lists:
      - {path: /v1/visits, rows: rows, since: {param: since}}
      - {path: /v1/deleted, rows: rows, shows: deleted, deleted_at: deleted_at}
"""
SAMPLES: Final = [
    {
        "row": {
            "id": 12, "text": "Harbour", "changed_at": "2026-03-02T08:00:00Z", "place": "Quay 5",
            "amount": 12.5, "is_open": True,
        },
        "makes": {"project": {"name": "Harbour", "status": "active"}},
    }
]  # fmt: skip
SOURCE: Final = {
    "name": "visits",
    "connector.class": "visits",
    "topic.prefix": "src.visits",
    "object.include.list": "visit",
    "url": "http://127.0.0.1",
    "auth.token": "${env:VISITS_TOKEN}",
}
START: Final = datetime(2026, 3, 2, tzinfo=UTC)


def write_visits(parent: Path, mapping: str = MAPPING, **source: object) -> Path:
    """The folder of the system."""
    folder = parent / "visits"
    (folder / "avro").mkdir(parents=True)
    (folder / "samples").mkdir()
    (folder / "mapping.yaml").write_text(mapping)
    (folder / "avro" / "visit.avsc").write_text(json.dumps(CONTRACT))
    (folder / "conformance.yaml").write_text(API)
    (folder / "samples" / "visit.json").write_text(json.dumps(SAMPLES))
    (folder / "source.json").write_text(json.dumps({**SOURCE, **source}))
    return folder


def vendor_with(*faults: str) -> Vendor:
    """The code of the system."""
    return Vendor(source=source_with(*faults))
