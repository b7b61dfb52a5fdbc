"""A sink under test: commands are carried out on a simulated target over sockets."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from connectors.dispatch.commands import Command
from connectors.dispatch.config import ConfiguredSink
from connectors.dispatch.sink import Applied, Sink
from connectors.toolkit.config import parse_config
from connectors.toolkit.vendor import Idempotency, Vendor
from psastream.conformance.bench import BrokenClauseError, Network
from psastream.conformance.documented import Written
from schemas.errors import PsaStreamError

T = TypeVar("T")


class Target(Protocol):
    """A simulated target, made with the address of its requests and a folder for keys."""

    url: str
    environment: Mapping[str, str]

    def __init__(self, url: str, directory: Path) -> None: ...

    async def prepare(self) -> None:
        """Set up what people have set up before a command comes."""
        ...

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        ...

    async def effects(self) -> int:
        """How many writes it carried out."""
        ...

    async def records(self) -> Mapping[str, int]:
        """How many records it holds, by type."""
        ...


class Order(BaseModel):
    """A sample command: its content, and another content of the same record, if there can be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    key: str
    content: dict[str, Any]
    changed: dict[str, Any] | None = None


@dataclass(frozen=True)
class SinkSubject:
    """What is tested: the code that writes, its connector file and sample commands, in order."""

    system: str
    vendor: Vendor
    sink: type[ConfiguredSink]
    document: Mapping[str, Any]
    orders: Sequence[Order]
    written: Written
    make_target: Callable[[str, Path], Target]


@dataclass
class SinkBench:
    """One sample command, a target that holds what came before it, and a sink."""

    subject: SinkSubject
    order: Order
    network: Network
    directory: Path
    told: list[str] = field(default_factory=list)
    _sink: Sink | None = None
    _target: Target | None = None

    @property
    def sink(self) -> Sink:
        """The sink."""
        assert self._sink is not None
        return self._sink

    @property
    def target(self) -> Target:
        """The target."""
        assert self._target is not None
        return self._target

    async def fresh(self) -> None:
        """Begin anew: a target that holds what the orders before this one say."""
        await self.close()
        self.network.fault = None
        self._target = self.subject.make_target(self.network.url, self.directory)
        self.network.account = self._target
        await self._target.prepare()
        self.restart()
        for order in self.subject.orders:
            if order is self.order:
                break
            await self.sink.execute(self._command(order, 1, order.content), None)
        self.network.asked.clear()
        self.network.elsewhere.clear()

    def restart(self) -> None:
        """Make another sink on the same target."""
        document = {**self.subject.document, "url": self.target.url}
        config = parse_config(
            document, self.subject.sink.config_model, self.target.environment, origin="sink"
        )
        self._sink = config.make_sink(lambda: None)

    def command(self, revision: int = 1) -> Command:
        """Return the sample command; of revision 2 it says something else."""
        changed = self.order.changed if revision == 2 else None
        return self._command(self.order, revision, changed or self.order.content)

    def _command(self, order: Order, revision: int, content: Mapping[str, Any]) -> Command:
        return Command(
            command_id=f"{order.key}#{revision}",
            target=self.subject.system,
            kind=order.kind,
            natural_key=order.key,
            revision=revision,
            payload=json.dumps(content, default=_text),
            origin_key=order.key,
        )

    async def execute(self, revision: int = 1) -> Applied | PsaStreamError:
        """Carry the command out once; return what came of it."""
        return await self._tried(self.sink.execute(self.command(revision), None))

    async def look(self, revision: int = 1) -> Applied | PsaStreamError | None:
        """Look for what the command says."""
        return await self._tried(self.sink.look(self.command(revision), None))

    @property
    def changes_only(self) -> bool:
        """Whether the command makes no record."""
        kinds = {content.kind: why for content, why in self.subject.vendor.commands.items()}
        return kinds.get(self.order.kind) is Idempotency.CHANGE

    async def newest(self) -> Mapping[str, Sequence[str]]:
        """Ask for the newest records. Raises BrokenClauseError where it is told none."""
        came = await self._tried(self.sink.newest())
        if isinstance(came, PsaStreamError):
            raise BrokenClauseError(f"the newest records are not told: {came!r}")
        return came

    async def _tried(self, work: Awaitable[T]) -> T | PsaStreamError:
        try:
            return await work
        except PsaStreamError as error:
            self.told.append(f"{error} {error!r} {error.context}")
            return error
        except Exception as error:
            raise BrokenClauseError(
                f"it ends by {type(error).__name__}: {error}, which is no error of ours"
            ) from error

    async def require_done(self, revision: int = 1) -> Applied:
        """Carry the command out, and return what it was. Raises BrokenClauseError."""
        applied = await self.execute(revision)
        if not isinstance(applied, Applied):
            raise BrokenClauseError(f"a sound command is not carried out: {applied!r}")
        return applied

    async def require_shown(self, revision: int = 1) -> None:
        """Raises BrokenClauseError unless the target is seen to hold what the command says."""
        seen = await self.look(revision)
        if not isinstance(seen, Applied) or seen.differs:
            raise BrokenClauseError(f"what was carried out is not seen: {seen!r}")

    async def close(self) -> None:
        """End the sink."""
        if self._sink is not None:
            await self._sink.close()
        self._sink = None


def _text(value: object) -> str:
    assert isinstance(value, Decimal)
    return format(value, "f")
