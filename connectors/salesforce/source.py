"""Salesforce as a polled source: SOQL with a composite cursor, deletes by flag and by feed.

Reads go through `queryAll`, which shows rows in the recycle bin, in keyset pages on
(SystemModstamp, Id): no server-side cursor that could lapse, and equal stamps never cut a page.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import structlog
from pydantic import Field, SecretStr, field_validator

from connectors.faults import QuotaExhaustedError
from connectors.http import Limiter, Response, VendorClient
from connectors.polled import instruments
from connectors.polled.config import PolledConfig, read_secret_file
from connectors.polled.conversion import Layout, RowReader, parse_instant
from connectors.polled.model import (
    DeleteFeed,
    Deletion,
    ObjectReader,
    Page,
    ReaderTraits,
)
from connectors.salesforce.auth import POLICY, SYSTEM, make_auth
from schemas.contracts import record_schema
from schemas.errors import SchemaMismatchError

log = structlog.get_logger()

USER_AGENT: Final = "psastream"
DELETED_DAYS_MAX: Final = 15
OBJECTS: Final = {
    "account": "Account",
    "opportunity": "Opportunity",
    "opportunity_line_item": "OpportunityLineItem",
}
LAYOUT: Final = Layout(
    id_field="Id",
    modified_fields=("SystemModstamp",),
    deleted_field="IsDeleted",
    ignored=frozenset({"attributes"}),
)
_USAGE: Final = re.compile(r"api-usage=(?P<used>\d+)/(?P<limit>\d+)")


class SalesforceConfig(PolledConfig):
    """Address and credentials of an org."""

    api_version: str = Field(default="62.0", alias="api.version", pattern=r"^\d+\.0$")
    audience: str = Field(default="https://login.salesforce.com", alias="auth.audience")
    client_id: SecretStr = Field(alias="auth.client.id")
    username: str = Field(alias="auth.username")
    private_key: SecretStr = Field(alias="auth.private.key.file")
    quota_reserve_ratio: float = Field(
        default=0.2,
        alias="quota.reserve.ratio",
        ge=0,
        lt=1,
        description="share of the org's daily requests left to everybody else",
    )

    @field_validator("private_key", mode="before")
    @classmethod
    def _read_key(cls, path: str) -> SecretStr:
        return read_secret_file(path)


class SalesforceSource:
    """The readers of one org, on one client."""

    config_model: Final = SalesforceConfig

    def __init__(self, config: SalesforceConfig) -> None:
        auth = make_auth(
            url=config.url,
            audience=config.audience,
            client_id=config.client_id.get_secret_value(),
            username=config.username,
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
        self._config = config

    @classmethod
    def from_config(cls, config: PolledConfig) -> Self:
        """Make the source from its validated configuration."""
        assert isinstance(config, SalesforceConfig)
        return cls(config)

    def reader(self, obj: str) -> ObjectReader:
        """Return the reader of a catalogued object."""
        rows = RowReader(record_schema(f"source/{SYSTEM}/{obj}"), LAYOUT)
        api = _Api(self._client, self._config)
        return SalesforceReader(api, OBJECTS[obj], rows, self._config.page_size)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


@dataclass(frozen=True, slots=True)
class _Api:
    """GET requests below one API version, which spend a daily allowance."""

    client: VendorClient
    config: SalesforceConfig

    async def get(self, resource: str, params: dict[str, str]) -> Response:
        """Raises QuotaExhaustedError once only the reserve is left."""
        path = f"/services/data/v{self.config.api_version}/{resource}"
        response = await self.client.request("GET", path, params=params)
        usage = _USAGE.search(response.headers.get("Sforce-Limit-Info", ""))
        if usage and int(usage["limit"]):
            remaining_ratio = 1 - int(usage["used"]) / int(usage["limit"])
            instruments.QUOTA_REMAINING.labels(SYSTEM).set(max(remaining_ratio, 0))
            if remaining_ratio < self.config.quota_reserve_ratio:
                raise QuotaExhaustedError(
                    "the org's daily requests are used up but for the reserve",
                    retry_after_s=POLICY.quota_pause_s,
                    hint="raise the org's allowance, or quota.reserve.ratio is too large",
                )
        return response


class SalesforceReader:
    """One object of the org."""

    traits: Final = ReaderTraits(delete_feed=DeleteFeed.AT_SWEEP)

    def __init__(self, api: _Api, sobject: str, rows: RowReader, page_size: int) -> None:
        self._api = api
        self._sobject = sobject
        self._rows = rows
        self._page_size = page_size

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield rows, recycle bin included, by (SystemModstamp, Id)."""
        where = "" if since is None else f"WHERE SystemModstamp >= {_literal(since)} "
        while True:
            soql = (  # no value comes from outside: names are ours, ids the vendor's own
                f"SELECT {', '.join(self._rows.fields)} FROM {self._sobject} {where}"  # noqa: S608
                f"ORDER BY SystemModstamp ASC, Id ASC LIMIT {self._page_size}"
            )
            response = await self._api.get("queryAll", {"q": soql})
            records = _records(response.body)
            reached = parse_instant(records[-1]["SystemModstamp"]) if records else None
            yield self._rows.page(records, response.server_at, reached=reached)
            # The server may cut a page short of LIMIT; then it is not done.
            is_short = len(records) < self._page_size and response.body.get("done", True)
            if reached is None or is_short:
                return
            stamp, last_id = _literal(reached), records[-1]["Id"]
            where = (
                f"WHERE (SystemModstamp > {stamp} OR "
                f"(SystemModstamp = {stamp} AND Id > '{last_id}')) "
            )

    async def deletions(self, since: datetime) -> AsyncIterator[Sequence[Deletion]]:
        """Yield the delete log, which also knows rows purged from the recycle bin."""
        end = datetime.now(UTC)
        start = min(max(since, end - timedelta(days=DELETED_DAYS_MAX)), end - timedelta(minutes=1))
        response = await self._api.get(
            f"sobjects/{self._sobject}/deleted",
            {"start": _literal(start), "end": _literal(end)},
        )
        if parse_instant(response.body["earliestDateAvailable"]) > start:
            log.warning("delete_log_incomplete", system=SYSTEM, object=self._sobject)
        found = [
            Deletion(str(entry["id"]), parse_instant(entry["deletedDate"]))
            for entry in response.body["deletedRecords"]
        ]
        yield sorted(found, key=lambda deletion: deletion.deleted_at)

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's id alone."""
        return self._rows.key(row_id)


def _literal(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _records(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict) or not isinstance(body.get("records"), list):
        raise SchemaMismatchError("a query answer came without records")
    return list(body["records"])
