"""Executes commands on HubSpot: what becomes of a deal, written to properties of its record.

The record is the deal's own, found by its id. Ids of deals that were merged away answer as the
record they went into, which is another deal with another status: so it is read before it is
written, and only what differs is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import quote

from pydantic import Field, SecretStr

from connectors.dispatch.answers import Answer, read_answer
from connectors.dispatch.commands import Command, Payload
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import differences, holds
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import Applied
from connectors.rest.auth import StaticHeaders
from connectors.toolkit.faults import Fault, Reason, VendorRejectedError
from connectors.toolkit.http import Response, VendorClient
from connectors.vendors.hubspot.auth import POLICY, SYSTEM
from schemas.commands import UpdateDealStatus
from schemas.errors import InvalidEntityError

DEALS: Final = "/crm/v3/objects/deals"
NOT_FOUND: Final = 404
MERGED_DEAL: Final = "MERGED_DEAL"
_CONFLICT: Final = 409

PropertyName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", max_length=100)]


class HubSpotSinkConfig(SinkConfig):
    """Keys of `sink.json`."""

    token: SecretStr = Field(description="token of a private app that may write deals")
    property_engagement_id: PropertyName = Field(
        default="psa_engagement_id", description="property of the deal for the id of its engagement"
    )
    property_project_ids: PropertyName = Field(
        default="psa_project_ids", description="property of the deal for the ids of its projects"
    )
    property_delivery_status: PropertyName = Field(
        default="psa_delivery_status", description="property of the deal for how far they are"
    )

    def make_sink(self, check: Check) -> HubSpotSink:
        """Make the sink; `check` raises where no request may be sent any more."""
        client = VendorClient(
            self.url,
            StaticHeaders({"Authorization": f"Bearer {self.token.get_secret_value()}"}),
            POLICY,
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )
        properties = {
            "engagement_id": self.property_engagement_id,
            "project_ids": self.property_project_ids,
            "delivery_status": self.property_delivery_status,
        }
        return HubSpotSink(client, properties=properties)


class _Deal(Answer):
    id: str
    properties: dict[str, Any]


class HubSpotSink:
    """Sink on the deals of an account."""

    config_model: ClassVar[type[SinkConfig]] = HubSpotSinkConfig

    def __init__(self, client: VendorClient, *, properties: Mapping[str, str]) -> None:
        """`properties` are those of the deal, by what of a command is written to each."""
        self._client = client
        self._properties = properties

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request("GET", DEALS, params={"limit": "1"}, retry=False)
        return response.server_at

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        """Set the properties that differ. The command has the id, and needs no `known_id`.

        Raises VendorRejectedError of a deal that is gone, or was merged into another one.
        """
        content = _content(command)
        deal = _read(await self._ask(content, absent_ok=False), is_read=True)
        if deal.id != content.deal_id:
            raise _merged(content.deal_id, deal.id)
        if not holds(_shown(deal), self._wanted(content)):
            written = await self._client.request(
                "PATCH", _path(content), json={"properties": self._body(content)}, retry=False
            )
            _read(written, is_read=False)
        return Applied(content.deal_id)

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        """Read the deal and compare its properties with the command."""
        content = _content(command)
        answer = await self._ask(content, absent_ok=True)
        if answer.status == NOT_FOUND:
            return None
        deal = _read(answer, is_read=True)
        if deal.id != content.deal_id:
            return None
        return Applied(content.deal_id).differing(differences(_shown(deal), self._wanted(content)))

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Return nothing: no record is made here, and what is written is no trace of an order."""
        return {}

    async def _ask(self, content: UpdateDealStatus, *, absent_ok: bool) -> Response:
        return await self._client.request(
            "GET",
            _path(content),
            params={"properties": ",".join(self._properties.values())},
            absent_ok=absent_ok,
            retry=False,
        )

    def _wanted(self, content: UpdateDealStatus) -> Payload:
        return {each: getattr(content, name) for name, each in self._properties.items()}

    def _body(self, content: UpdateDealStatus) -> Payload:
        """Return what is written: a property is cleared by an empty text."""
        return {name: value or "" for name, value in self._wanted(content).items()}


def _path(content: UpdateDealStatus) -> str:
    return f"{DEALS}/{quote(content.deal_id, safe='')}"


def _read(answer: Response, *, is_read: bool) -> _Deal:
    return read_answer(_Deal, answer.body, system=SYSTEM, is_read=is_read)


def _shown(deal: _Deal) -> Mapping[str, Any]:
    """Return the properties, a cleared one as null."""
    return {name: value or None for name, value in deal.properties.items()}


def _merged(asked: str, found: str) -> VendorRejectedError:
    detail = f"deal {asked} was merged into {found}, which is told its own status"
    return VendorRejectedError(
        _CONFLICT, [Fault(MERGED_DEAL, detail)], context={"system": SYSTEM}, reason=Reason.CONFLICT
    )


def _content(command: Command) -> UpdateDealStatus:
    if command.kind != UpdateDealStatus.kind:
        raise InvalidEntityError(
            f"HubSpot has no command of kind {command.kind}",
            context={"command_id": command.command_id},
        )
    return command.read(UpdateDealStatus)
