"""The admin API: what people do in the vendors' own screens, what goes wrong, what was written.

Open to whoever reaches the port, which is on 127.0.0.1. Changes made here are not in the effect
log: it lists what came through the vendors' APIs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.vendors import wire
from sandbox.vendors.effects import EffectLog
from sandbox.vendors.faults import FaultRule
from sandbox.vendors.site import Books, InvalidRowError, Site, UnknownRowError
from sandbox.vendors.wire import ExactJSONResponse


@dataclass(frozen=True, slots=True)
class Party:
    """A vendor as the admin API sees it."""

    site: Site[Any]
    books: Books
    unlimited: Mapping[str, object]
    screens: Sequence[Route]


class FieldChange(BaseModel):
    """A field that an object shows from now on, or does not have any more."""

    model_config = ConfigDict(extra="forbid")

    change: Literal["add", "remove"]
    object: str
    field: str
    value: Any = None


class AdminApi:
    """Handlers of the admin resources."""

    def __init__(self, parties: Mapping[str, Party], *, effects: EffectLog) -> None:
        self._parties = parties
        self._effects = effects

    def create_app(self) -> ASGIApp:
        """The ASGI application."""
        routes = [
            Route("/health", self._health),
            Route("/books", self._books),
            Route("/effects", self._effect_log),
            Route("/limits", self._lift, methods=["DELETE"]),
            *(
                Route(f"/{name}{screen.path}", screen.endpoint, methods=screen.methods)
                for name, party in self._parties.items()
                for screen in party.screens
            ),
            Route("/{vendor}/limits", self._lift, methods=["DELETE"]),
            Route("/{vendor}/settings", self._settings, methods=["GET", "PATCH"]),
            Route("/{vendor}/faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/{vendor}/fields", self._fields, methods=["POST", "DELETE"]),
            Route("/{vendor}/tokens", self._expire_tokens, methods=["DELETE"]),
            Route("/{vendor}/rows/{object}", self._create, methods=["POST"]),
            Route("/{vendor}/rows/{object}/{id}", self._update, methods=["PATCH"]),
            Route("/{vendor}/rows/{object}/{id}", self._delete, methods=["DELETE"]),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={
                UnknownRowError: _answer_unknown,
                InvalidRowError: _answer_invalid,
                ValidationError: _answer_invalid,
                ValueError: _answer_invalid,
            },
        )

    def _party(self, request: Request) -> Party:
        vendor = request.path_params["vendor"]
        if vendor not in self._parties:
            raise UnknownRowError(f"no vendor {vendor}")
        return self._parties[vendor]

    async def _health(self, request: Request) -> Response:
        return ExactJSONResponse({"status": "up"})

    async def _books(self, request: Request) -> Response:
        return ExactJSONResponse(
            {name: party.books.rows() for name, party in self._parties.items()}
        )

    async def _effect_log(self, request: Request) -> Response:
        return ExactJSONResponse(self._effects.as_json())

    async def _create(self, request: Request) -> Response:
        """One row, or all of a list; the answer has the same shape."""
        books, record_type = self._party(request).books, request.path_params["object"]
        body = wire.loads(await request.body())
        if isinstance(body, list):
            created: Any = [books.create(record_type, _row(values)) for values in body]
        else:
            created = books.create(record_type, _row(body))
        return ExactJSONResponse(created, status_code=201)

    async def _update(self, request: Request) -> Response:
        body = wire.loads(await request.body())
        row = self._party(request).books.update(
            request.path_params["object"], request.path_params["id"], _row(body)
        )
        return ExactJSONResponse(row)

    async def _delete(self, request: Request) -> Response:
        self._party(request).books.delete(request.path_params["object"], request.path_params["id"])
        return Response(status_code=204)

    async def _lift(self, request: Request) -> Response:
        """Count no requests over time, of a vendor or of all."""
        parties = self._parties.values()
        for party in [self._party(request)] if request.path_params else parties:
            party.site.configure(party.unlimited)
        return Response(status_code=204)

    async def _settings(self, request: Request) -> Response:
        site = self._party(request).site
        if request.method == "PATCH":
            site.configure(wire.loads(await request.body()))
        return ExactJSONResponse(site.settings.model_dump())

    async def _faults(self, request: Request) -> Response:
        plan = self._party(request).site.faults
        if request.method == "POST":
            plan.add(FaultRule.model_validate(wire.loads(await request.body())))
        elif request.method == "DELETE":
            plan.clear(request.query_params.get("path"))
        return ExactJSONResponse({"drawn": dict(plan.drawn)})

    async def _fields(self, request: Request) -> Response:
        drift = self._party(request).site.drift
        if request.method == "DELETE":
            drift.reset()
            return Response(status_code=204)
        change = FieldChange.model_validate(wire.loads(await request.body()))
        if change.change == "add":
            drift.add(change.object, change.field, change.value)
        else:
            drift.remove(change.object, change.field)
        return Response(status_code=204)

    async def _expire_tokens(self, request: Request) -> Response:
        self._party(request).site.tokens.revoke_all()
        return Response(status_code=204)


def _row(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRowError("a row is a JSON object")
    return value


async def _answer_unknown(request: Request, error: Exception) -> Response:
    return ExactJSONResponse({"error": str(error)}, status_code=404)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    return ExactJSONResponse({"error": str(error)}, status_code=422)
