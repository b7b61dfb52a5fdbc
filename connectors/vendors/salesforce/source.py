"""Salesforce as a polled source: SOQL with a composite cursor, deletes by flag and by feed.

Reads go through `queryAll`, which shows rows in the recycle bin, in keyset pages on
(SystemModstamp, Id): no server-side cursor that could lapse, and equal stamps never cut a page. A
query that names a field which the org has not is refused; an optional one is left out then.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import structlog
from pydantic import Field, SecretStr, field_validator

from connectors.polled.answers import Answer, Instant, read_answer, read_instant
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
from connectors.polled.quota import Quota
from connectors.polled.source import Readable, readable_objects
from connectors.toolkit.body import ROWS
from connectors.toolkit.faults import QuotaExhaustedError, VendorRejectedError
from connectors.toolkit.http import Limiter, Response, RetrySettings, VendorClient
from connectors.toolkit.metadata import Described, Kind
from connectors.vendors.salesforce.auth import POLICY, make_auth
from connectors.vendors.salesforce.objects import DEALS, Sobject, read_objects
from schemas.codec.record import AvroSchema
from schemas.system import SystemBundle

_log = structlog.get_logger()

USER_AGENT: Final = "psastream"
DELETED_DAYS_MAX: Final = 15
LOG_PERIOD_MIN: Final = timedelta(minutes=2)
"""A period of the delete log is longer than a minute, of whole minutes."""
_ID: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
LAYOUT: Final = Layout(
    id_field="Id",
    id_form=_ID,
    modified_fields=("SystemModstamp",),
    deleted_field="IsDeleted",
    ignored=frozenset({"attributes"}),
)
READABLE: Final = Readable("Id", needed=frozenset({"SystemModstamp", "IsDeleted"}))
"""Of each object: a query selects the fields of its contract."""
NO_SUCH_COLUMN: Final = "INVALID_FIELD"
_QUOTED: Final = re.compile(r"'(\w+)'")
_KINDS: Final[Mapping[str, Kind]] = {
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    **dict.fromkeys(("currency", "double", "int", "long", "percent"), Kind.NUMBER),
}
"""By the type of a field; of all others the values are texts."""
_USAGE: Final = re.compile(r"api-usage=(?P<used>[0-9]{1,12})/(?P<limit>[0-9]{1,12})")


class SalesforceConfig(ApiConfig):
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
    def _read_key(cls, path: object) -> SecretStr:
        return read_secret_file(path)


class QueryAnswer(Answer):
    """A page of a query."""

    records: list[Any]
    done: bool


class DeletedAnswer(Answer):
    """The delete log of a period."""

    deletedRecords: list[Any]
    earliestDateAvailable: Instant


class FieldAnswer(Answer):
    """A field as an org describes it."""

    name: str
    type: str
    label: str | None = None
    picklistValues: list[dict[str, Any]] | None = None


class DescribeAnswer(Answer):
    """An object as an org describes it."""

    fields: list[FieldAnswer]


class SalesforceSource:
    """The readers of one org, on one client."""

    config_model: ClassVar[type[PolledConfig]] = SalesforceConfig

    def __init__(
        self,
        config: SalesforceConfig,
        retry: RetrySettings | None = None,
        *,
        objects: Mapping[str, Sobject] = DEALS,
    ) -> None:
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
            retry=retry,
            bounds=ROWS,
        )
        self.config = config
        self._objects = objects

    @classmethod
    def objects_of(cls, system: SystemBundle) -> Collection[str]:
        """What the API has. Raises ConfigError."""
        return readable_objects(system, dict.fromkeys(read_objects(system), READABLE))

    @classmethod
    def from_config(cls, config: PolledConfig, system: SystemBundle) -> Self:
        """Make the source from its validated configuration."""
        assert isinstance(config, SalesforceConfig)
        return cls(config, objects=read_objects(system))

    @cached_property
    def _quota(self) -> Quota:
        return Quota(self.config.system, self.config.quota_reserve_ratio)

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        """Return the reader of an object, whose rows have the fields of the contract."""
        sobject = self._objects[obj]
        rows = RowReader(contract, replace(LAYOUT, optional=frozenset(sobject.optional)))
        api = _Api(self._client, self.config, self._quota)
        return SalesforceReader(api, sobject, rows, self.config.page_size)

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request(
            "GET", f"/services/data/v{self.config.api_version}/limits", retry=False
        )
        return response.server_at

    async def describe(self, obj: str) -> Mapping[str, Described | None]:
        """See Describes."""
        known = self._objects[obj]
        sobject = known.sobject
        api = _Api(self._client, self.config, self._quota)
        response = await api.get(f"sobjects/{sobject}/describe", {})
        answer = read_answer(DescribeAnswer, response.body, of=f"the description of {sobject}")
        may_lack = dict.fromkeys(known.optional)
        return may_lack | {each.name: _described(each) for each in answer.fields}

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


def _described(field: FieldAnswer) -> Described:
    values = None
    if field.type == "picklist" and field.picklistValues is not None:
        active = [each for each in field.picklistValues if each.get("active")]
        values = frozenset(str(each.get("value")) for each in active)
    return Described(field.type, _KINDS.get(field.type, Kind.TEXT), values, field.label)


@dataclass(frozen=True, slots=True)
class _Api:
    """GET requests below one API version, which spend a daily allowance."""

    client: VendorClient
    config: SalesforceConfig
    quota: Quota

    async def get(self, resource: str, params: dict[str, str]) -> Response:
        """Raises QuotaExhaustedError once only the reserve is left."""
        path = f"/services/data/v{self.config.api_version}/{resource}"
        response = await self.client.request("GET", path, params=params)
        usage = _USAGE.search(response.headers.get("Sforce-Limit-Info", ""))
        if usage and int(usage["limit"]):
            used, limit = int(usage["used"]), int(usage["limit"])
            self.quota.see(limit - used, limit)
            if 1 - used / limit < self.config.quota_reserve_ratio:
                raise QuotaExhaustedError(
                    "the org's daily requests are used up but for the reserve",
                    retry_after_s=POLICY.quota_pause_s,
                    hint="raise the org's allowance, or quota.reserve.ratio is too large",
                )
        return response


class SalesforceReader:
    """One object of the org."""

    traits: Final = ReaderTraits(delete_feed=DeleteFeed.AT_SWEEP, reads_ahead=True)

    def __init__(self, api: _Api, obj: Sobject, rows: RowReader, page_size: int) -> None:
        self._api = api
        self._sobject = obj.sobject
        self._only = obj.condition
        self._optional = obj.optional
        self._absent: frozenset[str] = frozenset()
        self._rows = rows
        self._page_size = page_size
        self._server_at: datetime | None = None

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield rows, recycle bin included, by (SystemModstamp, Id)."""
        if since is None:
            self._absent = frozenset()  # they may have been created by now
        changed = "" if since is None else f"SystemModstamp >= {_literal(since)}"
        paging = Paging(self._sobject)
        while True:
            soql = (  # no value comes from outside but instants and ids of the vendor's own form
                f"SELECT {', '.join(self._selected())} FROM {self._sobject} "  # noqa: S608
                f"{self._where(changed)}"
                f"ORDER BY SystemModstamp ASC, Id ASC LIMIT {self._page_size}"
            )
            try:
                response = await self._api.get("queryAll", {"q": soql})
            except VendorRejectedError as error:
                absent = self._named_by(error)
                if not absent:
                    raise
                self._absent |= absent
                continue
            answer = read_answer(QueryAnswer, response.body, of=f"a query of {self._sobject}")
            self._server_at = response.server_at
            position = _last_position(answer.records)
            reached = None if position is None else position[0]
            yield self._rows.page(answer.records, response.server_at, reached=reached)
            # The server may cut a page short of LIMIT; then it is not done.
            if len(answer.records) < self._page_size and answer.done:
                return
            paging.go_on(position)
            assert position is not None
            stamp, last_id = _exact_literal(position[0]), position[1]
            changed = (
                f"(SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{last_id}'))"
            )

    def _selected(self) -> list[str]:
        return [name for name in self._rows.fields if name not in self._absent]

    def _named_by(self, error: VendorRejectedError) -> frozenset[str]:
        """Return the optional columns that a refusal quotes; around them it repeats the query."""
        words = {
            word
            for fault in error.faults
            if fault.code == NO_SUCH_COLUMN
            for word in _QUOTED.findall(fault.detail)
        }
        return frozenset(words & set(self._optional)) - self._absent

    def _where(self, changed: str) -> str:
        conditions = [each for each in (self._only, changed) if each]
        return f"WHERE {' AND '.join(conditions)} " if conditions else ""

    async def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        """Yield the delete log, which also knows rows purged from the recycle bin.

        Raises DeleteLogIncompleteError where the org no longer has the log of that period.
        """
        end = self._server_at or datetime.now(UTC)  # the log is kept by the server's clock
        start = min(max(since, end - timedelta(days=DELETED_DAYS_MAX)), end - LOG_PERIOD_MIN)
        response = await self._api.get(
            f"sobjects/{self._sobject}/deleted",
            {"start": _literal(start), "end": _literal(end)},
        )
        answer = read_answer(DeletedAnswer, response.body, of=f"the delete log of {self._sobject}")
        if answer.earliestDateAvailable > start:
            _log.warning(
                "poll.delete_log_incomplete", system=self._api.config.system, object=self._sobject
            )
        yield _read_deletions(answer.deletedRecords)

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's id alone."""
        return self._rows.key(row_id)


def _literal(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _exact_literal(stamp: datetime) -> str:
    """A stamp as exact as it was told: cut to seconds, the page that it ended would come again."""
    unit = "milliseconds" if stamp.microsecond else "seconds"
    return stamp.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=unit) + "Z"


def _last_position(records: Sequence[Any]) -> tuple[datetime, str] | None:
    """Stamp and id of the last row that has both in a usable form."""
    for record in reversed(records):
        if isinstance(record, dict):
            try:
                return read_instant(record.get("SystemModstamp")), read_key(record.get("Id"), _ID)
            except ValueError:
                continue
    return None


def _read_deletions(entries: Sequence[Any]) -> DeletePage:
    found: list[Deletion] = []
    unreadable: list[UnreadableRow] = []
    for entry in entries:
        try:
            if not isinstance(entry, dict):
                raise ValueError("an entry of the delete log is no object")
            row_id = read_key(entry.get("id"), _ID)
            found.append(Deletion(row_id, read_instant(entry.get("deletedDate"))))
        except ValueError as error:
            unreadable.append(nameless(entry, f"delete log: {error}"))
    return DeletePage(sorted(found, key=lambda deletion: deletion.deleted_at), unreadable)
