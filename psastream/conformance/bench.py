"""A system under test: its source polls an account over sockets, and what it publishes is kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, SecretStr
from structlog.testing import capture_logs

from connectors.polled.bookmark import Batch, Bookmark, Change, Rejected
from connectors.polled.config import PolledConfig
from connectors.polled.ledger import Entry, Ledger
from connectors.polled.poller import ObjectPoller
from connectors.polled.source import PolledSource
from connectors.toolkit.config import parse_config
from psastream.conformance.server import DocumentedApi
from psastream.conformance.tapped import DocumentedTap
from schemas.errors import PsaStreamError, TransientError
from schemas.system import SystemBundle
from schemas.topics import Topic

_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
NOON: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)
PAGE: Final = 2
REQUESTS_MAX: Final = 150
"""Of one poll here, and for each row there is some more: the rest is asking for ever."""
REQUESTS_A_ROW: Final = 4
POLLS_MAX: Final = 8
POLL_MAX_S: Final = 86_400.0

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


class BrokenClauseError(Exception):
    """The system does not hold to a clause; the text says what was seen."""


@dataclass
class MemoryLog:
    """Keeps what was committed. `fails_at`: the number of the commit that fails."""

    batches: list[Batch] = field(default_factory=list)
    fails_at: int | None = None
    tried: int = 0

    async def commit(self, batch: Batch) -> None:
        """Keep a batch. Raises TransientError where this one is to fail."""
        self.tried += 1
        if self.tried == self.fails_at:
            raise TransientError("the broker is gone")
        self.batches.append(replace(batch, entries=dict(batch.entries)))

    @property
    def changes(self) -> list[Change]:
        """All changes, in order."""
        return [change for batch in self.batches for change in batch.changes]

    @property
    def rejected(self) -> list[Rejected]:
        """All rows dead-lettered, in order."""
        return [row for batch in self.batches for row in batch.rejected]

    def deleted(self) -> list[str]:
        """Ids of the rows told as deleted, in order."""
        return [change.row_id for change in self.changes if change.op == "d"]

    def state(self) -> dict[str, Mapping[str, object]]:
        """What a reader that keeps the last change of each row holds."""
        rows: dict[str, Mapping[str, object]] = {}
        for change in self.changes:
            if change.after is None:
                rows.pop(change.row_id, None)
            else:
                rows[change.row_id] = change.after
        return rows

    def stored(self) -> tuple[Bookmark | None, Ledger]:
        """Bookmark and ledger as a new process finds them, through their encoding."""
        entries: dict[str, Entry] = {}
        bookmark = None
        for batch in self.batches:
            bookmark = Bookmark.from_bytes(batch.bookmark.to_bytes())
            for row_id, entry in batch.entries.items():
                if entry is None:
                    entries.pop(row_id, None)
                else:
                    entries[row_id] = Entry.from_bytes(entry.to_bytes())
        return bookmark, Ledger(entries)


class Answering(Protocol):
    """Whatever answers requests."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        ...


@dataclass
class Network:
    """Stands between source and account: counts requests, and answers in the account's place.

    `fault` sees each request first; what it returns is the answer. `spared` is a path that it does
    not see, nor who counts. `elsewhere` counts what reached another host, whose address is `away`.
    """

    account: Answering | None = None
    fault: Fault | None = None
    spared: str | None = None
    asked: list[tuple[float, web.Request]] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    url: str = ""
    away: str = ""
    counted_from: int = 0
    asked_max: int = REQUESTS_MAX
    defect: Exception | None = None
    exhausted: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request at the account's address."""
        assert self.account is not None
        if request.path == self.spared:
            return await self.account.answer(request)
        self.asked.append((asyncio.get_running_loop().time(), request))
        if len(self.asked) - self.counted_from > self.asked_max:
            self.exhausted.set()
            await asyncio.sleep(POLL_MAX_S)
        try:
            if self.fault is not None:
                given = await self.fault(request)
                if given is not None:
                    return given
            return await self.account.answer(request)
        except Exception as error:
            self.defect = error
            raise

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Note a request at the other address."""
        self.elsewhere.append(request.path)
        return web.json_response({})


class Sample(BaseModel):
    """A row as the API tells it, and what is made of it: records by entity, or a refusal.

    `finds` are the columns of other rows that it looks up, by the name of the lookup; `takes` those
    that follow from where it was asked for, as the key of its parent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: dict[str, Any]
    finds: dict[str, dict[str, Any]] = {}
    takes: dict[str, Any] = {}
    makes: dict[str, dict[str, Any]] = {}
    refused: str | None = None


