"""Executes commands on Finance & Operations: records of data entities, by OData.

There is no upsert and no idempotency key. What keeps a record single: our id is its number, and
with the company the key of customers and projects, so a second one is refused and the first
adopted. A line of hours is found by the id of its time bill, which no key guards; its number
follows from that id, so that a journal holds it once. An attempt of unknown outcome settles before
it is looked up, and a double in two journals is told. A record is changed as it was read, or not
at all (ETag); dispatch then looks again.

A customer is kept in each of the companies; a project is in the company of its legal entity, and
its hours are written to a journal there that finance has opened, and posts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator

from connectors.dispatch.answers import Answer, read_answer
from connectors.dispatch.commands import Command, Payload, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.lease import Check
from connectors.dispatch.numbered import NumberedSink, hours_of
from connectors.dispatch.sink import NEWEST_SHOWN
from connectors.toolkit.config import BaseUrl
from connectors.toolkit.entra import app_auth
from connectors.toolkit.faults import Fault, Reason, VendorRejectedError
from connectors.toolkit.http import VendorClient
from connectors.vendors.finance_operations.auth import DUPLICATE, POLICY, SYSTEM
from schemas.commands import (
    DeleteProject,
    DeleteTimeBill,
    UpdateProjectBudget,
    UpsertCustomer,
    UpsertProject,
    UpsertTimeBill,
)

NO_JOURNAL: Final = "NO_OPEN_JOURNAL"
POSTED: Final = "JOURNAL_POSTED"
DUPLICATE_LINE: Final = "DUPLICATE_TIME_BILL"
NOT_WRITTEN: Final = "COMPANY_NOT_WRITTEN"
NO_DAY: Final = date(1900, 1, 1)
_LINE_NUMBERS: Final = 10**15
"""Line numbers that a time bill may have: a double holds each of them exactly."""
_NO_CONTENT: Final = 204
_TYPES: Final = {
    "fixed_fee": "FixedPrice",
    "milestone": "FixedPrice",
    "retainer": "FixedPrice",
    "non_billable": "Internal",
}
"""Type of a project that is made, by its billing type; of any other it is billed by time."""
TIME_MATERIAL: Final = "TimeMaterial"


class FinanceOperationsSinkConfig(SinkConfig):
    """Keys of `sink.json`."""

    auth_url: BaseUrl = Field(
        pattern=r"^https?://[^\s]+[^/\s]$",
        description="where tokens are got: `https://login.microsoftonline.com/<tenant>`",
    )
    client_id: str = Field(min_length=1, description="client id of the app")
    client_secret: SecretStr = Field(description="secret of the app")
    companies: tuple[str, ...] = Field(
        min_length=1, description="companies to write to, joined by commas: `DEMF,GBSI`"
    )
    customer_group: str = Field(min_length=1, description="group of customers that are made")
    project_groups: dict[str, str] = Field(
        description="group of projects that are made, by type: `TimeMaterial`, `FixedPrice`,"
        " `Internal`"
    )
    project_stage: str = Field(
        default="InProcess", min_length=1, description="stage of projects that are made"
    )
    journal_name: str = Field(
        min_length=1, description="name of the hour journals that lines are written to"
    )
    resource_id: str = Field(min_length=1, description="resource that lines of hours name")
    category: str = Field(min_length=1, description="project category that lines of hours name")
    hours_digits: int = Field(
        default=6, ge=2, le=6, description="digits of an hour that the environment keeps"
    )

    @field_validator("companies", mode="before")
    @classmethod
    def _ids(cls, named: object) -> tuple[str, ...]:
        ids = [each.strip().lower() for each in named.split(",")] if isinstance(named, str) else []
        if not ids or not all(re.fullmatch("[a-z0-9]{1,4}", each) for each in ids):
            raise ValueError("companies are named in a text, by their ids: DEMF,GBSI")
        return tuple(dict.fromkeys(ids))

    @field_validator("project_groups")
    @classmethod
    def _types(cls, groups: dict[str, str]) -> dict[str, str]:
        if missing := sorted({TIME_MATERIAL, *_TYPES.values()} - groups.keys()):
            raise ValueError(f"no group is named of {', '.join(missing)}")
        return groups

    def make_sink(self, check: Check) -> FinanceOperationsSink:
        """Make the sink; `check` raises where no request may be sent any more."""
        auth = app_auth(
            SYSTEM,
            auth_url=self.auth_url,
            client_id=self.client_id,
            client_secret=self.client_secret.get_secret_value(),
            scope=f"{self.url.rstrip('/')}/.default",
        )
        client = VendorClient(
            self.url,
            auth,
            POLICY,
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )
        return FinanceOperationsSink(client, self)


class _Listed(Answer):
    """A record in a list, with what a change of it must be sent back with."""

    company: str = Field(alias="dataAreaId", min_length=1)
    etag: str = Field(alias="@odata.etag", min_length=1)


class _Journal(Answer):
    number: str = Field(alias="JournalBatchNumber", min_length=1)
    posted: str = Field(alias="Posted")


class _Rows(Answer):
    value: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Entity:
    """A list, the fields that beside the company are its key, and how our numbers begin in one."""

    name: str
    keys: tuple[str, ...]
    number: str
    prefix: str


_CUSTOMERS: Final = _Entity("CustomersV3", ("CustomerAccount",), "CustomerAccount", "CUS-")
_PROJECTS: Final = _Entity("Projects", ("ProjectID",), "ProjectID", "ENG-")
_LINES: Final = _Entity("JournalTrans", ("JournalId", "LineNumber"), "PsaStreamTimeBillId", "TB-")
_JOURNALS: Final = "JournalTables"
_OURS: Final = {"customer": _CUSTOMERS, "project": _PROJECTS, "time_bill": _LINES}
"""Where the records of each noun are."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A record, and the token that it is written back with."""

    entity: _Entity
    company: str
    etag: str
    row: Mapping[str, Any]

    @property
    def id(self) -> str:
        """As its rows are read, in small letters."""
        keys = (_plain(self.row.get(key)) for key in self.entity.keys)
        return ",".join([self.company, *(str(key) for key in keys)]).lower()

    @property
    def path(self) -> str:
        keys = {key: _plain(self.row.get(key)) for key in self.entity.keys}
        literals = [
            f"{name}={_literal(value)}"
            for name, value in {"dataAreaId": self.company, **keys}.items()
        ]
        return f"{_path(self.entity.name)}({','.join(literals)})"


