"""A simulated vendor in this process behind a socket, with the source of its folder on it.

Or with a client on it that nobody here wrote.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from connectors.polled.poller import ObjectPoller
from connectors.rest.source import RestSource
from connectors.systems import Systems
from connectors.toolkit.config import parse_config, read_document
from connectors.toolkit.http import RetrySettings
from sandbox.vendors.target import TwinTarget
from tests.support.polled import MemoryLog
from tests.support.taps import installed
from tests.support.vendor_server import serving

VENDORS: Final = Path(__file__).parents[2] / "connectors" / "vendors"
LED_DEADLINE_S: Final = 120
PATIENT: Final = RetrySettings(attempts=6, wait_initial_s=0, wait_max_s=0, wait_jitter_s=0)


def target_of(name: str) -> type[TwinTarget]:
    """Return a simulated vendor as a target that nothing is written to."""
    return type("ReadTarget", (TwinTarget,), {"vendor": name, "tables": {}})


@dataclass
class Twin:
    """The vendor, the source on it, and what its objects have published."""

    target: TwinTarget
    source: RestSource
    logs: dict[str, MemoryLog] = field(default_factory=dict)

    async def add(self, record_type: str, **row: Any) -> str:
        """Add a row as people do on a screen; return its id."""
        path = f"/{self.target.vendor}/rows/{record_type}"
        return str((await self.target.admin("POST", path, row))["id"])

    async def change(self, record_type: str, row_id: str, **changes: Any) -> None:
        """Change a row as people do on a screen."""
        path = f"/{self.target.vendor}/rows/{record_type}/{row_id}"
        await self.target.admin("PATCH", path, changes)

    async def remove(self, record_type: str, row_id: str) -> None:
        """Delete a row as people do on a screen."""
        await self.target.admin("DELETE", f"/{self.target.vendor}/rows/{record_type}/{row_id}")

    async def configure(self, **settings: object) -> None:
        """Change settings."""
        await self.target.admin("PATCH", f"/{self.target.vendor}/settings", settings)

    async def fail(self, kind: str, **rule: object) -> None:
        """Let requests fail."""
        await self.target.admin("POST", f"/{self.target.vendor}/faults", {"kind": kind, **rule})

    async def drawn(self) -> Mapping[str, int]:
        """How many requests met which fault."""
        found = await self.target.admin("GET", f"/{self.target.vendor}/faults")
        return dict(found["drawn"])

    async def poll(self, obj: str, times: int = 1) -> MemoryLog:
        """Poll an object so often, each time as a new process would."""
        log = self.logs.setdefault(obj, MemoryLog())
        for _ in range(times):
            bookmark, ledger = log.stored()
            await ObjectPoller(
                self.source.config,
                obj,
                self.source.reader(obj, self.source.system.contract(obj)),
                log,
                bookmark=bookmark,
                ledger=ledger,
                clock=lambda: datetime.now(UTC),
            ).poll()
        return log


@asynccontextmanager
async def served(name: str, directory: Path) -> AsyncIterator[TwinTarget]:
    """Serve a vendor on a port of its own, with its keys in a directory."""
    made: list[TwinTarget] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        return await made[0].answer(request)

    async with serving(answer) as url:
        made.append(target_of(name)(url, directory))
        await made[0].prepare()
        yield made[0]


@asynccontextmanager
async def twin_of(name: str, directory: Path, **keys: object) -> AsyncIterator[Twin]:
    """Serve a vendor, with the source of its `source.json` on it, but for some keys."""
    async with served(name, directory) as target:
        document = {
            **read_document(VENDORS / name / "source.json"),
            **{"url": target.url, "requests.per.second": None, "overlap.ms": 0},
            **{"sweep.interval.ms": 10, **keys},
        }
        found = parse_config(
            {key: value for key, value in document.items() if value is not None},
            RestSource.config_model,
            target.environment,
            origin=name,
        )
        source = RestSource(found, Systems().read(name), PATIENT)
        try:
            yield Twin(target, source)
        finally:
            await source.close()


async def led(client: str, script: str, *arguments: str) -> Any:
    """Run a script with a client that nobody here wrote, of `requirements/clients`.

    Returns what it printed, as JSON.
    """
    python = installed(client, "clients").with_name("python")
    process = await asyncio.create_subprocess_exec(
        str(python), "-c", script, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, log = await asyncio.wait_for(process.communicate(), LED_DEADLINE_S)
    assert process.returncode == 0, log.decode()[-3_000:]
    return json.loads(output)
