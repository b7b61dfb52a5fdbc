"""Executes commands on NetSuite: upserts, changes and deletions of records by external id.

The external id is the canonical id, so a repeated upsert finds the record it made. What it does
not do is decide about retries or order: `connectors.dispatch` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote

from pydantic import Field

from connectors.dispatch.answers import Answer, read_answer
from connectors.dispatch.commands import Command, Payload
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import differences
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import NEWEST_SHOWN, Applied
from connectors.toolkit.faults import VendorRejectedError
from connectors.toolkit.http import VendorClient
from connectors.vendors.netsuite.auth import POLICY, SERVER_TIME, SYSTEM, make_auth
from connectors.vendors.netsuite.values import Currencies, as_clock, clock, first_rows
from schemas.commands import (
    DeleteProject,
    DeleteTimeBill,
    UpdateProjectBudget,
    UpsertCustomer,
    UpsertProject,
    UpsertTimeBill,
)
from schemas.errors import ConfigError, InvalidEntityError
from schemas.money import CURRENCIES

RECORDS: Final = "/services/rest/record/v1"
NOT_FOUND: Final = 404
_OURS: Final = {
    "customer": ("customer", "cus"),
    "project": ("job", "eng"),
    "time_bill": ("timebill", "tb"),
}
"""Table of each noun, and the prefix of its canonical ids."""
_EXACT_NAMES: Final = {"X-NetSuite-PropertyNameValidation": "Error"}
"""By default a field the account does not have is left out, and the write accepted."""


class NetSuiteSinkConfig(SinkConfig):
    """Keys of `sink.json`."""

    client_id: str = Field(min_length=1, description="client id of the integration record")
    certificate_id: str = Field(min_length=1, description="certificate mapped to the role")
    private_key_file: Path = Field(description="RSA private key of the certificate, PEM")
    currencies: dict[str, str] = Field(
        default_factory=dict,
        description="internal ids by ISO code, where the account does not show its currencies",
    )
    project_expense_type: str = Field(
        default="1", description="internal id of the expense type of new projects"
    )

    def make_sink(self, check: Check) -> NetSuiteSink:
        """Make the sink; `check` raises where no request may be sent any more.

        Raises ConfigError where the key cannot be used.
        """
        try:
            auth = make_auth(
                url=self.url.rstrip("/"),
                client_id=self.client_id,
                certificate_id=self.certificate_id,
                private_key_pem=self.private_key_file.read_text(),
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the private key of {self.name} cannot be used: {error}",
                hint="private.key.file must name an RSA private key in PEM without a passphrase",
            ) from error
        client = VendorClient(
            self.url,
            auth,
            POLICY,
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )
        return NetSuiteSink(
            client,
            project_expense_type=self.project_expense_type,
            currencies=self.currencies,
        )


@dataclass(frozen=True, slots=True)
class _Write:
    """One request on a record; a deletion has no body."""

    method: str
    path: str
    body: Payload | None


class _Record(Answer):
    id: str | int


class _Row(Answer):
    externalid: str


class _Named(Answer):
    items: list[_Row]


class NetSuiteSink:
    """Sink on the record API. Every kind of command is one request."""

    config_model: ClassVar[type[SinkConfig]] = NetSuiteSinkConfig

    def __init__(
        self,
        client: VendorClient,
        *,
        project_expense_type: str,
        currencies: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._currencies = Currencies(client, currencies or {})
        self._project_expense_type = project_expense_type

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request("GET", SERVER_TIME, retry=False)
        return response.server_at

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        """Send the write of a command once. The external id in the path needs no `known_id`."""
        write = await self._resolved(self._write(command))
        answer = await self._client.request(
            write.method,
            write.path,
            json=write.body,
            headers=_EXACT_NAMES,
            absent_ok=write.method == "DELETE",  # then it is done already
            retry=False,
        )
        if write.body is None:
            return Applied(is_gone=True)
        return Applied(_internal_id(answer.headers.get("Location")))

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        """Read the record and compare it with the content of the command."""
        write = await self._resolved(self._write(command))
        answer = await self._client.request("GET", write.path, absent_ok=True, retry=False)
        if write.body is None:
            return Applied(is_gone=answer.status == NOT_FOUND, differs=answer.status != NOT_FOUND)
        if answer.status == NOT_FOUND:
            return None
        record = read_answer(_Record, answer.body, system=SYSTEM, is_read=True)
        held = dict(answer.body)
        if isinstance(write.body.get("hours"), str):
            held["hours"] = as_clock(held.get("hours"))
        return Applied(str(record.id)).differing(differences(held, write.body))

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Query the records whose external ids are ours. Internal ids grow as records are made.

        Without what the role may not see, unless that is all.
        """
        found: dict[str, Sequence[str]] = {}
        refusal: VendorRejectedError | None = None
        for noun, (table, prefix) in _OURS.items():
            query = (
                f"SELECT externalid FROM {table}"  # noqa: S608 - nothing of it comes from outside
                f" WHERE externalid LIKE '{prefix}-%' ORDER BY id DESC"
            )
            try:
                body = await first_rows(self._client, query, limit=NEWEST_SHOWN)
            except VendorRejectedError as error:
                refusal = error
                continue
            answer = read_answer(_Named, body, system=SYSTEM, is_read=True)
            found[noun] = [row.externalid for row in answer.items]
        if refusal is not None and not found:
            raise refusal
        return found

    async def _resolved(self, write: _Write) -> _Write:
        """Return the write with the account's reference in place of an ISO code.

        Raises InvalidEntityError where the payload holds no such code.
        """
        currency = write.body.get("currency") if write.body else None
        if write.body is None or currency is None:
            return write
        if not isinstance(currency, str) or currency not in CURRENCIES:
            raise InvalidEntityError("the payload's currency is no code of ISO 4217")
        reference = {"id": await self._currencies.id_of(currency)}
        return replace(write, body={**write.body, "currency": reference})

    def _write(self, command: Command) -> _Write:
        make = _WRITES.get(command.kind)
        if make is None:
            raise InvalidEntityError(
                f"NetSuite has no command of kind {command.kind}",
                context={"command_id": command.command_id},
            )
        write = make(command)
        if command.kind == UpsertProject.kind and write.body is not None:
            write.body["projectExpenseType"] = {"id": self._project_expense_type}
        return write


