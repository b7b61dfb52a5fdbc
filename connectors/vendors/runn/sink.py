"""Executes commands on Runn: projects, found by a reference and then created or changed.

Runn has no upsert, no idempotency key and no version to compare; a reference is no key, and two
projects may have the same. What keeps a project single: the reference has one writer; the id of an
earlier result is used before anything is searched; an attempt of unknown outcome is given time to
settle before it is looked up. The first and the last are `connectors.dispatch`'s.

A project has no dates there: its plan has. So its start is a milestone, which planners see, and
once that is right a second reference says so, which the project's own row shows back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, SecretStr

from connectors.dispatch.answers import Answer, read_answer, unexpected
from connectors.dispatch.commands import Command, Payload, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import Difference
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import NEWEST_SHOWN, Applied
from connectors.toolkit.faults import Reason
from connectors.toolkit.http import VendorClient
from connectors.vendors.runn.auth import POLICY, SYSTEM, StaticToken
from schemas.commands import UpsertProject
from schemas.errors import InvalidEntityError
from schemas.identity import is_project_id, typed

PROJECTS: Final = "/projects/"
CLIENTS: Final = "/clients/"
PAGE_SIZE: Final = 200
MOST_PAGES: Final = 1_000
"""Of the rows of an account; what tells of more is no list of them."""
OURS: Final = "psastream"
"""Name of the reference that holds our id."""
START: Final = "psastream_start"
"""Name of the reference that holds the day of the milestone."""
DUPLICATE_REFERENCE: Final = "DUPLICATE_PROJECT_REFERENCE"
NOT_FOUND: Final = 404
_EVER_SINCE: Final = "1970-01-01"  # without a day Runn lists what is planned from this week on
_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_PRICING: Final = {
    "time_and_materials": "tm",
    "capped": "tm",
    "fixed_fee": "fp",
    "milestone": "fp",
    "retainer": "fp",
    "non_billable": "nb",
}


class RunnSinkConfig(SinkConfig):
    """Keys of `sink.json`."""

    token: SecretStr = Field(description="API token with the scope to write")
    client_id: int = Field(
        ge=1,
        description="id of the client of projects whose customer no client names by a reference",
    )
    milestone_title: str = Field(
        default="Start", min_length=1, description="title of the milestone of a project's start"
    )

    def make_sink(self, check: Check) -> RunnSink:
        """Make the sink; `check` raises where no request may be sent any more."""
        client = VendorClient(
            self.url,
            StaticToken(self.token.get_secret_value()),
            POLICY,
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )
        return RunnSink(client, self)


class _Reference(Answer):
    name: str = Field(alias="referenceName")
    value: str = Field(alias="externalId")

    def written(self) -> Payload:
        """Return it as Runn takes it."""
        return {"referenceName": self.name, "externalId": self.value}


class _Referenced(Answer):
    """A client or a project."""

    id: Annotated[int, Field(ge=1)]
    references: list[_Reference]

    def is_called(self, value: str) -> bool:
        """Whether our reference holds the value, as the mapping reads it."""
        first = next((it.value for it in self.references if it.name == OURS), None)
        return typed(first) == value


class _Project(_Referenced):
    name: str
    is_template: bool = Field(alias="isTemplate")
    is_archived: bool = Field(alias="isArchived")


class _Milestone(Answer):
    id: Annotated[int, Field(ge=1)]
    title: str
    note: str | None
    date: str


class _Page(Answer):
    values: list[dict[str, Any]]
    next_cursor: str | None = Field(alias="nextCursor")


@dataclass(frozen=True, slots=True)
class _Found:
    """A project as read by its id, its milestones of ours, and the ids of doubles."""

    row: _Project
    milestones: list[_Milestone]
    doubles: list[int]


class RunnSink:
    """Sink on the projects of an account."""

    config_model: ClassVar[type[SinkConfig]] = RunnSinkConfig

    def __init__(self, client: VendorClient, config: RunnSinkConfig) -> None:
        self._client = client
        self._config = config
        self._made: dict[str, str] = {}  # our id → theirs, until the whole command is carried out

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request("GET", PROJECTS, params={"limit": "1"}, retry=False)
        return response.server_at

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        """Find the project by its id or its reference, then bring it and its start to content.

        Where the start is refused for now, the command is tried again at once, and no list may show
        the project yet: its id is kept.
        """
        content = _content(command)
        found = await self._find(content, known_id or self._made.get(content.project_id))
        if found is None:
            found = _Found(await self._create(content), [], [])
            self._made[content.project_id] = str(found.row.id)
        await self._put_start(found, content)
        changes = _changes(found.row, content)
        if changes:
            path = f"{PROJECTS}{found.row.id}"
            answer = await self._client.request("PATCH", path, json=changes, retry=False)
            _project(answer.body, found.row.id, is_read=False)
        self._made.pop(content.project_id, None)
        return _applied(found)

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        """Read the project by its id or its reference and compare it with the command."""
        content = _content(command)
        found = await self._find(content, known_id)
        if found is None:
            return None
        return _applied(found).differing(list(_differences(found, content)))

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Read projects, the youngest first: ids grow as projects are made."""
        params = {"includeArchived": "true", "sortBy": "id", "order": "desc"}
        codes: list[str] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            rows, cursor = await self._page(PROJECTS, params, cursor)
            projects = (read_answer(_Project, row, system=SYSTEM, is_read=True) for row in rows)
            codes += [code for project in projects for code in _codes(project)]
            if cursor is None or len(codes) >= NEWEST_SHOWN:
                return {"project": codes[:NEWEST_SHOWN]}
        raise _endless(PROJECTS)

    async def _create(self, content: UpsertProject) -> _Project:
        pricing = _PRICING.get(content.billing_type or "")
        body: Payload = {
            "name": content.name,
            "clientId": await self._client_of(content.customer_id),
            "isConfirmed": True,
            **({"pricingModel": pricing} if pricing else {}),
            "references": [_ours(content).written()],
        }
        answer = await self._client.request("POST", PROJECTS, json=body, retry=False)
        return read_answer(_Project, answer.body, system=SYSTEM, is_read=False)

    async def _client_of(self, customer_id: str | None) -> int:
        """Return the client that people have given the customer's id as a reference, or the one."""
        if customer_id is None:
            return self._config.client_id
        rows = await self._rows(CLIENTS, {})
        clients = (read_answer(_Referenced, row, system=SYSTEM, is_read=True) for row in rows)
        named = [client.id for client in clients if client.is_called(customer_id)]
        return min(named, default=self._config.client_id)

    async def _put_start(self, found: _Found, content: UpsertProject) -> None:
        """Keep one milestone of ours on the day, or none where there is no day."""
        path = f"{PROJECTS}{found.row.id}/milestones/"
        day = content.starts_on.isoformat() if content.starts_on else None
        kept = found.milestones[0] if found.milestones and day else None
        for each in found.milestones:
            if each is not kept:
                await self._client.request(
                    "DELETE", f"{path}{each.id}", absent_ok=True, retry=False
                )
        if day is None or (kept and kept.date == day):
            return
        body: Payload = {"date": day}
        if kept is None:
            body |= {"title": self._config.milestone_title, "icon": "start", "note": _note(content)}
        method, place = ("PATCH", f"{path}{kept.id}") if kept else ("POST", path)
        answer = await self._client.request(method, place, json=body, retry=False)
        read_answer(_Milestone, answer.body, system=SYSTEM, is_read=False)

    async def _find(self, content: UpsertProject, known_id: str | None) -> _Found | None:
        """Return the project of the earlier result, else the oldest with the reference.

        Each is read by its id, as it is now: the list may show a project that is gone, and lack
        one that is there. The table that ordered names the project it has seen.
        """
        listed = await self._listed(content.project_id)
        known, seen = _number(known_id), _number(content.seen_id)
        ids = [it.id for it in listed]
        for project_id in dict.fromkeys([*known, *sorted({*seen, *ids})]):
            answer = await self._client.request(
                "GET", f"{PROJECTS}{project_id}", absent_ok=True, retry=False
            )
            if answer.status == NOT_FOUND:
                continue
            project = _project(answer.body, project_id, is_read=True)
            if project.is_template:
                continue
            if project_id in known or project.is_called(content.project_id):
                others = [it.id for it in listed if it.id != project_id and not it.is_archived]
                return _Found(project, await self._milestones(project_id, content), others)
        return None

    async def _listed(self, project_id: str) -> list[_Project]:
        """Return the projects that the list shows with the reference, oldest first.

        The reference is compared here: a filter the vendor ignores must not look like a match.
        """
        params = {"includeArchived": "true", "externalId": project_id}
        rows = await self._rows(PROJECTS, params)
        listed = [read_answer(_Project, row, system=SYSTEM, is_read=True) for row in rows]
        named = (it for it in listed if it.is_called(project_id) and not it.is_template)
        return sorted(named, key=lambda it: it.id)

    async def _milestones(self, project_id: int, content: UpsertProject) -> list[_Milestone]:
        """Return the milestones of ours, oldest first."""
        rows = await self._rows(f"{PROJECTS}{project_id}/milestones/", {"startDate": _EVER_SINCE})
        found = [read_answer(_Milestone, row, system=SYSTEM, is_read=True) for row in rows]
        return sorted((it for it in found if it.note == _note(content)), key=lambda it: it.id)

    async def _rows(self, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            rows, cursor = await self._page(path, params, cursor)
            found += rows
            if cursor is None:
                return found
        raise _endless(path)

    async def _page(
        self, path: str, params: Mapping[str, str], cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        asked = {**params, "limit": str(PAGE_SIZE), **({"cursor": cursor} if cursor else {})}
        answer = await self._client.request("GET", path, params=asked, retry=False)
        page = read_answer(_Page, answer.body, system=SYSTEM, is_read=True)
        return page.values, page.next_cursor


def _endless(path: str) -> Exception:
    return unexpected(f"{path} has more than {MOST_PAGES} pages", system=SYSTEM, is_read=True)


def _project(body: object, project_id: int, *, is_read: bool) -> _Project:
    """Read a project that was asked for by its id, or say that another one came."""
    project = read_answer(_Project, body, system=SYSTEM, is_read=is_read)
    if project.id != project_id:
        raise unexpected(
            f"project {project.id} instead of {project_id}", system=SYSTEM, is_read=is_read
        )
    return project


def _codes(project: _Project) -> Iterator[str]:
    """Yield the id of ours that a project bears, if any."""
    code = next((typed(it.value) for it in project.references if it.name == OURS), None)
    if code and is_project_id(code) and not project.is_template:
        yield code


def _number(text: str | None) -> list[int]:
    """Return the id a text holds, none for anything else."""
    return [int(text)] if text and _ID.fullmatch(text) else []


def _content(command: Command) -> UpsertProject:
    if command.kind != UpsertProject.kind:
        raise InvalidEntityError(
            f"Runn has no command of kind {command.kind}",
            context={"command_id": command.command_id},
        )
    return command.read(UpsertProject)


def _note(content: UpsertProject) -> str:
    """Return the note by which a milestone of a project is ours."""
    return f"{OURS} {content.project_id}"


def _ours(content: UpsertProject) -> _Reference:
    return _Reference(referenceName=OURS, externalId=content.project_id)


def _changes(row: _Project, content: UpsertProject) -> Payload:
    """Return what is to be changed of a project; references of others stay as they are."""
    others = [it for it in row.references if it.name not in (OURS, START)]
    wanted = [*others, _ours(content)]
    if content.starts_on:
        wanted.append(_Reference(referenceName=START, externalId=content.starts_on.isoformat()))
    changes: Payload = {} if row.name == content.name else {"name": content.name}
    if {(it.name, it.value) for it in row.references} != {(it.name, it.value) for it in wanted}:
        changes["references"] = [it.written() for it in wanted]
    return changes


def _differences(found: _Found, content: UpsertProject) -> Iterator[Difference]:
    """Yield what differs of a project, its start among it."""
    row, changes = found.row, _changes(found.row, content)
    if "name" in changes:
        yield Difference("name", row.name, content.name)
    if "references" in changes:
        held = {it.name: it.value for it in row.references}
        wanted = {it["referenceName"]: it["externalId"] for it in changes["references"]}
        yield Difference("references", held or None, wanted)
    days = [each.date for each in found.milestones]
    if days != ([content.starts_on.isoformat()] if content.starts_on else []):
        yield Difference("start", ", ".join(days) or None, content.starts_on)


def _applied(found: _Found) -> Applied:
    """Return what is carried out; another project with the reference is a double until archived."""
    kept = found.row.id
    if not found.doubles:
        return Applied(str(kept))
    others = ", ".join(map(str, found.doubles))
    detail = f"projects {kept}, {others} have the same reference {OURS}; {kept} is kept up"
    problem = Problem(DUPLICATE_REFERENCE, detail, "references", Reason.LEFTOVER)
    return Applied(str(kept), problem)