@dataclass(frozen=True, slots=True)
class _Write:
    """What a command wants of one record; without content, that it is in none of the companies.

    `new` is what a record that is made takes beside its content. `made` is False where there must
    be one already.
    """

    entity: _Entity
    companies: tuple[str, ...]
    number: str
    content: Payload | None
    new: Payload = field(default_factory=dict)
    made: bool = True


class FinanceOperationsSink(NumberedSink[_Write, _Found]):
    """Sink on the data entities of some companies."""

    config_model: ClassVar[type[SinkConfig]] = FinanceOperationsSinkConfig
    system = SYSTEM
    title = "Finance & Operations"
    project_field = "ProjectID"

    def __init__(self, client: VendorClient, config: FinanceOperationsSinkConfig) -> None:
        super().__init__(client)
        self._config = config

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request(
            "GET", _path("LegalEntities"), params={"$top": "1"}, retry=False
        )
        return response.server_at

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """List records whose numbers are ours, by key: entities do not show when one was made."""
        found: dict[str, dict[str, None]] = {noun: {} for noun in _OURS}
        for noun, entity in _OURS.items():
            rows = await self._list(
                entity.name,
                f"{entity.number} eq '{entity.prefix}*'",
                entity.keys,
                top=NEWEST_SHOWN,
            )
            numbers = (str(row.get(entity.number)).upper() for row in rows)
            ours = (number.lower() for number in numbers if number.startswith(entity.prefix))
            found[noun].update(dict.fromkeys(ours))
        return {noun: list(identities) for noun, identities in found.items()}

    async def _list(
        self, name: str, filter_: str, order: Sequence[str], *, top: int | None = None
    ) -> list[dict[str, Any]]:
        """Read a list, of all companies that the user sees."""
        answer = await self._client.request(
            "GET",
            _path(name),
            params={
                "cross-company": "true",
                "$filter": filter_,
                "$orderby": ",".join(order),
                **({} if top is None else {"$top": str(top)}),
            },
            retry=False,
        )
        return read_answer(_Rows, answer.body, system=SYSTEM, is_read=True).value

    async def find(self, write: _Write) -> list[_Found]:
        """Return the records with the number, by key. The company is compared here, too."""
        entity, found = write.entity, []
        rows = await self._list(entity.name, f"{entity.number} eq '{write.number}'", entity.keys)
        for row in rows:
            record = read_answer(_Listed, row, system=SYSTEM, is_read=True)
            company = record.company.lower()
            is_ours = str(row.get(entity.number)).upper() == write.number
            if is_ours and company in write.companies:
                found.append(_Found(entity, company, record.etag, row))
        return found

    async def change(self, record: _Found, content: Payload) -> str:
        """Write the record with the ETag that it was read with."""
        await self._require_open(record)
        answer = await self._client.request(
            "PATCH",
            record.path,
            params={"cross-company": "true"},
            json=content,
            headers={"If-Match": record.etag},
            retry=False,
        )
        if answer.status != _NO_CONTENT:
            read_answer(_Listed, answer.body, system=SYSTEM, is_read=False)
        return record.id

    def is_there(self, error: VendorRejectedError) -> bool:
        """See NumberedSink."""
        return DUPLICATE in error.faults[0].detail.casefold()

    def warning(self, kept: str, doubles: Sequence[_Found]) -> Problem | None:
        """Say that a time bill is there twice. Other numbers are keys of their companies."""
        doubles = [each for each in doubles if each.entity is _LINES]
        if not doubles:
            return None
        others = ", ".join(double.id for double in doubles)
        number = doubles[0].row.get(_LINES.number)
        detail = f"{number} is the time bill of {kept} and of {others}; {kept} is kept up"
        return Problem(DUPLICATE_LINE, detail, _LINES.number, Reason.LEFTOVER)

    async def create(self, write: _Write, content: Payload) -> str:
        """Make the record in its company."""
        [company] = write.companies
        place = await self._place(company, write.number) if write.entity is _LINES else {}
        named = {"dataAreaId": company, write.entity.number: write.number}
        answer = await self._client.request(
            "POST",
            _path(write.entity.name),
            params={"cross-company": "true"},
            json={**named, **place, **write.new, **content},
            retry=False,
        )
        made = read_answer(_Listed, answer.body, system=SYSTEM, is_read=False)
        return _Found(write.entity, company, made.etag, answer.body).id

    async def delete(self, found: list[_Found]) -> None:
        """Delete the records with the ETags that they were read with."""
        for record in found:
            await self._require_open(record)
            await self._client.request(
                "DELETE",
                record.path,
                params={"cross-company": "true"},
                headers={"If-Match": record.etag},
                absent_ok=True,
                retry=False,
            )

    async def _place(self, company: str, number: str) -> Payload:
        """Where a new line of hours goes: the first journal of a company that takes lines.

        Raises VendorRejectedError where there is none.
        """
        name = self._config.journal_name
        is_open = "Posted eq Microsoft.Dynamics.DataEntities.NoYes'No'"
        for journal in await self._journals(
            f"{_of(company)} and JournalName eq '{name}' and {is_open}"
        ):
            if journal.posted == "No":
                return {"JournalId": journal.number, "LineNumber": line_number_of(number)}
        detail = f"company {company} has no journal {name} that is not posted"
        raise self.rejected(Fault(NO_JOURNAL, detail, "JournalId"), Reason.CLOSED)

    async def _require_open(self, record: _Found) -> None:
        """Raise VendorRejectedError for a line of a journal that is posted: it is in the books."""
        if record.entity is not _LINES:
            return
        number = str(record.row.get("JournalId"))
        filter_ = f"{_of(record.company)} and JournalBatchNumber eq {_quoted(number)}"
        for journal in await self._journals(filter_):
            if journal.number == number and journal.posted != "No":
                detail = f"{record.id} is a line of a journal that is posted"
                raise self.rejected(Fault(POSTED, detail, "JournalId"), Reason.CLOSED)

    async def _journals(self, filter_: str) -> list[_Journal]:
        rows = await self._list(_JOURNALS, filter_, ["JournalBatchNumber"])
        return [read_answer(_Journal, row, system=SYSTEM, is_read=True) for row in rows]

    async def upsert_customer(self, command: Command) -> list[_Write]:
        """A customer in each company."""
        content = command.read(UpsertCustomer)
        body: Payload = {
            "OrganizationName": content.name or "",
            "AddressCountryRegionISOCode": content.country_code or "",
            "SalesCurrencyCode": content.currency or "",
            "TaxExemptNumber": content.tax_number or "",
        }
        new: Payload = {
            "PartyType": "Organization",
            "CustomerGroupId": self._config.customer_group,
        }
        number = self.number_of(content.customer_id)
        return [
            _Write(_CUSTOMERS, (company,), number, body, new) for company in self._config.companies
        ]

    async def upsert_project(self, command: Command) -> list[_Write]:
        """A project, in the company that is its legal entity."""
        content = command.read(UpsertProject)
        company = str(content.legal_entity_id).lower()
        if company not in self._config.companies:
            fault = Fault(NOT_WRITTEN, f"companies do not name {company}", "legal_entity_id")
            raise self.rejected(fault, Reason.SETTING)
        body: Payload = {
            "ProjectName": content.name or "",
            "CustomerAccount": self.number_of(content.customer_id) if content.customer_id else "",
            "ProjectedStartDate": noon(content.starts_on or NO_DAY),
            "PsaStreamCurrency": content.currency or "",
            "PsaStreamBillingType": content.billing_type or "",
            "PsaStreamTaxCode": content.tax_code or "",
            "PsaStreamServiceLines": content.service_lines or "",
            "PsaStreamContractValue": content.contract_value or Decimal(0),
            "PsaStreamCorrelationId": content.correlation_id or "",
        }
        type_ = _TYPES.get(content.billing_type or "", TIME_MATERIAL)
        new: Payload = {
            "ProjectType": type_,
            "ProjectGroup": self._config.project_groups[type_],
            "ProjectStage": self._config.project_stage,
        }
        return [_Write(_PROJECTS, (company,), self.number_of(content.project_id), body, new)]

    async def update_project_budget(self, command: Command) -> list[_Write]:
        """The budget of a project, wherever it is."""
        content = command.read(UpdateProjectBudget)
        body: Payload = {
            "PsaStreamHasBudget": "No" if content.budget_hours is None else "Yes",
            "PsaStreamBudgetHours": content.budget_hours or Decimal(0),
            "PsaStreamBudgetCost": content.budget_cost or Decimal(0),
            "PsaStreamBudgetRevenue": content.budget_revenue or Decimal(0),
            "PsaStreamBudgetCurrency": content.budget_currency or "",
        }
        number = self.number_of(content.project_id)
        return [_Write(_PROJECTS, self._config.companies, number, body, made=False)]

    async def delete_project(self, command: Command) -> list[_Write]:
        """A project that is nowhere."""
        number = self.number_of(command.read(DeleteProject).project_id)
        return [_Write(_PROJECTS, self._config.companies, number, None)]

    async def upsert_time_bill(self, command: Command) -> list[_Write]:
        """A line of hours, in the company that has the project."""
        content = command.read(UpsertTimeBill)
        project = self.number_of(content.project_id)
        found = await self.find(_Write(_PROJECTS, self._config.companies, project, None))
        if not found:
            raise self.no_project(project)
        seconds = content.seconds
        digits = self._config.hours_digits
        body: Payload = {
            "ProjectID": project,
            "ProjectDate": noon(content.work_on),
            "Hours": content.hours if seconds is None else hours_of(seconds, digits),
            "SalesPrice": content.bill_rate,
            "CurrencyId": content.currency,
            "PsaStreamTimeEntryId": content.time_entry_id,
            "PsaStreamProjectRef": content.project_ref,
            "PsaStreamCorrelationId": content.correlation_id or "",
        }
        new: Payload = {"ResourceId": self._config.resource_id, "Category": self._config.category}
        number = self.number_of(content.time_bill_id)
        return [_Write(_LINES, (found[0].company,), number, body, new)]

    async def delete_time_bill(self, command: Command) -> list[_Write]:
        """A line of hours that is in no company."""
        number = self.number_of(command.read(DeleteTimeBill).time_bill_id)
        return [_Write(_LINES, self._config.companies, number, None)]


def line_number_of(number: str) -> int:
    """Return the number that the line of a time bill has in any journal.

    >>> line_number_of("TB-ABCDEFGHIJKLMNOP") == line_number_of("TB-ABCDEFGHIJKLMNOP")
    True
    """
    digest = hashlib.sha256(number.encode()).digest()
    return int.from_bytes(digest[:8], "big") % _LINE_NUMBERS + 1


def noon(day: date) -> str:
    """Return a day as it is written: at noon in UTC.

    >>> noon(date(2026, 3, 2))
    '2026-03-02T12:00:00Z'
    """
    return f"{day.isoformat()}T12:00:00Z"


def _path(entity: str) -> str:
    return f"/data/{entity}"


def _of(company: str) -> str:
    return f"dataAreaId eq '{company}'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _plain(value: object) -> object:
    """A part of a key, a number without exponent and zeros: the literal of a real has neither."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else format(value.normalize(), "f")
    return value


def _literal(value: object) -> str:
    """A part of a key, as a path holds it."""
    return quote(_quoted(value), safe="'") if isinstance(value, str) else str(value)
