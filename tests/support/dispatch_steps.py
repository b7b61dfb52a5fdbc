"""Dispatchers of one desire, and what may happen at each step that one of them waits at.

Real: sessions, executors, journal and leases. Simulated, in virtual time: the topics, a vendor that
holds records by their key, and whoever disturbs. A step is an await: before a record is durable and
before it is acknowledged, before a call of the vendor, before it has its effect, before its answer.
A plan says what happens at which step, in whatever process is at work then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import Command, Problem
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.exceptions import warning_id
from connectors.dispatch.intake import Delivery, Withdrawal
from connectors.dispatch.journal import (
    EXCEPTIONS,
    INTENTS,
    RESULTS,
    KafkaJournal,
    last_exceptions,
    memory_of,
)
from connectors.dispatch.lease import Lease
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.pace import DAY_S
from connectors.dispatch.refusals import RetryRequest
from connectors.dispatch.session import Session, Target, doubtful
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import (
    Fault,
    Reason,
    UnclearAnswerError,
    VendorRejectedError,
    VendorUnavailableError,
)
from tests.support.sinks import make_command, no_answer
from tests.support.virtual_time import now

KEY: Final = "netsuite:project:a"
OTHER: Final = "netsuite:project:other"
"""Refused as long as anything is, so that what comes after it is held back."""
PLACE: Final = ("psa.command.netsuite", 0)
SESSION_S: Final = 15.0
BEAT_S: Final = 3.0
QUIET_S: Final = 200.0
"""Longer than an heir waits for an attempt that may still land."""
JUMP: Final = timedelta(days=200)
CONFIG: Final = SinkConfig.model_validate(
    {
        "name": "erp-sink",
        "connector.class": "ErpSink",
        "target": "netsuite",
        "url": "http://127.0.0.1",
        "max.in.flight": 2,
        "request.timeout.ms": 30_000,
        "settle.ms": 5_000,
    }
)


class Event(StrEnum):
    """What happens while a process waits at a step."""

    ORDER = "a newer revision comes"
    WITHDRAW = "the desire is withdrawn"
    REFUSE = "the vendor begins to refuse"
    CURE = "the vendor ends to refuse"
    FAIL = "the call fails, whatever has come of it"
    ASK = "a person asks for another trial"
    DOUBLE = "a person doubles the record"
    TIDY = "a person tidies up"
    CRASH = "the process is killed"
    CRASH_LATE = "the process is killed, and what it sent comes after its heir has begun"
    FREEZE = "the process stands still until its heir works"
    FREEZE_LONG = "the process stands still until its heir has done all"
    UNCLEAR = "the vendor begins to answer in a way that nobody understands"
    CLEAR = "it ends to"
    DOWN = "the vendor goes down"
    UP = "it comes back"
    COMPACT = "the topic of commands is compacted"
    AHEAD = "the clock jumps ahead by months"
    BACK = "the clock jumps back by months"
    LEASE = "nobody knows for a while whose the partition is"


SWITCHES: Final = {
    Event.REFUSE: ("refuses", True),
    Event.CURE: ("refuses", False),
    Event.UNCLEAR: ("is_unclear", True),
    Event.CLEAR: ("is_unclear", False),
    Event.DOWN: ("is_down", True),
    Event.UP: ("is_down", False),
}
"""What an event makes of the vendor."""

Plan = Sequence[tuple[int, Event]]
"""Steps from one event to the next, and the event."""


@dataclass
class Ending:
    """How the world stands, while the vendor still refuses what it refused last, and at the end."""

    wanted: Command | None
    is_refused: bool
    open_while_refused: set[str]
    open_at_last: set[str]
    is_warned: bool
    held_while_refused: list[str]
    held: list[str]
    made: int
    results: list[Mapping[str, Any]]
    unwanted_writes: list[int]
    committed: int
    orders: int


class World:
    """The topics, the vendor and the processes."""

    def __init__(self, plan: Plan, *, refuses: bool) -> None:
        self.refuses = refuses
        self.is_unclear = False
        self.is_down = False
        self.ahead = timedelta()
        self.log: list[Command | Withdrawal | None] = []
        self.committed = 0
        self.topics: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self.held: list[str] = []  # payloads of the records of the key, the eldest first
        self.made = 0
        self.is_warned = False  # somebody was told since the record was doubled
        self.unwanted_writes: list[int] = []
        self.process: Process | None = None
        self.processes: list[Process] = []
        self._heirs: list[asyncio.Task[None]] = []
        self._at = 0
        self._plan: dict[int, list[Event]] = {}
        step = 0
        for gap, event in plan:
            step += gap
            self._plan.setdefault(step, []).append(event)

    def now(self) -> datetime:
        """The wall clock of every process."""
        return now() + self.ahead

    def compact(self) -> None:
        """Keep the last record of the key."""
        mine = [at for at, it in enumerate(self.log) if it and it.natural_key == KEY]
        for at in mine[:-1]:
            self.log[at] = None

    def land(self, topic: str, key: str, record: dict[str, Any]) -> None:
        self.topics.setdefault(topic, []).append((key, record))
        if key == warning_id(make_command(KEY)) and record["status"] == "open":
            self.is_warned = self.is_warned or len(self.held) > 1

    def open_exceptions(self) -> set[str]:
        told = [(key.encode(), row) for key, row in self.topics.get(EXCEPTIONS, ())]
        return {row["exception_id"] for row in last_exceptions(told)[0] if row["status"] == "open"}

    def order(self, content: Command | Withdrawal) -> None:
        self.log.append(content)
        if self.process is not None:
            self.process.take()

    def begin(self, *, is_calm: bool = False) -> None:
        """Begin a process; where all is calm, nobody needs to look at its lease so often."""
        self.process = Process(self, *((2 * DAY_S, 3_600.0) if is_calm else (SESSION_S, BEAT_S)))
        self.processes.append(self.process)

    def happens_next(self) -> list[Event]:
        events = self._plan.pop(self._at, [])
        self._at += 1
        return events

    @property
    def is_over(self) -> bool:
        return not self._plan

    def end(self) -> None:
        """Let nothing more happen."""
        self._plan.clear()

    def play(self, event: Event, process: Process) -> None:
        """Let an event happen that concerns no call."""
        if event in SWITCHES:
            name, value = SWITCHES[event]
            setattr(self, name, value)
            return
        match event:
            case Event.ORDER:
                self.order(make_command(KEY, revision=len(self.log) + 1))
            case Event.WITHDRAW:
                self.order(Withdrawal(KEY, len(self.log) + 1))
            case Event.COMPACT:
                self.compact()
            case Event.AHEAD | Event.BACK:
                self.ahead += JUMP if event is Event.AHEAD else -JUMP
            case Event.ASK if self.process is not None:
                self.process.hear()
            case Event.DOUBLE if len(self.held) == 1:
                self.held.append("by hand")
            case Event.TIDY:
                self.tidy()
            case Event.CRASH | Event.CRASH_LATE:
                process.kill()
                self._hand_over(process)
            case Event.FREEZE:
                process.freeze(SESSION_S + 5)
                self._hand_over(process)
            case Event.FREEZE_LONG:
                process.freeze(SESSION_S + QUIET_S)
                self._hand_over(process)
            case Event.LEASE:
                process.lease.end()

    def tidy(self) -> None:
        del self.held[1:]
        self.is_warned = False

    def _hand_over(self, process: Process) -> None:
        if self.process is process:
            self.process = None
            heir = asyncio.get_running_loop().create_task(self._begin_later())
            self._heirs.append(heir)

    async def _begin_later(self) -> None:
        await asyncio.sleep(SESSION_S)
        self.begin()

    async def all_gone(self) -> None:
        """Wait until only the last process is left."""
        for process in self.processes[:-1]:
            await process.gone()


class Process:
    """A dispatcher: the part of `Dispatcher` around a session, without its consumer."""

    def __init__(self, world: World, session_s: float, beat_s: float) -> None:
        self._world = world
        self._beat_s = beat_s
        self.lease = Lease(session_s, clock=asyncio.get_running_loop().time)
        self._position = world.committed
        self._frozen_until_s = 0.0
        self._is_dead = False
        self._session: Session | None = None
        self._stop = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def take(self) -> None:
        """Accept what is new in the log."""
        if self._session is None or self._stop.is_set():
            return
        for offset in range(self._position, len(self._world.log)):
            self._position = offset + 1
            self._session.accept(Delivery(*PLACE, offset, self._world.log[offset]))

    def hear(self) -> None:
        if self._session is not None and not self._stop.is_set():
            self._session.hear(RetryRequest())

    def kill(self) -> None:
        self._is_dead = True
        self._stop.set()
        self._task.cancel()

    def freeze(self, seconds: float) -> None:
        self._frozen_until_s = asyncio.get_running_loop().time() + seconds
        self._stop.set()  # what it learns first once it goes on

    async def step(self, late: Sequence[Any] = ()) -> bool:
        """Wait, let happen what happens meanwhile; return whether the call fails.

        `late` is the record that is under way, if one is.
        """
        await asyncio.sleep(0.01)
        events = self._world.happens_next()
        for event in events:
            self._world.play(event, self)
            if event is Event.CRASH_LATE and late:
                loop = asyncio.get_running_loop()
                loop.call_later(SESSION_S + QUIET_S, self._world.land, *late)
        if self._is_dead:
            await asyncio.sleep(3_600)  # it is cancelled
        left_s = self._frozen_until_s - asyncio.get_running_loop().time()
        if left_s > 0:
            await asyncio.sleep(left_s)
        return Event.FAIL in events

    async def publish(self, topic: str, key: str, record: Mapping[str, Any]) -> None:
        """What the journal calls."""
        if key.endswith(OTHER):
            await asyncio.sleep(0.01)
            if not self._is_dead:
                self._world.land(topic, key, dict(record))
            return
        await self.step((topic, key, dict(record)))
        self._world.land(topic, key, dict(record))
        await self.step()

    async def execute(self, command: Command, _known_id: str | None) -> Applied:
        """Make the record, or change it."""
        world = self._world
        if command.natural_key == OTHER:
            self._fail()
            self._refuse()
            return Applied("2")
        if command.revision < self._position:  # a newer order is known
            world.unwanted_writes.append(command.revision)
        if await self.step():
            raise VendorUnavailableError("busy", outcome_unknown=False, context={})
        self.lease.check()
        self._fail()
        self._refuse()
        is_there = bool(world.held)
        if await self.step():
            raise no_answer()
        self.lease.check()
        if is_there and world.held:
            world.held[0] = command.payload
        else:
            world.held.append(command.payload)
            world.made += 1
        if await self.step():
            raise no_answer()
        return self._applied()

    async def look(self, command: Command, _known_id: str | None) -> Applied | None:
        """Compare the record with a command."""
        if command.natural_key == OTHER:
            return None
        if await self.step() or self._world.is_down:
            raise VendorUnavailableError("busy", outcome_unknown=False, context={})
        self.lease.check()
        is_same = self._world.held[:1] == [command.payload]
        applied = self._applied(differs=not is_same)
        await self.step()
        return applied if is_same or applied.warning else None

    async def newest(self) -> dict[str, list[str]]:
        """Whoever made it has announced it."""
        _, noun, identity = KEY.split(":")
        return {noun: [identity]} if self._world.held else {}

    async def close(self) -> None:
        """Nothing to release."""

    def _fail(self) -> None:
        if self._world.is_down:
            raise VendorUnavailableError("busy", outcome_unknown=False, context={})
        if self._world.is_unclear:
            context: dict[str, Any] = {"status": 400, "vendor_code": "SCRIPT"}
            raise UnclearAnswerError(
                "400", outcome_unknown=False, context=context, is_in_words=True
            )

    def _refuse(self) -> None:
        if self._world.refuses:
            raise VendorRejectedError(
                403, [Fault("NO_RIGHT", "no")], context={}, reason=Reason.PERMISSION
            )

    def _applied(self, *, differs: bool = False) -> Applied:
        is_doubled = len(self._world.held) > 1
        left = Problem("DOUBLED", "two records", reason=Reason.LEFTOVER) if is_doubled else None
        return Applied("1", left, differs=differs)

    async def _run(self) -> None:
        world, metrics = self._world, DispatchMetrics(CollectorRegistry())
        memory = memory_of(
            [row for _, row in world.topics.get(RESULTS, ())],
            [row for _, row in world.topics.get(INTENTS, ())],
            [(key.encode(), row) for key, row in world.topics.get(EXCEPTIONS, ())],
        )
        journal = KafkaJournal(
            self,  # type: ignore[arg-type]  # the one method it calls
            memory.exceptions,
            metrics,
            doubtful=doubtful(memory),
            now=world.now,
        )
        async with asyncio.TaskGroup() as group:
            self.lease.proven(asyncio.get_running_loop().time())
            await journal.tell_again(memory.overtaken)
            if self._stop.is_set():
                return
            self._session = session = Session(
                {"netsuite": Target(CONFIG, self)},
                memory,
                journal,
                metrics=metrics,
                spawn=group.create_task,
                check=self.lease.check,
                now=world.now,
            )
            while not self._stop.is_set():
                self.lease.proven(asyncio.get_running_loop().time())
                self.take()
                self._commit(session)
                await asyncio.sleep(self._beat_s)
                left_s = self._frozen_until_s - asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, left_s))
            await session.drain(20.0)
            if self.lease.is_held:
                self._commit(session)
            self.lease.end()

    def _commit(self, session: Session) -> None:
        for place, offset in session.offsets.committable():
            self._world.committed = max(self._world.committed, offset)
            session.offsets.committed(place, offset)

    async def hand_over(self) -> None:
        self._stop.set()
        await self.gone()

    async def gone(self) -> None:
        """Wait until nothing of it goes on. Raises what it failed of."""
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()


async def play(plan: Plan, *, refuses: bool = False, is_asked: bool = True) -> Ending:
    """Order, let happen what is planned; then all is calm, and at last nothing is refused.

    Where nobody `is_asked`, that takes days: only pauses end.
    """
    world = World(plan, refuses=refuses)
    world.begin()
    world.order(make_command(OTHER))
    await asyncio.sleep(1)
    world.order(make_command(KEY, revision=2))
    for _ in range(4):  # steps that never come are no steps
        await asyncio.sleep(QUIET_S)
        if world.is_over:
            break
        if world.process is not None and is_asked:
            world.process.hear()
    world.end()
    await asyncio.sleep(2 * QUIET_S)
    await world.all_gone()
    assert world.process is not None
    await world.process.hand_over()
    world.is_down = False
    world.begin(is_calm=True)
    await _calm(world, is_asked)
    last = world.log[-1]
    wanted = last if isinstance(last, Command) else None
    is_met = wanted is None or world.held[:1] == [wanted.payload]
    is_refused = (world.refuses or world.is_unclear) and not is_met
    open_while_refused, held_while_refused = world.open_exceptions(), list(world.held)
    is_warned = world.is_warned
    world.refuses = world.is_unclear = False
    world.tidy()
    await _calm(world, is_asked)
    await world.process.hand_over()
    return Ending(
        wanted, is_refused, open_while_refused, world.open_exceptions(), is_warned,
        held_while_refused, list(world.held), world.made,
        [row for _, row in world.topics.get(RESULTS, ())],
        world.unwanted_writes, world.committed, len(world.log),
    )  # fmt: skip


async def _calm(world: World, is_asked: bool) -> None:
    for _ in range(2):
        await asyncio.sleep(QUIET_S if is_asked else DAY_S)
        assert world.process is not None
        if is_asked:
            world.process.hear()
    await asyncio.sleep(QUIET_S)