def _upsert_customer(command: Command) -> _Write:
    content = command.read(UpsertCustomer)
    return _Write(
        "PUT",
        _path("customer", content.customer_id),
        {
            "companyName": content.name,
            "country": content.country_code,
            "currency": content.currency,
            "vatRegNumber": content.tax_number,
            "custentity_psa_correlation_id": content.correlation_id,
        },
    )


def _upsert_project(command: Command) -> _Write:
    content = command.read(UpsertProject)
    return _Write(
        "PUT",
        _path("job", content.project_id),
        {
            "companyName": content.name,
            "parent": {"externalId": content.customer_id},
            "subsidiary": {"id": content.legal_entity_id},
            "currency": content.currency,
            "startDate": content.starts_on.isoformat() if content.starts_on else None,
            "custentity_psa_billing_type": content.billing_type,
            "custentity_psa_tax_code": content.tax_code,
            "custentity_psa_service_lines": content.service_lines,
            "custentity_psa_contract_value": content.contract_value,
            "custentity_psa_correlation_id": content.correlation_id,
        },
    )


def _delete_project(command: Command) -> _Write:
    return _Write("DELETE", _path("job", command.read(DeleteProject).project_id), None)


def _update_project_budget(command: Command) -> _Write:
    content = command.read(UpdateProjectBudget)
    return _Write(
        "PATCH",
        _path("job", content.project_id),
        {
            "estimatedCost": content.budget_cost,
            "estimatedRevenue": content.budget_revenue,
            "custentity_psa_budget_hours": content.budget_hours,
            "custentity_psa_budget_currency": content.budget_currency,
        },
    )


def _upsert_time_bill(command: Command) -> _Write:
    content = command.read(UpsertTimeBill)
    return _Write(
        "PUT",
        _path("timeBill", content.time_bill_id),
        {
            "customer": {"externalId": content.project_id},
            "tranDate": content.work_on.isoformat(),
            "hours": clock(content.seconds) or content.hours,
            "rate": content.bill_rate,
            "isBillable": True,
            "custcol_psa_currency": content.currency,
            "custcol_psa_time_entry": content.time_entry_id,
            "custcol_psa_project": content.project_ref,
            "custcol_psa_correlation_id": content.correlation_id,
        },
    )


def _delete_time_bill(command: Command) -> _Write:
    return _Write("DELETE", _path("timeBill", command.read(DeleteTimeBill).time_bill_id), None)


def _path(record: str, external_id: str) -> str:
    """The address of one record, whatever its external id holds."""
    return f"{RECORDS}/{record}/eid:{quote(external_id, safe='')}"


_WRITES: Final[Mapping[str, Callable[[Command], _Write]]] = {
    UpsertCustomer.kind: _upsert_customer,
    UpsertProject.kind: _upsert_project,
    DeleteProject.kind: _delete_project,
    UpdateProjectBudget.kind: _update_project_budget,
    UpsertTimeBill.kind: _upsert_time_bill,
    DeleteTimeBill.kind: _delete_time_bill,
}


def _internal_id(location: str | None) -> str | None:
    """Return the internal id at the end of a Location header, None where there is none."""
    last = location.rstrip("/").rpartition("/")[2] if location else ""
    return last if last.removeprefix("-").isdecimal() else None
