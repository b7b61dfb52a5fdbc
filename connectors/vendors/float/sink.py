"""Executes commands on Float: projects, found by their code and then created or changed.

Float has no upsert, no idempotency key and no version to compare. What keeps a project single: its
code has one writer; the id of an earlier result is used before anything is searched; an attempt of
unknown outcome is given time to settle, longer than the list lags behind the writes, before it is
looked up. The first and the last are `connectors.dispatch`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, SecretStr

from connectors.dispatch.answers import Answer, read_answer, shape_of, unexpected
from connectors.dispatch.commands import Command, Payload, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import differences, holds
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import NEWEST_SHOWN, Applied
from connectors.toolkit.faults import Reason
from connectors.toolkit.http import VendorClient
from connectors.vendors.float.auth import POLICY, SYSTEM, StaticToken
from schemas.commands import StaffProject
from schemas.errors import InvalidEntityError, TargetBusyError
from schemas.identity import is_project_id, typed

PROJECTS: Final = "/v3/projects"
PAGE_SIZE: Final = 200
MOST_PAGES: Final = 1_000
"""Of the projects of an account; what tells of more is no list of them."""
DUPLICATE_CODE: Final = "DUPLICATE_PROJECT_CODE"
NOT_FOUND: Final = 404
_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


class FloatSinkConfig(SinkConfig):
    """Keys of `sink.json`."""

    token: SecretStr = Field(description="bearer token from the account settings")

    def make_sink(self, check: Check) -> FloatSink:
        """Make the sink; `check` raises where no request may be sent any more."""
        client = VendorClient(
            self.url,
            StaticToken(self.token.get_secret_value()),
            POLICY,
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )
        return FloatSink(client)


class _Project(Answer):
    project_id: Annotated[int, Field(ge=1)]
    project_code: str | int | None = None
    active: object = 1

    @property
    def is_archived(self) -> bool:
        """Whether somebody has put it away; Float says 1 or 0."""
        return self.active == 0

    def has_code(self, code: object) -> bool:
        """Whether the project has a code, as the mapping reads it: people type around it."""
        return self.project_code is not None and typed(str(self.project_code)) == code


class _Page(Answer):
    """The headers of a list."""

    page_count: Annotated[int, Field(ge=0, le=MOST_PAGES, strict=False)] = 1
    total: Annotated[int | None, Field(ge=0, strict=False)] = None


@dataclass(frozen=True, slots=True)
class _Found:
    """A project as read by its id: the list may show an earlier content."""

    project_id: int
    row: Mapping[str, Any]


class FloatSink:
    """Sink on the projects of an account."""

    config_model: ClassVar[type[SinkConfig]] = FloatSinkConfig

    def __init__(self, client: VendorClient) -> None:
        self._client = client

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request(
            "GET", PROJECTS, params={"per-page": "1"}, retry=False
        )
        return response.server_at

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        """Find the project by its id or its code, then create it or change what differs."""
        content = _content(command)
        body = _body(content)
        listed = await self._listed(content.project_id)
        found = await self._read(content, known_id, [it.project_id for it in listed])
        if found is None:
            answer = await self._client.request("POST", PROJECTS, json=body, retry=False)
            made = read_answer(_Project, answer.body, system=SYSTEM, is_read=False)
            return Applied(str(made.project_id))
        if not holds(found.row, body):
            await self._change(found.project_id, body)
        return _applied(found.project_id, listed)

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        """Read the project by its id or its code and compare it with the command."""
        content = _content(command)
        body = _body(content)
        listed = await self._listed(content.project_id)
        found = await self._read(content, known_id, [it.project_id for it in listed])
        if found is None:
            return None
        return _applied(found.project_id, listed).differing(differences(found.row, body))

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Read all projects. Ids grow as projects are made."""
        listed = await self._pages({}, may_grow=True)
        codes = ((it.project_id, typed(str(it.project_code))) for it in listed)
        ours = sorted(
            {(id_, code) for id_, code in codes if is_project_id(code or "")}, reverse=True
        )
        return {"project": [code or "" for _, code in ours[:NEWEST_SHOWN]]}

    async def _change(self, project_id: int, body: Payload) -> None:
        answer = await self._client.request(
            "PATCH", f"{PROJECTS}/{project_id}", json=body, retry=False
        )
        _project(answer.body, project_id, is_read=False)

    async def _read(
        self, content: StaffProject, known_id: str | None, ids: list[int]
    ) -> _Found | None:
        """Return the project of the earlier result, else the oldest with the code, as it is now.

        The list is not trusted: it may show a project that is gone, lack one that is there, and
        its filter may lack one whose code somebody typed with blanks. The table that ordered
        names the project it has seen.
        """
        known, seen = _number(known_id), _number(content.seen_id)
        for project_id in dict.fromkeys([*known, *sorted({*seen, *ids})]):
            answer = await self._client.request(
                "GET", f"{PROJECTS}/{project_id}", absent_ok=True, retry=False
            )
            if answer.status == NOT_FOUND:
                continue
            project = _project(answer.body, project_id, is_read=True)
            is_ours = project_id in known or project_id in ids
            if is_ours or project.has_code(content.project_id):
                return _Found(project_id, answer.body)
        return None

    async def _listed(self, project_code: str) -> list[_Project]:
        """Return the projects that the list shows with the code, oldest first.

        The code is compared here: a filter the vendor ignores must not look like a match.
        """
        listed = await self._pages({"project_code": project_code})
        found = [row for row in listed if row.has_code(project_code)]
        return sorted(found, key=lambda it: it.project_id)

    async def _pages(self, filters: Mapping[str, str], *, may_grow: bool = False) -> list[_Project]:
        """Return the rows of all pages. Raises TargetBusyError where a row may be missed.

        A list that only grows repeats rows and misses none: one that was made while we read moves
        others back. Whether one went meanwhile, too, its total does not tell.
        """
        found: list[_Project] = []
        page = 1
        last: _Page | None = None
        while last is None or page <= last.page_count:
            answer = await self._client.request(
                "GET",
                PROJECTS,
                params={**filters, "page": str(page), "per-page": str(PAGE_SIZE)},
                retry=False,
            )
            if not isinstance(answer.body, list):
                raise unexpected(
                    f"{shape_of(answer.body)} instead of a list", system=SYSTEM, is_read=True
                )
            rows = [read_answer(_Project, row, system=SYSTEM, is_read=True) for row in answer.body]
            found += rows
            shown = _page(answer.headers)
            if last is not None and shown.total != last.total:
                has_grown = (shown.total or 0) > (last.total or 0)
                if not (may_grow and has_grown):
                    raise TargetBusyError(
                        "projects came or went while they were listed",
                        hint="rows shift between pages then, and one may be missed; listed again",
                    )
            last = shown
            page += 1
        return found