@dataclass(frozen=True)
class Subject:
    """What is tested: a system with the code that reads it, its connector file and its samples.

    `shape` turns a row as the API tells it into the fields of an object's contract. `tapped` makes
    the source of a simulated tap, where one is read.
    """

    system: SystemBundle
    source: type[PolledSource]
    document: Mapping[str, Any]
    environment: Mapping[str, str]
    make_account: Callable[[Callable[[], datetime]], DocumentedApi | DocumentedTap]
    shape: Callable[[str, object], object]
    samples: Mapping[str, Sequence[Sample]]
    tapped: Callable[[PolledConfig, DocumentedTap], PolledSource] | None = None


class Bench:
    """One object of a subject, an account with rows, and what its polls published."""

    def __init__(self, subject: Subject, obj: str, network: Network) -> None:
        self.subject = subject
        self.obj = obj
        self.network = network
        self.log = MemoryLog()
        self.errors: list[PsaStreamError] = []
        self.told: list[Mapping[str, Any]] = []
        self._skipped = timedelta()
        self._source: PolledSource | None = None
        self._poller: ObjectPoller | None = None
        self._keys: dict[str, object] = {}
        self._config: PolledConfig | None = None
        self.account = subject.make_account(self.now)

    @property
    def documented(self) -> Any:
        """What is documented of the object."""
        return self.account.documented(self.obj)

    @property
    def topic(self) -> Topic:
        """The topic of the object."""
        return self.subject.system.topics[self.obj]

    @property
    def paging(self) -> Any:
        """How pages of the object's first list follow."""
        return self.account.paging_of(self.obj)

    def now(self) -> datetime:
        """The time, of the vendor and of this host."""
        passed = timedelta(seconds=asyncio.get_running_loop().time())
        return NOON + self._skipped + passed

    def tick(self, **passed: float) -> None:
        """Let time pass."""
        self._skipped += timedelta(**passed)

    def tick_sweep(self) -> None:
        """Let the time to the next sweep pass."""
        self.tick(milliseconds=self.config.sweep_interval_ms + 1000)

    @property
    def config(self) -> PolledConfig:
        """The connector file, with what a clause sets."""
        if self._config is None:
            self._config = self._read_config()
        return self._config

    def _read_config(self) -> PolledConfig:
        document = {
            **self.subject.document,
            **({"auth.url": self.network.url} if "auth.url" in self.subject.document else {}),
            **({} if self.subject.tapped else {"url": self.network.url}),
            "object.include.list": self.obj,
            "page.size": PAGE,
            **self._keys,
        }
        return parse_config(
            document, self.subject.source.config_model, self.subject.environment, origin="source"
        )

    @property
    def secrets(self) -> set[str]:
        """What nobody but the vendor may see."""
        values = [getattr(self.config, name) for name in type(self.config).model_fields]
        secrets = {each.get_secret_value() for each in values if isinstance(each, SecretStr)}
        return secrets | self.account.secrets

    async def fresh(self, count: int, **keys: object) -> None:
        """Begin anew: an account of so many rows, nothing published. `keys`: of the connector."""
        await self.close()
        self._keys, self._config = keys, None
        self.log = MemoryLog()
        self.errors = []
        self.account = self.subject.make_account(self.now)
        self.network.account = self.account if isinstance(self.account, DocumentedApi) else None
        self.network.fault = None
        self.network.spared = None
        self.network.asked.clear()
        self.network.elsewhere.clear()
        self._prepare(self.obj)
        for number in range(count):
            self.tick(seconds=1)
            self.account.put(self.obj, self.key(number), f"text-{number}")
        self.tick(seconds=1)

    def spare_tokens(self) -> None:
        """Let tokens be had, whatever the lists answer: they may be given out elsewhere."""
        self.network.spared = self.account.token_path

    async def spread(self, count: int) -> None:
        """Begin anew with rows whose times of change lie further apart than what overlaps."""
        await self.fresh(0)
        for number in range(count):
            self.tick(seconds=2 * self.config.overlap.total_seconds())
            self.account.put(self.obj, self.key(number), f"text-{number}")

    def _prepare(self, obj: str) -> None:
        parent = self.account.documented(obj).parent
        if parent is not None:
            self._prepare(parent)
            self.account.put(parent, self.account.key_of(parent, 0))

    def key(self, number: int) -> str:
        """Return the id of the row of a number."""
        return self.account.key_of(self.obj, number)

    async def restart(self) -> None:
        """Begin a new process on what is kept."""
        await self.close()
        self._begin()

    def _begin(self) -> ObjectPoller:
        config = self.config
        if isinstance(self.account, DocumentedTap):
            assert self.subject.tapped is not None
            self._source = self.subject.tapped(config, self.account)
        else:
            self._source = self.subject.source.from_config(config, self.subject.system)
        bookmark, ledger = self.log.stored()
        contract = self.subject.system.contract(self.obj)
        self._poller = ObjectPoller(
            config,
            self.obj,
            self._source.reader(self.obj, contract),
            self.log,
            bookmark=bookmark,
            ledger=ledger,
            clock=self.now,
        )
        return self._poller

    async def poll(self) -> PsaStreamError | None:
        """Poll once; return the error that it ended by, if any.

        Raises BrokenClauseError where it asks without end.
        """
        poller = self._poller or self._begin()
        self.tick(seconds=1)
        error = None
        with self._logs():
            task = asyncio.ensure_future(poller.poll())
            await self._ended(task)
            try:
                task.result()
            except PsaStreamError as found:
                error = found
                self.errors.append(found)
            except Exception as found:
                raise BrokenClauseError(
                    f"a poll ended by {type(found).__name__}: {found}, which is no error of ours"
                ) from found
        return error

    async def poll_however(self) -> Exception | None:
        """Poll once; return what it ended by, whatever that is: another clause judges it."""
        try:
            return await self.poll()
        except BrokenClauseError as error:
            await self.close()
            return error

    async def _ended(self, task: asyncio.Future[bool]) -> None:
        """Wait for a poll. Raises BrokenClauseError where it asks, or waits, without end."""
        network = self.network
        network.counted_from = len(network.asked)
        network.asked_max = REQUESTS_MAX + REQUESTS_A_ROW * len(self.account.rows[self.obj])
        network.exhausted.clear()
        exhausted = asyncio.ensure_future(network.exhausted.wait())
        waited: set[asyncio.Future[Any]] = {task, exhausted}
        await asyncio.wait(waited, timeout=POLL_MAX_S, return_when=asyncio.FIRST_COMPLETED)
        exhausted.cancel()
        if network.defect is not None:
            raise RuntimeError("the simulated vendor has a defect") from network.defect
        if task.done():
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if network.exhausted.is_set():
            raise BrokenClauseError(f"asks without end: {network.asked_max} requests in one poll")
        raise BrokenClauseError("a poll does not end within a day")

    async def settle(self) -> None:
        """Poll until a poll is complete. Raises BrokenClauseError where none is."""
        error = None
        for _ in range(POLLS_MAX):
            error = await self.poll()
            if error is None:
                return
            self.tick(seconds=60)
        raise BrokenClauseError(f"no poll is complete: {error}")

    def held(self) -> dict[str, Mapping[str, object]]:
        """What is published of each row."""
        return self.log.state()

    def require_truth(self) -> None:
        """Raises BrokenClauseError unless what is published is what the account holds."""
        held, texts = self.held(), self.account.texts(self.obj)
        if lost := sorted(texts.keys() - held.keys()):
            raise BrokenClauseError(f"rows are lost: {', '.join(lost)}")
        if left := sorted(held.keys() - texts.keys()):
            raise BrokenClauseError(f"rows are still there, or never were: {', '.join(left)}")
        stale = sorted(key for key, text in texts.items() if not holds(held[key], text))
        if stale:
            raise BrokenClauseError(f"rows are not as they are at the vendor: {', '.join(stale)}")

    @contextmanager
    def _logs(self) -> Iterator[None]:
        with capture_logs() as told:
            try:
                yield
            finally:
                self.told += told

    async def close(self) -> None:
        """End the process."""
        if self._source is not None:
            await self._source.close()
        self._source = self._poller = None


def holds(values: Mapping[str, object], found: object) -> bool:
    """Whether some column, or part of one, is exactly a value."""
    return any(same(value, found) for value in flat(values))


def same(value: object, found: object) -> bool:
    """Whether a captured value is the one that was sent."""
    if isinstance(value, bool) or isinstance(found, bool):
        return value is found
    if isinstance(value, Decimal) and isinstance(found, str) and _NUMBER.fullmatch(found):
        return value == Decimal(found)
    return value == found or str(value) == str(found)


def flat(value: object) -> Iterator[object]:
    """Yield what columns hold, in lists and records too."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from flat(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from flat(inner)
    else:
        yield value
