"""Executes commands on Float: projects, found by their code and then created or changed.

Float has no upsert and no idempotency key. What keeps a project single is that each code has one
writer, that the code is looked up before every write, and that an attempt of unknown outcome is
given time to settle first; the latter two parts are `connectors.dispatch`'s.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, SecretStr

from connectors.dispatch.commands import Command, Payload, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import holds
from connectors.dispatch.sink import Applied
from connectors.float.auth import POLICY, StaticToken
from connectors.http import VendorClient
from schemas.errors import InvalidEntityError, TargetBusyError

PROJECTS: Final = "/v3/projects"
PAGE_SIZE: Final = 200
DUPLICATE_CODE: Final = "DUPLICATE_PROJECT_CODE"

Project = dict[str, Any]


class FloatSinkConfig(SinkConfig):
    """Keys of `sink.json`."""

    token: SecretStr = Field(description="bearer token from the account settings")

    def make_sink(self) -> FloatSink:
        """Make the sink."""
        client = VendorClient(
            self.url,
            StaticToken(self.token.get_secret_value()),
            POLICY,
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(),
        )
        return FloatSink(client)


class FloatSink:
    """Sink on the projects of an account."""

    def __init__(self, client: VendorClient) -> None:
        self._client = client

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def execute(self, command: Command) -> Applied:
        """Look the project up by its code, then create it or change what differs."""
        body = _body(command)
        found = await self._find(body["project_code"])
        if not found:
            answer = await self._client.request("POST", PROJECTS, json=body, retry=False)
            return Applied(str(answer.body["project_id"]))
        oldest = found[0]
        if not holds(oldest, body):
            path = f"{PROJECTS}/{oldest['project_id']}"
            await self._client.request("PATCH", path, json=body, retry=False)
        return _applied(found)

    async def look(self, command: Command) -> Applied | None:
        """Read the oldest project with the code and compare it with the command."""
        body = _body(command)
        found = await self._find(body["project_code"])
        return _applied(found) if found and holds(found[0], body) else None

    async def _find(self, project_code: str) -> list[Project]:
        """Return the projects with the code, oldest first.

        The code is compared here: a filter the vendor ignores must not look like a match.
        """
        found: list[Project] = []
        page = page_count = 1
        first_total: str | None = None
        while page <= page_count:
            answer = await self._client.request(
                "GET",
                PROJECTS,
                params={
                    "project_code": project_code,
                    "page": str(page),
                    "per-page": str(PAGE_SIZE),
                },
                retry=False,
            )
            found += [row for row in answer.body if row.get("project_code") == project_code]
            total = answer.headers.get("X-Pagination-Total-Count")
            if page > 1 and total != first_total:
                raise TargetBusyError(
                    "projects came or went while they were listed",
                    hint="rows shift between pages then, and one may be missed; listed again",
                )
            first_total = total
            page_count = int(answer.headers.get("X-Pagination-Page-Count", "1"))
            page += 1
        return sorted(found, key=lambda row: int(row["project_id"]))


def _body(command: Command) -> Payload:
    if command.kind != "upsert_project":
        raise InvalidEntityError(
            f"Float has no command of kind {command.kind}",
            context={"command_id": command.command_id},
        )
    content = command.content()
    try:
        return {
            "name": content["name"],
            "project_code": content["project_id"],
            "start_date": content["starts_on"],
            "notes": f"psastream {content['correlation_id']}",
        }
    except KeyError as error:
        raise InvalidEntityError(
            f"the payload of a {command.kind} lacks {error.args[0]}",
            context={"command_id": command.command_id},
        ) from error


def _applied(found: list[Project]) -> Applied:
    oldest, *others = (str(project["project_id"]) for project in found)
    if not others:
        return Applied(oldest)
    detail = f"projects {oldest}, {', '.join(others)} have the same code; {oldest} is kept up"
    return Applied(oldest, Problem(DUPLICATE_CODE, detail, "project_code"))
