"""Records of an org, found and upserted by an external id: what the sinks on an org share.

A package that is installed in an org brings objects of its own; how their records are written, and
what the answers mean, is the org's. The folder of such a package says which records, and what of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field

from connectors.dispatch.answers import Answer, read_answer, unexpected
from connectors.dispatch.commands import Payload
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.lease import Check
from connectors.toolkit.http import VendorClient
from connectors.vendors.salesforce.auth import POLICY, make_auth
from connectors.vendors.salesforce.objects import ApiName, literal
from schemas.errors import ConfigError

RECORD_ID: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_NO_CONTENT: Final = 204


class OrgSinkConfig(SinkConfig):
    """Keys of the `sink.json` of what is written to an org."""

    api_version: str = Field(
        default="62.0", pattern=r"^\d+\.0$", description="version of the REST API"
    )
    audience: str = Field(
        default="https://login.salesforce.com", description="audience of the signed assertion"
    )
    client_id: str = Field(min_length=1, description="consumer key of the connected app")
    username: str = Field(min_length=1, description="user the app signs in as")
    private_key_file: Path = Field(description="RSA private key of the app's certificate, PEM")

    def make_client(self, check: Check, *, system: str) -> VendorClient:
        """Make the client of an org; `check` raises where no request may be sent any more.

        Raises ConfigError where the key cannot be used.
        """
        try:
            auth = make_auth(
                url=self.url.rstrip("/"),
                audience=self.audience,
                client_id=self.client_id,
                username=self.username,
                private_key_pem=self.private_key_file.read_text(),
                system=system,
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the private key of {self.name} cannot be used: {error}",
                hint="private.key.file must name an RSA private key in PEM without a passphrase",
            ) from error
        return VendorClient(
            self.url,
            auth,
            replace(POLICY, system=system),
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )


class RecordsSinkConfig(OrgSinkConfig):
    """Keys of what finds the records of an org by ids of ours."""

    external_id_field: ApiName = Field(
        description="custom field that holds our id: a text, External ID and Unique"
    )

    def make_records(self, sobject: str, check: Check, *, system: str) -> Records:
        """Make the access to an object's records; `check` raises where none may be sent any more.

        Raises ConfigError where the key cannot be used.
        """
        return Records(
            self.make_client(check, system=system),
            system=system,
            api_version=self.api_version,
            sobject=sobject,
            external_id_field=self.external_id_field,
        )


class _Queried(Answer):
    records: list[dict[str, Any]]
    done: bool


class _Written(Answer):
    id: str = Field(pattern=f"^{RECORD_ID.pattern}$")
    success: bool


class Records:
    """The records of one object of an org that bear ids of ours in a field."""

    def __init__(
        self,
        client: VendorClient,
        *,
        system: str,
        api_version: str,
        sobject: str,
        external_id_field: str,
    ) -> None:
        self._client = client
        self._system = system
        self._data = f"/services/data/v{api_version}"
        self._sobject = sobject
        self.field = external_id_field

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request("GET", f"{self._data}/limits", retry=False)
        return response.server_at

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def find(
        self, value: str, known_id: str | None, fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return the records that bear an id of ours, and that of an earlier result if it is there.

        The oldest come first. Raises UnclearAnswerError where others are told, too.
        """
        asked = f"{self.field} = {literal(value)}"
        if known_id and RECORD_ID.fullmatch(known_id):
            asked = f"({asked} OR Id = {literal(known_id)})"
        rows = await self._query(
            f"SELECT {', '.join(('Id', self.field, *fields))} FROM {self._sobject}"  # noqa: S608
            f" WHERE {asked} ORDER BY CreatedDate ASC, Id ASC"
        )
        for row in rows:
            told = row.get(self.field)
            is_asked_for = row["Id"] == known_id or _folded(told) == _folded(value)
            if not is_asked_for or not isinstance(told, str | None):
                raise unexpected(
                    "records that were not asked for", system=self._system, is_read=True
                )
        return rows

    async def upsert(self, value: str, body: Payload) -> str | None:
        """Make the record of an id of ours, or change it where somebody made it meanwhile."""
        path = f"{self._data}/sobjects/{self._sobject}/{self.field}/{quote(value, safe='')}"
        answer = await self._client.request("PATCH", path, json=body, retry=False)
        if answer.status == _NO_CONTENT:  # older versions of the API tell no id of a changed one
            return None
        written = read_answer(_Written, answer.body, system=self._system, is_read=False)
        if not written.success:
            raise unexpected("no success, and no error", system=self._system, is_read=False)
        return written.id

    async def change(self, record_id: str, body: Payload) -> None:
        """Change fields of a record."""
        path = f"{self._data}/sobjects/{self._sobject}/{record_id}"
        await self._client.request("PATCH", path, json=body, retry=False)

    async def newest(self, prefix: str, limit: int) -> list[str]:
        """Return ids of ours that begin so, of the records that were made last."""
        rows = await self._query(
            f"SELECT Id, {self.field} FROM {self._sobject}"  # noqa: S608 - nothing from outside
            f" WHERE {self.field} LIKE {literal(prefix + '%')}"
            f" ORDER BY CreatedDate DESC, Id DESC LIMIT {limit}"
        )
        return [row[self.field] for row in rows if isinstance(row.get(self.field), str)]

    async def _query(self, soql: str) -> list[dict[str, Any]]:
        """Return the rows of a query; more than one page of them is never asked for."""
        answer = await self._client.request(
            "GET", f"{self._data}/query", params={"q": soql}, retry=False
        )
        found = read_answer(_Queried, answer.body, system=self._system, is_read=True)
        for row in found.records:
            read_answer(_Row, row, system=self._system, is_read=True)
        return found.records


class _Row(Answer):
    Id: str = Field(pattern=f"^{RECORD_ID.pattern}$")


def _folded(value: object) -> str | None:
    """A text as the org compares it: whatever its case."""
    return value.casefold() if isinstance(value, str) else None
