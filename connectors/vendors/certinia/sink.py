"""Executes commands on Certinia PSA: projects, upserted by the external id that holds ours.

A project is looked for before it is written: what is set as it is made is delivery's afterwards,
and a write that changes nothing would have the package compute the project's totals again. Should
two find none, the upsert still makes one: its key is the project id, in the same request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from pydantic import Field, StrictBool, StrictInt, StrictStr, model_validator

from connectors.dispatch.commands import Command, Payload, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import differences, holds
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import NEWEST_SHOWN, Applied
from connectors.toolkit.faults import Fault, Reason, VendorRejectedError
from connectors.vendors.salesforce.objects import ApiName
from connectors.vendors.salesforce.records import Records, RecordsSinkConfig
from schemas.commands import UpsertProject
from schemas.errors import InvalidEntityError
from schemas.identity import is_project_id, typed

SYSTEM: Final = "certinia"
PROJECT: Final = "pse__Proj__c"
NAME: Final = "Name"
STARTS_ON: Final = "pse__Start_Date__c"
IS_TEMPLATE: Final = "pse__Is_Template__c"
CURRENCY: Final = "CurrencyIsoCode"
DUPLICATE_PROJECT_ID: Final = "DUPLICATE_PROJECT_ID"
TEMPLATE_WITH_PROJECT_ID: Final = "TEMPLATE_WITH_PROJECT_ID"
_OURS: Final = (NAME, STARTS_ON, CURRENCY, IS_TEMPLATE, "Id")
_CONFLICT: Final = 409


class CertiniaSinkConfig(RecordsSinkConfig):
    """Keys of `sink.json`."""

    external_id_field: ApiName = Field(
        default="Psastream_Project_Id__c",
        description="custom field of the project that holds our id: a text, External ID and Unique;"
        " the mapping reads the same",
    )
    is_multi_currency: bool = Field(
        default=True,
        alias="multi.currency",
        description="whether the org has several currencies: then a project that is made has the"
        " one that it was sold in",
    )
    starting_values: dict[ApiName, StrictBool | StrictInt | StrictStr | None] = Field(
        default={"pse__Is_Active__c": True, "pse__Is_Billable__c": True},
        description="what fields of a project that is made hold besides, by API name: those that"
        " the org requires, and `pse__Is_Active__c`, without which nothing can be booked on it",
    )

    @model_validator(mode="after")
    def _starts_with_none_of_ours(self) -> CertiniaSinkConfig:
        if mine := sorted(self.starting_values.keys() & {*_OURS, self.external_id_field}):
            raise ValueError(f"starting.values: {mine[0]} follows from the command")
        return self

    def make_sink(self, check: Check) -> CertiniaSink:
        """Make the sink; `check` raises where no request may be sent any more.

        Raises ConfigError where the key cannot be used.
        """
        return CertiniaSink(
            self.make_records(PROJECT, check, system=SYSTEM),
            is_multi_currency=self.is_multi_currency,
            starting_values=self.starting_values,
        )


class CertiniaSink:
    """Sink on the projects of an org."""

    config_model: ClassVar[type[SinkConfig]] = CertiniaSinkConfig

    def __init__(
        self, records: Records, *, is_multi_currency: bool, starting_values: Mapping[str, object]
    ) -> None:
        self._records = records
        self._is_multi_currency = is_multi_currency
        self._starting_values = starting_values

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        return await self._records.sign_in()

    async def close(self) -> None:
        """Close the connections."""
        await self._records.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        """Find the project by its external id or its id, then make it or change what differs.

        Raises VendorRejectedError of an external id that a template bears.
        """
        content = _content(command)
        rows = await self._find(content.project_id, known_id)
        if not rows:
            made = {**self._starting_values, **self._currency(content), **_body(content)}
            return Applied(await self._records.upsert(content.project_id, made))
        kept, body = rows[0], self._wanted(content)
        if not holds(kept, body):
            await self._records.change(kept["Id"], body)
        return self._applied(rows)

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        """Read the project by its external id or its id and compare it with the command."""
        content = _content(command)
        rows = await self._find(content.project_id, known_id)
        if not rows:
            return None
        return self._applied(rows).differing(differences(rows[0], self._wanted(content)))

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Query the projects whose external ids are ours."""
        told = [typed(each) or "" for each in await self._records.newest("eng-", NEWEST_SHOWN)]
        return {"project": [each for each in told if is_project_id(each)]}

    async def _find(self, project_id: str, known_id: str | None) -> list[dict[str, Any]]:
        """Return the projects that are it: the known one first, then the oldest.

        A known one whose external id was emptied still is, or it would be doubled; one that bears
        another is somebody else's by now.
        """
        fields = (NAME, STARTS_ON, IS_TEMPLATE)
        found = await self._records.find(project_id, known_id, fields)
        rows = [row for row in found if typed(row.get(self._records.field)) is not None]
        ours = [row for row in rows if _is(row, self._records.field, project_id)]
        emptied = [row for row in found if row not in rows]
        if template := next((row for row in ours if row.get(IS_TEMPLATE) is True), None):
            raise _templated(project_id, template["Id"], self._records.field)
        return sorted(ours or emptied, key=lambda row: row["Id"] != known_id)

    def _currency(self, content: UpsertProject) -> Payload:
        if not self._is_multi_currency or content.currency is None:
            return {}
        return {CURRENCY: content.currency}

    def _wanted(self, content: UpsertProject) -> Payload:
        """What a project that is there is to hold."""
        return {**_body(content), self._records.field: content.project_id}

    def _applied(self, rows: Sequence[Mapping[str, Any]]) -> Applied:
        """Return what is carried out; another project with the external id is a double."""
        kept, *others = (str(row["Id"]) for row in rows)
        if not others:
            return Applied(kept)
        field = self._records.field
        detail = f"projects {kept}, {', '.join(others)} have the same {field}; {kept} is kept up"
        return Applied(kept, Problem(DUPLICATE_PROJECT_ID, detail, field, Reason.LEFTOVER))


def _content(command: Command) -> UpsertProject:
    if command.kind != UpsertProject.kind:
        raise InvalidEntityError(
            f"Certinia has no command of kind {command.kind}",
            context={"command_id": command.command_id},
        )
    return command.read(UpsertProject)


def _body(content: UpsertProject) -> Payload:
    return {
        NAME: content.name,
        STARTS_ON: content.starts_on.isoformat() if content.starts_on else None,
    }


def _is(row: Mapping[str, Any], field: str, project_id: str) -> bool:
    return str(typed(row.get(field))).casefold() == project_id.casefold()


def _templated(project_id: str, template: str, field: str) -> VendorRejectedError:
    detail = f"{project_id} is the external id of {template}, which is a template"
    fault = Fault(TEMPLATE_WITH_PROJECT_ID, detail, field)
    return VendorRejectedError(
        _CONFLICT, [fault], context={"system": SYSTEM}, reason=Reason.CONFLICT
    )
