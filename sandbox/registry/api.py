"""Confluent's REST interface over the registry: paths, JSON shapes, status and error codes.

No rules here: each endpoint parses its request, asks the `Registry`, and words the answer. Query
options of newer servers that change nothing for Avro without references (`normalize`,
`fetchMaxId`, `subject`, `format`) are accepted and, bar `fetchMaxId`, have no effect.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import structlog
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.registry.errors import (
    RequestRefusedError,
    invalid_schema,
    not_permitted,
    schema_not_found,
)
from sandbox.registry.service import Registry
from sandbox.registry.state import RegisteredVersion
from schemas.errors import PsaStreamError

_STORE_ERROR = 50001

_log = structlog.get_logger()

Endpoint = Callable[[Request], Awaitable[Response]]
Handler = Callable[["_Call"], Any]


class SchemaRequest(BaseModel):
    """Body of registrations, look-ups and checks."""

    schema_text: str = Field(alias="schema")
    schema_type: str | None = Field(default=None, alias="schemaType")
    references: list[Any] | None = None
    metadata: dict[str, Any] | None = None
    rule_set: dict[str, Any] | None = Field(default=None, alias="ruleSet")

    def avro_text(self) -> str:
        """The schema. Raises 42201 for what would be lost: other formats, references, rules."""
        if self.schema_type not in (None, "", "AVRO"):
            raise invalid_schema(f"schema type {self.schema_type} is not supported, only AVRO")
        if self.references or self.metadata or self.rule_set:
            raise invalid_schema("references, metadata and rule sets are not supported")
        return self.schema_text


class ConfigRequest(BaseModel):
    """Body of a change of compatibility level."""

    compatibility: str


class RegistryResponse(JSONResponse):
    """JSON under Confluent's media type."""

    media_type = "application/vnd.schemaregistry.v1+json"


class _Call:
    """One request, read completely, together with the registry that answers it."""

    def __init__(self, registry: Registry, request: Request, body: bytes) -> None:
        self.registry = registry
        self.body = body
        self._request = request

    @property
    def subject(self) -> str:
        return unquote(self._request.path_params["subject"])

    @property
    def version(self) -> str:
        return unquote(self._request.path_params["version"])

    @property
    def schema_id(self) -> int:
        text = self._request.path_params["schema_id"]
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            raise schema_not_found()
        return int(text)

    @property
    def with_deleted(self) -> bool:
        return self.flag("deleted")

    def flag(self, name: str) -> bool:
        return self._request.query_params.get(name, "").lower() == "true"

    def option(self, name: str) -> str:
        return self._request.query_params.get(name, "")

    def schema_text(self) -> str:
        return SchemaRequest.model_validate_json(self.body).avro_text()


def create_app(registry: Registry) -> ASGIApp:
    """The ASGI application; `registry` must be loaded."""
    routes = [
        Route(path, _endpoint(registry, handler), methods=[method])
        for method, path, handler in _ROUTES
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            RequestRefusedError: _answer_refusal,
            PsaStreamError: _answer_store_error,
            ValidationError: _answer_malformed,
            HTTPException: _answer_http_error,
        },
    )
    return _route_on_encoded_path(app)


def _endpoint(registry: Registry, handler: Handler) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        call = _Call(registry, request, await request.body())
        # Writing waits for the broker, so no handler runs on the event loop.
        return RegistryResponse(await run_in_threadpool(handler, call))

    return endpoint


def _route_on_encoded_path(app: ASGIApp) -> ASGIApp:
    """Match routes before decoding, so that a subject may contain an encoded slash."""

    async def encoded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path"):
            scope = {**scope, "path": scope["raw_path"].decode("ascii")}
        await app(scope, receive, send)

    return encoded


def _describe(version: RegisteredVersion) -> dict[str, Any]:
    return {
        "subject": version.subject,
        "version": version.version,
        "id": version.schema_id,
        "schema": version.schema.text,
    }


def _list_subjects(call: _Call) -> list[str]:
    names = call.registry.subjects(with_deleted=call.with_deleted)
    return [name for name in names if name.startswith(call.option("subjectPrefix"))]


def _list_versions(call: _Call) -> list[int]:
    versions = call.registry.versions(call.subject, with_deleted=call.with_deleted)
    return [version.version for version in versions]


def _get_version(call: _Call) -> dict[str, Any]:
    return _describe(
        call.registry.version(call.subject, call.version, with_deleted=call.with_deleted)
    )


