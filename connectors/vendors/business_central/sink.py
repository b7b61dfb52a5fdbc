"""Executes commands on Business Central: records that are found by their number, then written.

There is no upsert and no idempotency key. What keeps a record single: its number is ours, and the
primary key of customers and projects, so a second one is refused and the first adopted. A planning
line is found by its document number, which no key guards: an attempt of unknown outcome settles
before it is looked up, and a double is told. A record is changed as it was read, or not at all
(ETag); dispatch then looks again.

A company has its own customers, projects and lines. A customer is kept in each of the companies; a
project is in the company of its legal entity, and what belongs to it is written there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Final

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
from connectors.vendors.business_central.auth import DUPLICATE_KEY, POLICY, SCOPE, SYSTEM
from schemas.commands import (
    DeleteProject,
    DeleteTimeBill,
    UpdateProjectBudget,
    UpsertCustomer,
    UpsertProject,
    UpsertTimeBill,
)

STANDARD: Final = "v2.0"
DOCUMENT: Final = "documentNumber"
DUPLICATE_LINE: Final = "DUPLICATE_DOCUMENT_NUMBER"
NO_DAY: Final = "0001-01-01"
_OURS: Final = {
    "customer": ("customers", "number", "CUS-"),
    "project": ("jobs", "number", "ENG-"),
    "time_bill": ("jobPlanningLines", DOCUMENT, "TB-"),
}
"""List of each noun, the field that holds our number, and how that begins."""
_HOURS_DIGITS: Final = 5
_GUID: Final = re.compile(
    r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
)
_HEADERS: Final = {"Accept-Language": "en-US", "Data-Access-Intent": "ReadWrite"}


class BusinessCentralSinkConfig(SinkConfig):
    """Keys of `sink.json`."""

    auth_url: BaseUrl = Field(
        pattern=r"^https?://[^\s]+[^/\s]$",
        description="where tokens are got: `https://login.microsoftonline.com/<tenant>`",
    )
    client_id: str = Field(min_length=1, description="client id of the app")
    client_secret: SecretStr = Field(description="secret of the app")
    companies: tuple[str, ...] = Field(
        min_length=1,
        description="companies to write to, as the filter of the source names them: "
        "`id eq <guid> or id eq <guid>`",
    )
    pages: str = Field(
        pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$",
        description="publisher, group and version of the extension's pages",
    )
    resource_number: str = Field(
        min_length=1, description="number of the resource that time lines name"
    )
    job_task_number: str = Field(
        min_length=1, description="number of the project task that time lines name"
    )

    @field_validator("companies", mode="before")
    @classmethod
    def _ids(cls, filter_: object) -> tuple[str, ...]:
        if not isinstance(filter_, str):
            raise ValueError("companies are named in a text: id eq <guid> or id eq <guid>")
        return tuple(dict.fromkeys(found.lower() for found in _GUID.findall(filter_)))

    def make_sink(self, check: Check) -> BusinessCentralSink:
        """Make the sink; `check` raises where no request may be sent any more."""
        auth = app_auth(
            SYSTEM,
            auth_url=self.auth_url,
            client_id=self.client_id,
            client_secret=self.client_secret.get_secret_value(),
            scope=SCOPE,
        )
        client = VendorClient(
            self.url,
            auth,
            POLICY,
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )
        return BusinessCentralSink(client, self)


class _Row(Answer):
    """A record as lists and writes show it."""

    id: str


class _Listed(_Row):
    """A record in a list, with what a change of it must be sent back with."""

    etag: str = Field(alias="@odata.etag", min_length=1)


class _Rows(Answer):
    value: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Place:
    """A list of a company, and the field whose value finds a record of ours in it."""

    company: str
    path: str
    name: str
    number: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A record, and the token that it is written back with."""

    place: _Place
    id: str
    etag: str
    row: Mapping[str, Any]

    @property
    def path(self) -> str:
        return f"{self.place.path}({self.id})"


@dataclass(frozen=True, slots=True)
class _Write:
    """What a command wants of one record; without content, that it is gone.

    `new` is what a record that is made takes beside its content. `made` is False where there must
    be one already.
    """

    places: tuple[_Place, ...]
    content: Payload | None
    new: Payload
    made: bool = True

    @property
    def number(self) -> str:
        return self.places[0].number


