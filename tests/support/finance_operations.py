"""The simulated Finance & Operations on a socket, its folder, and sinks and sources made of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from connectors.rest.source import RestConnectorConfig, RestSource
from connectors.systems import Systems
from connectors.toolkit.config import parse_config, read_document
from connectors.vendors.finance_operations.sink import FinanceOperationsSink
from psastream.system import Tried, tried_row
from sandbox.vendors.finance_operations.target import FinanceOperationsTarget
from schemas.system import SystemBundle
from tests.support.rest_api import ONCE
from tests.support.vendor_server import serving

FOLDER: Final = Path(__file__).parents[2] / "connectors" / "vendors" / "finance_operations"
COMPANY: Final = "DEMF"

Find = Callable[[Mapping[str, Any]], dict[str, Any]]
Spoil = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


async def _nothing(request: web.Request) -> web.StreamResponse | None:
    return None


@dataclass
class Twin:
    """The ERP with two companies, of which `companies` are written to.

    `spoil` sees each request first and may answer it.
    """

    target: FinanceOperationsTarget
    url: str
    spoil: Spoil = _nothing
    asked: list[tuple[str, str]] = field(default_factory=list)
    companies: str = COMPANY

    @property
    def environment(self) -> Mapping[str, str]:
        """What connector files name."""
        return {**self.target.environment, "FINANCE_OPERATIONS_COMPANIES": self.companies}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if not request.path.endswith("/token"):
            self.asked.append((request.method, request.path.rpartition("/")[2].partition("(")[0]))
        return await self.spoil(request) or await self.target.answer(request)

    async def add(self, entity_set: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Add a record as people do on a screen."""
        made = await self.target.admin("POST", f"/finance_operations/rows/{entity_set}", row)
        return dict(made)

    async def change(self, entity_set: str, row_id: str, changes: Mapping[str, Any]) -> None:
        """Change a record as people do on a screen."""
        await self.target.admin("PATCH", f"/finance_operations/rows/{entity_set}/{row_id}", changes)

    async def configure(self, **settings: object) -> None:
        """Change settings."""
        await self.target.admin("PATCH", "/finance_operations/settings", settings)

    async def rows(self, entity_set: str) -> list[dict[str, Any]]:
        """Return the records of a list, of all companies."""
        books = await self.target.admin("GET", "/books")
        return list(books["finance_operations"][entity_set])

    def sink(self, **keys: object) -> FinanceOperationsSink:
        """A sink that the connector file makes."""
        document = {**read_document(FOLDER / "sink.json"), "requests.per.second": 1000, **keys}
        model = FinanceOperationsSink.config_model
        sink = parse_config(document, model, self.environment, origin="sink").make_sink(
            lambda: None
        )
        assert isinstance(sink, FinanceOperationsSink)
        return sink

    def source(self, system: SystemBundle, **keys: object) -> RestSource:
        """A source that the connector file makes."""
        document = {**read_document(FOLDER / "source.json"), "requests.per.second": 1000, **keys}
        config = parse_config(document, RestConnectorConfig, self.environment, origin="source")
        assert isinstance(config, RestConnectorConfig)
        return RestSource(config, system, ONCE)

    async def captured(self, obj: str, **keys: object) -> list[dict[str, Any]]:
        """Return the rows of an object as they are captured, in the order they came."""
        system = read_system()
        source = self.source(system, **keys)
        try:
            reader = source.reader(obj, system.contract(obj))
            return [dict(row.values) async for page in reader.changes(None) for row in page.rows]
        finally:
            await source.close()

    async def mapped(
        self, obj: str, entity: str, find: Find = lambda row: {}
    ) -> list[dict[str, Any]]:
        """Return the canonical records that are made of the rows of an object.

        `find` returns what a row looks up, by lookup.
        """
        tried = await self.tried(obj, find)
        assert [each.refused for each in tried] == [None] * len(tried)
        return [each.records[entity] for each in tried]

    async def tried(self, obj: str, find: Find = lambda row: {}) -> list[Tried]:
        """Return what the mapping makes of the rows of an object."""
        system = read_system()
        [mapping] = [each for each in system.mappings if each.topic == f"src.{system.name}.{obj}"]
        rows = [dict(row) for row in await self.captured(obj)]
        sent = [_as_sent(row) | find(row) for row in rows]
        return [tried_row(mapping, system.contract(obj), row) for row in sent]


@lru_cache(maxsize=1)
def read_system() -> SystemBundle:
    """The system that the folder declares."""
    return Systems().read("finance_operations")


def _as_sent(row: Mapping[str, Any]) -> dict[str, Any]:
    """A captured row in the form of JSON: dates as texts."""
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }


@asynccontextmanager
async def finance_operations(directory: Path) -> AsyncIterator[Twin]:
    """The ERP, with keys in a directory."""
    twins: list[Twin] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        return await twins[0].answer(request)

    async with serving(answer) as url:
        target = FinanceOperationsTarget(url, directory)
        await target.prepare()
        twins.append(Twin(target, url))
        yield twins[0]