def _register(call: _Call) -> dict[str, int]:
    return {"id": call.registry.register(call.subject, call.schema_text())}


def _look_up(call: _Call) -> dict[str, Any]:
    return _describe(
        call.registry.look_up(call.subject, call.schema_text(), with_deleted=call.with_deleted)
    )


def _delete_subject(call: _Call) -> list[int]:
    _refuse_permanent(call)
    return call.registry.delete_subject(call.subject)


def _delete_version(call: _Call) -> int:
    _refuse_permanent(call)
    return call.registry.delete_version(call.subject, call.version)


def _refuse_permanent(call: _Call) -> None:
    if call.flag("permanent"):
        raise not_permitted("permanent deletion; data may still carry the schema's id")


def _get_schema(call: _Call) -> dict[str, Any]:
    answer: dict[str, Any] = {"schema": call.registry.schema(call.schema_id).text}
    if call.flag("fetchMaxId"):
        answer["maxId"] = call.registry.highest_id()
    return answer


def _schema_versions(call: _Call) -> list[dict[str, Any]]:
    usages = call.registry.usages(call.schema_id, with_deleted=call.with_deleted)
    return [{"subject": usage.subject, "version": usage.version} for usage in usages]


def _schema_subjects(call: _Call) -> list[str]:
    usages = call.registry.usages(call.schema_id, with_deleted=call.with_deleted)
    return sorted({usage.subject for usage in usages})


def _check_version(call: _Call) -> dict[str, Any]:
    return _verdict(call, call.version)


def _check_all(call: _Call) -> dict[str, Any]:
    return _verdict(call, None)


def _verdict(call: _Call, version: str | None) -> dict[str, Any]:
    problems = call.registry.check(call.subject, call.schema_text(), version)
    verdict: dict[str, Any] = {"is_compatible": not problems}
    return verdict | {"messages": problems} if call.flag("verbose") else verdict


def _get_global_level(call: _Call) -> dict[str, str]:
    return {"compatibilityLevel": call.registry.level(None)}


def _get_level(call: _Call) -> dict[str, str]:
    level = call.registry.level(call.subject, or_global=call.flag("defaultToGlobal"))
    return {"compatibilityLevel": level}


def _set_global_level(call: _Call) -> dict[str, str]:
    wanted = ConfigRequest.model_validate_json(call.body).compatibility
    return {"compatibility": call.registry.set_level(None, wanted)}


def _set_level(call: _Call) -> dict[str, str]:
    wanted = ConfigRequest.model_validate_json(call.body).compatibility
    return {"compatibility": call.registry.set_level(call.subject, wanted)}


_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", lambda call: {}),
    ("GET", "/mode", lambda call: {"mode": "READWRITE"}),
    ("GET", "/schemas/types", lambda call: ["AVRO"]),
    ("GET", "/schemas/ids/{schema_id}", _get_schema),
    ("GET", "/schemas/ids/{schema_id}/versions", _schema_versions),
    ("GET", "/schemas/ids/{schema_id}/subjects", _schema_subjects),
    ("GET", "/subjects", _list_subjects),
    ("POST", "/subjects/{subject}", _look_up),
    ("DELETE", "/subjects/{subject}", _delete_subject),
    ("GET", "/subjects/{subject}/versions", _list_versions),
    ("POST", "/subjects/{subject}/versions", _register),
    ("GET", "/subjects/{subject}/versions/{version}", _get_version),
    ("DELETE", "/subjects/{subject}/versions/{version}", _delete_version),
    ("POST", "/compatibility/subjects/{subject}/versions", _check_all),
    ("POST", "/compatibility/subjects/{subject}/versions/{version}", _check_version),
    ("GET", "/config", _get_global_level),
    ("PUT", "/config", _set_global_level),
    ("GET", "/config/{subject}", _get_level),
    ("PUT", "/config/{subject}", _set_level),
)


def _error(status: int, error_code: int, message: str) -> Response:
    return RegistryResponse({"error_code": error_code, "message": message}, status_code=status)


async def _answer_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefusedError)
    return _error(error.status, error.error_code, error.detail)


async def _answer_store_error(request: Request, error: Exception) -> Response:
    _log.error("registry.store_failed", path=request.url.path, reason=str(error))
    return _error(500, _STORE_ERROR, f"Error in the backend data store: {error}")


async def _answer_malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    reasons = "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )
    return _error(422, 422, f"Unprocessable request: {reasons}")


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.status_code, f"HTTP {error.status_code} {error.detail}")
