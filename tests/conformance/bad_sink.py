"""A target of shelves and a sink on it with faults to choose from. Without a fault it is sound."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from aiohttp import web
from pydantic import SecretStr

from connectors.dispatch.commands import Command
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.lease import Check
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import ErrorPolicy, Fault, Meaning, VendorRejectedError, rule
from connectors.toolkit.http import VendorClient
from connectors.toolkit.vendor import Idempotency, Vendor
from schemas.commands import StaffProject
from schemas.errors import TransientError
from tests.conformance.bad_vendor import Token, write_visits

POLICY: Final = ErrorPolicy(
    "shelves",
    lambda body: [Fault(detail=str(body.get("why", "")))] if isinstance(body, dict) else [],
    (
        rule(201, Meaning.ACCEPTED, evidence="a test"),
        rule(404, Meaning.NOT_FOUND, evidence="a test"),
        rule(422, Meaning.REFUSED_RECORD, evidence="a test"),
    ),
)
NOT_THERE: Final = 404


class Shelves:
    """The target: `GET` and `PUT` of a shelf by name, `POST` of one more, whatever is there."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.environment: Mapping[str, str] = {"SHELVES_TOKEN": "t0ken"}
        self.shelves: list[tuple[str, Any]] = []
        self.written = 0

    async def prepare(self) -> None:
        """Nothing stands before."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer t0ken":
            return web.json_response({}, status=401)
        name = request.path.removeprefix("/shelves/")
        if not name:
            return web.json_response({"names": [shelf for shelf, _ in self.shelves]})
        held = next((body for shelf, body in self.shelves if shelf == name), None)
        if request.method == "GET":
            return web.json_response(held, status=200 if held else NOT_THERE)
        self.written += 1
        body = await request.json()
        if request.method == "PUT":
            self.shelves = [each for each in self.shelves if each[0] != name]
        self.shelves.append((name, body))
        return web.json_response(body, status=201)

    async def effects(self) -> int:
        return self.written

    async def records(self) -> Mapping[str, int]:
        return {"shelves": len(self.shelves)}


class ShelfConfig(SinkConfig):
    """The account's token."""

    faults: ClassVar[frozenset[str]] = frozenset()
    token: SecretStr

    def make_sink(self, check: Check) -> ShelfSink:
        client = VendorClient(
            self.url,
            Token(self.token.get_secret_value()),
            POLICY,
            user_agent="test",
            timeout_s=self.request_timeout_ms / 1000,
            limiter=self.make_limiter(check),
        )
        return ShelfSink(client, self.faults)


class ShelfSink:
    """Puts shelves."""

    config_model: ClassVar[type[SinkConfig]] = ShelfConfig

    def __init__(self, client: VendorClient, faults: Collection[str]) -> None:
        self._client = client
        self._faults = faults

    async def close(self) -> None:
        await self._client.close()

    async def execute(self, command: Command, known_id: str | None = None) -> Applied:
        method = "POST" if "makes one more" in self._faults else "PUT"
        try:
            answer = await self._client.request(
                method, self._path(command), json=command.content(), retry=False
            )
        except VendorRejectedError as error:
            if "says that it is down" in self._faults:
                raise TransientError("refused") from error
            raise
        except TransientError as error:
            if "hopes for the best" in self._faults:
                return Applied()
            if "says that nothing was done" in self._faults and error.outcome_unknown:
                raise TransientError("no answer") from error
            raise
        if answer.body is None:
            raise TransientError("nothing came", outcome_unknown=True)
        return Applied()

    async def look(self, command: Command, known_id: str | None = None) -> Applied | None:
        path, content = self._path(command), command.content()
        if "looks by writing" in self._faults:
            await self._client.request("PUT", f"{path}-seen", json=content, retry=False)
        answer = await self._client.request("GET", path, absent_ok=True, retry=False)
        if answer.status == NOT_THERE or "never looks" in self._faults:
            return None
        is_same = json.dumps(answer.body) == json.dumps(content)
        return Applied() if is_same or "looks at names alone" in self._faults else None

    async def newest(self) -> Mapping[str, Sequence[str]]:
        if "tells no newest" in self._faults:
            return {}
        answer = await self._client.request("GET", "/shelves/", retry=False)
        return {"shelf": [name.rpartition(":")[2] for name in reversed(answer.body["names"])]}

    def _path(self, command: Command) -> str:
        return f"/shelves/{command.natural_key}"


API: Final = """\
sink:
  server: tests.conformance.bad_sink:Shelves
  refusals: [{status: 422, body: {why: too heavy}, words: heavy}]
"""
ORDERS: Final = [
    {
        "kind": "upsert_project",
        "key": "visits:shelf:a",
        "content": {"project_id": "a", "name": "one"},
        "changed": {"project_id": "a", "name": "two"},
    }
]
SINK: Final = {
    "name": "shelves",
    "connector.class": "shelves",
    "target": "visits",
    "url": "http://127.0.0.1",
    "token": "${env:SHELVES_TOKEN}",
    "max.in.flight": 1,
    "settle.ms": 0,
}


def write_shelves(parent: Path) -> Path:
    """The folder of a system that is only written to."""
    folder = write_visits(parent)
    (folder / "conformance.yaml").write_text(API)
    (folder / "samples" / "commands.json").write_text(json.dumps(ORDERS))
    (folder / "sink.json").write_text(json.dumps(SINK))
    return folder


def vendor_with(*faults: str) -> Vendor:
    """The code of the system."""
    config = type("ShelfConfig", (ShelfConfig,), {"faults": frozenset(faults)})
    sink = type("ShelfSink", (ShelfSink,), {"config_model": config})
    return Vendor(sink=sink, commands={StaffProject: Idempotency.UPSERT})