class BusinessCentralSink(NumberedSink[_Write, _Found]):
    """Sink on the lists of some companies."""

    config_model: ClassVar[type[SinkConfig]] = BusinessCentralSinkConfig
    system = SYSTEM
    title = "Business Central"
    project_field = "number"

    def __init__(self, client: VendorClient, config: BusinessCentralSinkConfig) -> None:
        super().__init__(client)
        self._config = config

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request("GET", f"/{STANDARD}/companies", retry=False)
        return response.server_at

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """List records whose numbers are ours, by number: pages do not show when one was made."""
        found: dict[str, dict[str, None]] = {noun: {} for noun in _OURS}
        for company in self._config.companies:
            for noun, (name, field, prefix) in _OURS.items():
                path = self._standard if noun == "customer" else self._page
                answer = await self._client.request(
                    "GET",
                    path(company, name),
                    params={"$filter": f"startswith({field},'{prefix}')", "$orderby": field},
                    headers={**_HEADERS, "Prefer": f"odata.maxpagesize={NEWEST_SHOWN}"},
                    retry=False,
                )
                page = read_answer(_Rows, answer.body, system=SYSTEM, is_read=True)
                numbers = (str(row.get(field)) for row in page.value)
                ours = (number.lower() for number in numbers if number.startswith(prefix))
                found[noun].update(dict.fromkeys(ours))
        return {noun: list(identities) for noun, identities in found.items()}

    async def find(self, write: _Write) -> list[_Found]:
        """Return the records with the number, the first made first."""
        found = []
        for place in write.places:
            answer = await self._client.request(
                "GET",
                place.path,
                params={"$filter": f"{place.name} eq '{place.number}'"},
                headers=_HEADERS,
                retry=False,
            )
            page = read_answer(_Rows, answer.body, system=SYSTEM, is_read=True)
            for row in page.value:
                record = read_answer(_Listed, row, system=SYSTEM, is_read=True)
                if str(row.get(place.name)).upper() == place.number:
                    found.append(_Found(place, record.id, record.etag, row))
        return found

    async def change(self, record: _Found, content: Payload) -> str:
        """Write the record with the ETag that it was read with."""
        answer = await self._client.request(
            "PATCH",
            record.path,
            json=content,
            headers={**_HEADERS, "If-Match": record.etag},
            retry=False,
        )
        return read_answer(_Row, answer.body, system=SYSTEM, is_read=False).id

    def is_there(self, error: VendorRejectedError) -> bool:
        """See NumberedSink."""
        return error.vendor_code == DUPLICATE_KEY

    def warning(self, kept: str, doubles: Sequence[_Found]) -> Problem | None:
        """Say that a document number is there twice. Others are keys of their companies."""
        doubles = [each for each in doubles if each.place.name == DOCUMENT]
        if not doubles:
            return None
        others = ", ".join(double.id for double in doubles)
        place = doubles[0].place
        detail = f"{place.number} is the number of {kept} and of {others}; {kept} is kept up"
        return Problem(DUPLICATE_LINE, detail, place.name, Reason.LEFTOVER)

    async def create(self, write: _Write, content: Payload) -> str:
        """Make the record in its company."""
        place = write.places[0]
        answer = await self._client.request(
            "POST",
            place.path,
            json={place.name: place.number, **write.new, **content},
            headers=_HEADERS,
            retry=False,
        )
        return read_answer(_Row, answer.body, system=SYSTEM, is_read=False).id

    async def delete(self, found: list[_Found]) -> None:
        """Delete the records with the ETags that they were read with."""
        for record in found:
            await self._client.request(
                "DELETE",
                record.path,
                headers={**_HEADERS, "If-Match": record.etag},
                absent_ok=True,
                retry=False,
            )

    def _standard(self, company: str, name: str) -> str:
        return f"/{STANDARD}/companies({company})/{name}"

    def _page(self, company: str, name: str) -> str:
        return f"/{self._config.pages}/companies({company})/{name}"

    def _jobs(self, project_id: str) -> tuple[_Place, ...]:
        """Where a project may be."""
        return tuple(
            _Place(company, self._page(company, "jobs"), "number", self.number_of(project_id))
            for company in self._config.companies
        )

    def _lines(self, company: str, time_bill_id: str) -> _Place:
        path = self._page(company, "jobPlanningLines")
        return _Place(company, path, DOCUMENT, self.number_of(time_bill_id))

    async def upsert_customer(self, command: Command) -> list[_Write]:
        """A customer in each company."""
        content = command.read(UpsertCustomer)
        body: Payload = {
            "displayName": content.name or "",
            "country": content.country_code or "",
            "currencyCode": content.currency or "",
            "taxRegistrationNumber": content.tax_number or "",
        }
        number = self.number_of(content.customer_id)
        return [
            _Write(
                (_Place(company, self._standard(company, "customers"), "number", number),),
                body,
                {"type": "Company"},
            )
            for company in self._config.companies
        ]

    async def upsert_project(self, command: Command) -> list[_Write]:
        """A project, in the company that is its legal entity."""
        content = command.read(UpsertProject)
        company = str(content.legal_entity_id).lower()
        if company not in self._config.companies:
            fault = Fault(
                "COMPANY_NOT_WRITTEN", f"companies do not name {company}", "legal_entity_id"
            )
            raise self.rejected(fault, Reason.SETTING)
        place = next(each for each in self._jobs(content.project_id) if each.company == company)
        body: Payload = {
            "description": content.name or "",
            "billToCustomerNumber": self.number_of(content.customer_id)
            if content.customer_id
            else "",
            "startingDate": content.starts_on.isoformat() if content.starts_on else NO_DAY,
            "currencyCode": content.currency or "",
            "psaBillingType": content.billing_type or "",
            "psaTaxCode": content.tax_code or "",
            "psaServiceLines": content.service_lines or "",
            "psaContractValue": content.contract_value or Decimal(0),
            "psaCorrelationId": content.correlation_id or "",
        }
        return [_Write((place,), body, {})]

    async def update_project_budget(self, command: Command) -> list[_Write]:
        """The budget of a project, wherever it is."""
        content = command.read(UpdateProjectBudget)
        body: Payload = {
            "psaHasBudget": content.budget_hours is not None,
            "psaBudgetHours": content.budget_hours or Decimal(0),
            "psaBudgetCost": content.budget_cost or Decimal(0),
            "psaBudgetRevenue": content.budget_revenue or Decimal(0),
            "psaBudgetCurrency": content.budget_currency or "",
        }
        return [_Write(self._jobs(content.project_id), body, {}, made=False)]

    async def delete_project(self, command: Command) -> list[_Write]:
        """A project that is nowhere."""
        return [_Write(self._jobs(command.read(DeleteProject).project_id), None, {})]

    async def upsert_time_bill(self, command: Command) -> list[_Write]:
        """A billable planning line, in the company that has the project."""
        content = command.read(UpsertTimeBill)
        jobs = await self.find(_Write(self._jobs(content.project_id), None, {}))
        if not jobs:
            raise self.no_project(self.number_of(content.project_id))
        seconds = content.seconds
        body: Payload = {
            "planningDate": content.work_on.isoformat(),
            "quantity": content.hours if seconds is None else hours_of(seconds, _HOURS_DIGITS),
            "unitPrice": content.bill_rate,
            "currencyCode": content.currency,
            "psaTimeEntryId": content.time_entry_id,
            "psaProjectRef": content.project_ref,
            "psaCorrelationId": content.correlation_id or "",
        }
        new: Payload = {
            "jobNumber": jobs[0].place.number,
            "jobTaskNumber": self._config.job_task_number,
            "lineType": "Billable",
            "type": "Resource",
            "number": self._config.resource_number,
        }
        return [_Write((self._lines(jobs[0].place.company, content.time_bill_id),), body, new)]

    async def delete_time_bill(self, command: Command) -> list[_Write]:
        """A planning line that is in no company."""
        content = command.read(DeleteTimeBill)
        places = tuple(
            self._lines(company, content.time_bill_id) for company in self._config.companies
        )
        return [_Write(places, None, {})]
