"""Executes commands on Kantata OX: projects, found by their reference and then made or changed.

Kantata has no upsert of projects and no idempotency key. What keeps a project single: a project is
made together with its external reference, our id, in one request, so none is left without it; the
id of an earlier result is used before anything is looked up; an attempt of unknown outcome is given
longer than Kantata lets a request run before it is looked up. The last is `connectors.dispatch`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr

from connectors.dispatch.answers import Answer, read_answer, unexpected
from connectors.dispatch.commands import Command, Payload, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.content import differences, holds
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import NEWEST_SHOWN, Applied
from connectors.rest.auth import StaticHeaders
from connectors.toolkit.faults import Fault, Reason, VendorRejectedError
from connectors.toolkit.http import VendorClient
from connectors.vendors.kantata.auth import POLICY, SYSTEM
from schemas.commands import UpsertProject
from schemas.errors import InvalidEntityError
from schemas.identity import is_project_id, typed

WORKSPACES: Final = "/workspaces"
REFERENCES: Final = "/external_references"
SERVICE: Final = "psastream"
"""Service name of our references: the source reads them by it."""
MODEL: Final = "project"
PAGE_SIZE: Final = 200
DUPLICATE_REFERENCE: Final = "DUPLICATE_REFERENCE"
UNSEEN_PROJECT: Final = "UNSEEN_PROJECT"
_CONFLICT: Final = 409
_DAY: Final = len("2026-01-01")


class KantataSinkConfig(SinkConfig):
    """Keys of `sink.json`."""

    token: SecretStr = Field(description="OAuth token of an account administrator")
    creator_role: Literal["maven", "buyer"] = Field(
        default="maven",
        description="team that the token's user joins in a project it makes: `maven` provides the "
        "service, `buyer` pays for it",
    )
    starting_budget: Literal["contract_value", "none"] = Field(
        default="contract_value",
        description="budget of a project that is made: what it was sold for, in whole units of its "
        "currency, or none, and then Kantata keeps its currency to itself",
    )

    def make_sink(self, check: Check) -> KantataSink:
        """Make the sink; `check` raises where no request may be sent any more."""
        client = VendorClient(
            self.url,
            StaticHeaders({"Authorization": f"Bearer {self.token.get_secret_value()}"}),
            POLICY,
            user_agent=self.user_agent,
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )
        return KantataSink(
            client,
            creator_role=self.creator_role,
            has_budget=self.starting_budget == "contract_value",
        )


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


_Id = Annotated[int, BeforeValidator(_number), Field(ge=1)]
"""Texts in answers, but for ids of subjects."""


class _Entry(Answer):
    key: str
    id: _Id


class _Listed(Answer):
    """What every answer is: its rows in order, which stand by id under their collection."""

    results: list[_Entry]


class _Workspace(Answer):
    id: _Id
    archived: bool = False


class _Reference(Answer):
    service_name: str
    service_model_ref: str
    subject_type: str
    subject_id: _Id


class KantataSink:
    """Sink on the projects of an account, which it calls workspaces."""

    config_model: ClassVar[type[SinkConfig]] = KantataSinkConfig

    def __init__(self, client: VendorClient, *, creator_role: str, has_budget: bool) -> None:
        self._client = client
        self._creator_role = creator_role
        self._has_budget = has_budget

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request(
            "GET", f"{WORKSPACES}.json", params={"per_page": "1"}, retry=False
        )
        return response.server_at

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        """Find the project by its id or its reference, then make it or change what differs.

        Raises VendorRejectedError of a reference whose project the token's user does not see: to
        make another one would double it.
        """
        content = _content(command)
        named, found = await self._find(content.project_id, known_id)
        if not found:
            if named:
                raise _unseen(content.project_id, named)
            return Applied(str(await self._create(content)))
        kept, row = next(iter(found.items()))
        if not holds(_shown(row), _body(content)):
            await self._write("PUT", f"{WORKSPACES}/{kept}.json", _body(content), kept)
        return _applied(kept, found)

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        """Read the project by its id or its reference and compare it with the command."""
        content = _content(command)
        _, found = await self._find(content.project_id, known_id)
        if not found:
            return None
        kept, row = next(iter(found.items()))
        return _applied(kept, found).differing(differences(_shown(row), _body(content)))

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Read the newest references of ours whose projects are there."""
        listed = await self._references({}, newest_first=True)
        ours = {it.subject_id: typed(it.service_model_ref) for it in listed}
        shown = [each for each in ours.items() if is_project_id(each[1] or "")][:NEWEST_SHOWN]
        there = await self._workspaces([workspace for workspace, _ in shown])
        return {"project": [code or "" for workspace, code in shown if workspace in there]}

    async def _find(
        self, project_id: str, known_id: str | None
    ) -> tuple[list[int], dict[int, Mapping[str, Any]]]:
        """Return the ids that bear our reference, and the projects that are there.

        The project of the earlier result comes first, then the oldest. Raises UnclearAnswerError
        where others are listed, too: ours may lie behind them.
        """
        listed = await self._references({"service_model_ref": project_id})
        if any(typed(it.service_model_ref) != project_id for it in listed):
            raise unexpected("references of other projects", system=SYSTEM, is_read=True)
        named = sorted({it.subject_id for it in listed})
        known = [int(known_id)] if known_id and known_id.isdecimal() else []
        asked = list(dict.fromkeys([*known, *named]))
        rows = await self._workspaces(asked)
        return named, {each: rows[each] for each in asked if each in rows}

    async def _references(
        self, filters: Mapping[str, str], *, newest_first: bool = False
    ) -> list[_Reference]:
        """Return one page of our references of projects."""
        body = await self._read(
            REFERENCES,
            {
                "subject_type": "Workspace",
                "service_name": SERVICE,
                "order": f"created_at:{'desc' if newest_first else 'asc'}",
                **filters,
            },
        )
        rows = [read_answer(_Reference, row, system=SYSTEM, is_read=True) for row in body.values()]
        return [
            row for row in rows if row.service_name == SERVICE and row.subject_type == "Workspace"
        ]

    async def _workspaces(self, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """Return the projects of ids that are there, archived ones too: by id none is refused."""
        if not ids:
            return {}
        only = ",".join(str(each) for each in ids)
        rows = await self._read(WORKSPACES, {"only": only, "include_archived": "true"})
        return {id_: row for id_, row in rows.items() if id_ in ids}

    async def _read(self, path: str, params: Mapping[str, str]) -> dict[int, Mapping[str, Any]]:
        answer = await self._client.request(
            "GET",
            f"{path}.json",
            params={**params, "per_page": str(PAGE_SIZE)},
            retry=False,
        )
        return _rows(answer.body, path.removeprefix("/"), is_read=True)

    async def _create(self, content: UpsertProject) -> int:
        value, currency = content.contract_value, content.currency
        budget: Payload = {"budgeted": False}
        if self._has_budget and value is not None and currency is not None:
            price = int(value.quantize(Decimal(1), ROUND_HALF_UP))
            budget = {"budgeted": True, "price": price, "currency": currency}
        reference = {
            "service_name": SERVICE,
            "service_model": MODEL,
            "service_model_ref": content.project_id,
            "status": "successful",
        }
        new = {"creator_role": self._creator_role, "external_reference": reference, **budget}
        return await self._write("POST", f"{WORKSPACES}.json", {**_body(content), **new})

    async def _write(self, method: str, path: str, body: Payload, id_: int | None = None) -> int:
        answer = await self._client.request(method, path, json={"workspace": body}, retry=False)
        rows = _rows(answer.body, "workspaces", is_read=False)
        if len(rows) != 1 or (id_ is not None and id_ not in rows):
            raise unexpected(f"{len(rows)} projects instead of one", system=SYSTEM, is_read=False)
        (written,) = rows
        return written


def _rows(body: object, collection: str, *, is_read: bool) -> dict[int, Mapping[str, Any]]:
    """Return the rows of an answer by id, in order; what it includes beside them does not count."""
    listed = read_answer(_Listed, body, system=SYSTEM, is_read=is_read)
    assert isinstance(body, dict)
    kept = body.get(collection)
    found: dict[int, Mapping[str, Any]] = {}
    for entry in listed.results:
        row = kept.get(str(entry.id)) if isinstance(kept, dict) else None
        if entry.key != collection or not isinstance(row, dict):
            raise unexpected(f"no {collection} in a result", system=SYSTEM, is_read=is_read)
        found[entry.id] = row
    return found


def _content(command: Command) -> UpsertProject:
    if command.kind != UpsertProject.kind:
        raise InvalidEntityError(
            f"Kantata has no command of kind {command.kind}",
            context={"command_id": command.command_id},
        )
    return command.read(UpsertProject)


def _body(content: UpsertProject) -> Payload:
    return {
        "title": content.name,
        "start_date": content.starts_on.isoformat() if content.starts_on else None,
    }


def _shown(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a project with its first day as a day, of which it may tell the midnight."""
    day = row.get("start_date")
    return {**row, "start_date": day[:_DAY] if isinstance(day, str) else day}


def _applied(kept: int, found: Mapping[int, Mapping[str, Any]]) -> Applied:
    """Return what is carried out; another project with the reference is a double until archived."""
    rows = {
        id_: read_answer(_Workspace, row, system=SYSTEM, is_read=True) for id_, row in found.items()
    }
    others = [str(id_) for id_, row in rows.items() if id_ != kept and not row.archived]
    if not others:
        return Applied(str(kept))
    detail = f"projects {kept}, {', '.join(others)} have the same reference; {kept} is kept up"
    return Applied(
        str(kept),
        Problem(DUPLICATE_REFERENCE, detail, "external_reference", Reason.LEFTOVER),
    )


def _unseen(project_id: str, named: Sequence[int]) -> VendorRejectedError:
    ids = ", ".join(str(each) for each in named)
    detail = f"{project_id} is the reference of {ids}, which the token's user does not see"
    fault = Fault(UNSEEN_PROJECT, detail, "external_reference")
    return VendorRejectedError(
        _CONFLICT, [fault], context={"system": SYSTEM}, reason=Reason.CONFLICT
    )
