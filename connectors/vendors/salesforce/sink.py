"""Executes commands on Salesforce: what becomes of an opportunity, written to fields of its row.

The row is the deal's own, found by its id, and a command sets its fields to values that do not
depend on what is there. So a repeated command leaves what the first one left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final
from urllib.parse import quote

from pydantic import Field

from connectors.dispatch.answers import Answer, read_answer, unexpected
from connectors.dispatch.commands import Command, Payload
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import differences
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import Applied
from connectors.toolkit.http import VendorClient
from connectors.vendors.salesforce.auth import SYSTEM
from connectors.vendors.salesforce.objects import (
    DELIVERY_STATUS,
    ENGAGEMENT_ID,
    PROJECT_IDS,
    ApiName,
)
from connectors.vendors.salesforce.records import OrgSinkConfig
from schemas.commands import UpdateDealStatus
from schemas.errors import InvalidEntityError

NOT_FOUND: Final = 404
NO_CONTENT: Final = 204
_CASED: Final = 15
"""Characters of an id that tell it apart; answers have three more, which follow from those."""


class SalesforceSinkConfig(OrgSinkConfig):
    """Keys of `sink.json`."""

    field_engagement_id: ApiName = Field(
        default=ENGAGEMENT_ID, description="field of the opportunity for the id of its engagement"
    )
    field_project_ids: ApiName = Field(
        default=PROJECT_IDS, description="field of the opportunity for the ids of its projects"
    )
    field_delivery_status: ApiName = Field(
        default=DELIVERY_STATUS, description="field of the opportunity for how far they are"
    )

    def make_sink(self, check: Check) -> SalesforceSink:
        """Make the sink; `check` raises where no request may be sent any more.

        Raises ConfigError where the key cannot be used.
        """
        fields = {
            "engagement_id": self.field_engagement_id,
            "project_ids": self.field_project_ids,
            "delivery_status": self.field_delivery_status,
        }
        client = self.make_client(check, system=SYSTEM)
        return SalesforceSink(client, api_version=self.api_version, fields=fields)


class _Row(Answer):
    Id: str


class SalesforceSink:
    """Sink on the opportunities of an org. Every command is one request."""

    config_model: ClassVar[type[SinkConfig]] = SalesforceSinkConfig

    def __init__(
        self, client: VendorClient, *, api_version: str, fields: Mapping[str, str]
    ) -> None:
        """`fields` are those of the opportunity, by what of a command is written to each."""
        self._client = client
        self._data = f"/services/data/v{api_version}"
        self._fields = fields

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request("GET", f"{self._data}/limits", retry=False)
        return response.server_at

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        """Set the fields of the row. The command has its id, and needs no `known_id`."""
        content = _content(command)
        answer = await self._client.request(
            "PATCH", self._path(content), json=self._body(content), retry=False
        )
        if answer.status != NO_CONTENT:  # which only an upsert by an external id is answered with
            told = f"status {answer.status} to a change by id"
            raise unexpected(told, system=SYSTEM, is_read=False)
        return Applied(content.deal_id)

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        """Read the row and compare its fields with the command."""
        content = _content(command)
        answer = await self._client.request(
            "GET",
            self._path(content),
            params={"fields": ",".join(("Id", *self._fields.values()))},
            absent_ok=True,
            retry=False,
        )
        if answer.status == NOT_FOUND:
            return None
        row = read_answer(_Row, answer.body, system=SYSTEM, is_read=True)
        if row.Id[:_CASED] != content.deal_id[:_CASED]:
            raise unexpected("another record than was asked for", system=SYSTEM, is_read=True)
        return Applied(content.deal_id).differing(differences(answer.body, self._body(content)))

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Return nothing: no record is made here, and what is written is no trace of an order."""
        return {}

    def _path(self, content: UpdateDealStatus) -> str:
        return f"{self._data}/sobjects/Opportunity/{quote(content.deal_id, safe='')}"

    def _body(self, content: UpdateDealStatus) -> Payload:
        return {field: getattr(content, name) for name, field in self._fields.items()}


def _content(command: Command) -> UpdateDealStatus:
    if command.kind != UpdateDealStatus.kind:
        raise InvalidEntityError(
            f"Salesforce has no command of kind {command.kind}",
            context={"command_id": command.command_id},
        )
    return command.read(UpdateDealStatus)