def _project(body: object, project_id: int, *, is_read: bool) -> _Project:
    """Read a project that was asked for by its id, or say that another one came."""
    project = read_answer(_Project, body, system=SYSTEM, is_read=is_read)
    if project.project_id != project_id:
        raise unexpected(
            f"project {project.project_id} instead of {project_id}", system=SYSTEM, is_read=is_read
        )
    return project


def _number(text: str | None) -> list[int]:
    """Return the id a text holds, none for anything else."""
    return [int(text)] if text and _ID.fullmatch(text) else []


def _page(headers: Mapping[str, str]) -> _Page:
    """Read `X-Pagination-Page-Count` and `-Total-Count`; without them there is one page."""
    values = {
        "page_count": headers.get("X-Pagination-Page-Count", "1"),
        "total": headers.get("X-Pagination-Total-Count"),
    }
    return read_answer(_Page, values, system=SYSTEM, is_read=True)


def _content(command: Command) -> StaffProject:
    if command.kind != StaffProject.kind:
        raise InvalidEntityError(
            f"Float has no command of kind {command.kind}",
            context={"command_id": command.command_id},
        )
    return command.read(StaffProject)


def _body(content: StaffProject) -> Payload:
    return {
        "name": content.name,
        "project_code": content.project_id,
        "start_date": content.starts_on.isoformat() if content.starts_on else None,
        "notes": f"psastream {content.correlation_id}",
    }


def _applied(kept: int, listed: list[_Project]) -> Applied:
    """Return what is carried out; another project with the code is a double until archived."""
    others = [str(it.project_id) for it in listed if it.project_id != kept and not it.is_archived]
    if not others:
        return Applied(str(kept))
    detail = f"projects {kept}, {', '.join(others)} have the same code; {kept} is kept up"
    return Applied(str(kept), Problem(DUPLICATE_CODE, detail, "project_code", Reason.LEFTOVER))
