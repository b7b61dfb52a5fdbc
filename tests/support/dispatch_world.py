"""Dispatchers of one target in virtual time: what they write, the vendor, and what disturbs them.

Real: sessions, executors, journal, leases and the sink. Simulated: the broker (records become
durable after a while, whatever becomes of who wrote them), the group's coordinator, and a vendor
whose list lags behind its writes, whose writes may land after its client stopped waiting, and who
refuses by rules that come and go. A process is killed, hands over in order, or stands still for
longer than its session: then its heir works while it does, until it goes on. A person stops the
target and starts it again.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import Command
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.decisions import Decision, Stops, Verb
from connectors.dispatch.intake import Delivery, Withdrawal
from connectors.dispatch.journal import EXCEPTIONS, INTENTS, RESULTS, KafkaJournal, memory_of
from connectors.dispatch.lease import Lease
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.session import Session, Target, doubtful
from connectors.toolkit.faults import Fault, Reason, VendorRejectedError, VendorUnavailableError
from connectors.toolkit.http import Response
from connectors.vendors.float.sink import PROJECTS, FloatSink
from tests.support.commands import project_content
from tests.support.virtual_time import now

SESSION_S: Final = 15.0
RENEW_S: Final = 3.0
DRAIN_S: Final = 20.0
LAG_S: Final = 8.0
ATTEMPT_S: Final = 30.0
PLACE: Final = ("psa.command.float", 0)
CONFIG: Final = SinkConfig.model_validate(
    {
        "name": "float-sink",
        "connector.class": "FloatSink",
        "target": "float",
        "url": "http://127.0.0.1",
        "max.in.flight": 2,
        "request.timeout.ms": int(ATTEMPT_S * 1000),
        "settle.ms": 10_000,
    }
)

WRITES: Final = ("fine", "fine", "slow", "slow", "lost", "busy", "unclear")
"""Fates of a write: slow is carried out when nobody waits any more, lost is not."""
NAMES: Final = tuple(f"eng-{name * 12}-de" for name in "abc")
ENDS: Final = ("kill", "freeze", "hand over")


def plan(name: str, revision: int) -> Command:
    """Return an order of a project."""
    key = f"float:project:{name}"
    content = project_content(name, f"{name} {revision}")
    return Command(
        f"{key}#{revision}", "float", "upsert_project", key, revision, json.dumps(content), key
    )


@dataclass
class Broker:
    """The command topic and the journal's topics."""

    chance: random.Random
    log: list[Command | Withdrawal] = field(default_factory=list)
    committed: int = 0
    topics: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    stops: Stops = field(default_factory=Stops)
    stopped_at_s: float | None = None

    def decide(self, *, is_stopped: bool) -> None:
        """A person stops the target, or starts it."""
        self.stops.take(Decision(Verb.STOPPED if is_stopped else Verb.STARTED, "float"))
        at_s = asyncio.get_running_loop().time()
        self.stopped_at_s = (self.stopped_at_s or at_s) if is_stopped else None

    def is_silent(self) -> bool:
        """Whether the target was stopped so long ago that no call of then is under way."""
        if self.stopped_at_s is None:
            return False
        return asyncio.get_running_loop().time() > self.stopped_at_s + ATTEMPT_S

    async def publish(self, topic: str, key: str, record: Mapping[str, Any]) -> None:
        """Make a record durable; a writer that is killed meanwhile never learns whether."""
        self.topics.setdefault(topic, []).append((key, dict(record)))
        await asyncio.sleep(self.chance.uniform(0.001, 0.05))

    def rows(self, topic: str) -> dict[str, dict[str, Any]]:
        """The last record of each key."""
        return dict(self.topics.get(topic, ()))

    def open_exceptions(self) -> set[str]:
        """Names of the projects an exception is open for."""
        rows = self.rows(EXCEPTIONS).values()
        return {str(row["natural_key"])[14:] for row in rows if row["status"] == "open"}


class Vendor:
    """Projects by id, and a list by code that shows them late."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._rows: dict[int, dict[str, Any]] = {}
        self._listed_at_s: dict[int, float] = {}
        self._landing: set[asyncio.Task[None]] = set()
        self.refuses: set[str] = set()
        self.created: Counter[str] = Counter()
        self.asked_while_stopped: list[str] = []
        self.is_calm = False

    def held(self) -> dict[str, str]:
        """Name by code."""
        return {row["project_code"]: row["name"] for row in self._rows.values()}

    async def read(self, path: str, params: Mapping[str, str] | None) -> Response:
        """Answer a list or a project."""
        await asyncio.sleep(self._chance.uniform(0.01, 0.5))
        if not self.is_calm and self._chance.random() < 0.1:
            raise VendorUnavailableError("not now", outcome_unknown=False, context={})
        if params is None:
            row = self._rows.get(int(path.rpartition("/")[2]))
            return Response(404 if row is None else 200, {}, row)
        at_s = asyncio.get_running_loop().time()
        found = [
            row
            for project_id, row in self._rows.items()
            if params.get("project_code") in (None, row["project_code"])
            and self._listed_at_s[project_id] <= at_s
        ]
        return Response(200, {"X-Pagination-Page-Count": "1"}, found)

    async def write(self, path: str, body: Mapping[str, Any]) -> Response:
        """Carry a write out, or not, or later."""
        fate = "fine" if self.is_calm else self._chance.choice(WRITES)
        await asyncio.sleep(self._chance.uniform(0.01, 0.5))
        if body["project_code"] in self.refuses:
            raise VendorRejectedError(
                422, [Fault(None, "no")], context={}, reason=Reason.PERMISSION
            )
        match fate:
            case "fine":
                return self._carry_out(path, body)
            case "busy":
                raise VendorUnavailableError("busy", outcome_unknown=False, context={})
            case "lost":
                raise VendorUnavailableError("no answer", outcome_unknown=True, context={})
            case "unclear":
                self._carry_out(path, body)
                raise VendorUnavailableError("no answer", outcome_unknown=True, context={})
        delay_s = self._chance.uniform(0, ATTEMPT_S)
        task = asyncio.get_running_loop().create_task(self._land(delay_s, path, body))
        self._landing.add(task)
        task.add_done_callback(self._landing.discard)
        await asyncio.sleep(2 * ATTEMPT_S)
        raise AssertionError("nobody waits so long")

    async def _land(self, delay_s: float, path: str, body: Mapping[str, Any]) -> None:
        await asyncio.sleep(delay_s)
        self._carry_out(path, body)

    def _carry_out(self, path: str, body: Mapping[str, Any]) -> Response:
        if path == PROJECTS:
            project_id = len(self._rows) + 1
            self._rows[project_id] = {"project_id": project_id, **body}
            at_s = asyncio.get_running_loop().time()
            self._listed_at_s[project_id] = at_s + self._chance.uniform(0, LAG_S)
            self.created[body["project_code"]] += 1
            return Response(201, {}, self._rows[project_id])
        project_id = int(path.rpartition("/")[2])
        self._rows[project_id] |= body
        return Response(200, {}, self._rows[project_id])


class Process:
    """One dispatcher: the part of `Dispatcher` around a session, without its consumer."""

    def __init__(
        self,
        broker: Broker,
        vendor: Vendor,
        *,
        session_s: float = SESSION_S,
        beat_s: float = RENEW_S,
    ) -> None:
        self._beat_s = beat_s
        self._broker = broker
        self._vendor = vendor
        self._frozen_until_s = 0.0
        self.lease = Lease(session_s, clock=asyncio.get_running_loop().time)
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._stop = asyncio.Event()
        self._session: Session | None = None

    def obey(self) -> None:
        """Hear what a person has decided."""
        if self._session is not None and not self._stop.is_set():
            self._session.stop(self._broker.stops)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Response:
        """What the sink calls: as in `LeasedLimiter`, the lease is checked as it is sent."""
        await self._stand_still()
        self.lease.check()
        if self._broker.is_silent():
            self._vendor.asked_while_stopped.append(path)
        answer = (
            await self._vendor.read(path, params)
            if json is None
            else await self._vendor.write(path, json)
        )
        await self._stand_still()
        return answer

    async def publish(self, topic: str, key: str, record: Mapping[str, Any]) -> None:
        """What the journal calls."""
        await self._broker.publish(topic, key, record)
        await self._stand_still()

    async def _stand_still(self) -> None:
        left_s = self._frozen_until_s - asyncio.get_running_loop().time()
        if left_s > 0:
            await asyncio.sleep(left_s)

    async def _run(self) -> None:
        broker, metrics = self._broker, DispatchMetrics(CollectorRegistry())
        memory = memory_of(
            [row for _, row in broker.topics.get(RESULTS, ())],
            broker.rows(INTENTS).values(),
            [(key.encode(), row) for key, row in broker.topics.get(EXCEPTIONS, ())],
        )
        journal = KafkaJournal(
            self,  # type: ignore[arg-type]  # the one method it calls
            memory.exceptions,
            metrics,
            doubtful=doubtful(memory),
            now=now,
        )
        await journal.tell_again(memory.overtaken)
        sink = FloatSink(self)  # type: ignore[arg-type]  # the one method it calls
        async with asyncio.TaskGroup() as group:
            self.lease.proven(asyncio.get_running_loop().time())
            self._session = session = Session(
                {"float": Target(CONFIG, sink)},
                memory,
                journal,
                metrics=metrics,
                spawn=group.create_task,
                check=self.lease.check,
                now=now,
                stops=broker.stops,
            )
            position = broker.committed
            while not self._stop.is_set():
                await self._stand_still()
                if self._stop.is_set():
                    break
                self.lease.proven(asyncio.get_running_loop().time())
                for offset in range(position, len(broker.log)):
                    session.accept(Delivery(*PLACE, offset, broker.log[offset]))
                position = len(broker.log)
                self._commit(session)
                await asyncio.sleep(self._beat_s)
            await session.drain(DRAIN_S)
            if self.lease.is_held:
                self._commit(session)
            self.lease.end()

    def _commit(self, session: Session) -> None:
        for place, offset in session.offsets.committable():
            self._broker.committed = max(self._broker.committed, offset)
            session.offsets.committed(place, offset)

    async def end(self, how: str, freeze_s: float) -> None:
        """End it, and return when its heir may begin."""
        match how:
            case "kill":
                self._task.cancel()
                await asyncio.sleep(SESSION_S)
            case "freeze":
                self._frozen_until_s = asyncio.get_running_loop().time() + SESSION_S + freeze_s
                self._stop.set()  # what it learns first once it goes on
                await asyncio.sleep(SESSION_S)
            case _:
                self._stop.set()
                await self.gone()

    async def gone(self) -> None:
        """Wait until nothing of it goes on. Raises what it failed of."""
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()


@dataclass(frozen=True)
class Era:
    """What happens while one process owns the partition, and how it ends."""

    orders: Sequence[str]  # names of projects; a "-" before one withdraws it
    pause_s: float
    refuses: frozenset[str]
    end: str
    freeze_s: float
    is_stopped: bool = False  # from before its orders on


@dataclass
class Ending:
    """How the world stands."""

    wanted: dict[str, str]  # name by code
    withdrawn: set[str]
    refused: set[str]  # codes whose last wish was refused when everything was calm
    open_while_refused: set[str]
    open_at_last: set[str]
    held_while_refused: dict[str, str]
    held: dict[str, str]
    created: Counter[str]
    committed: int
    orders: int
    asked_while_stopped: list[str]


def make_eras(chance: random.Random) -> list[Era]:
    """Draw some eras; names come back in several of them, most ends come in the middle of work."""
    return [
        Era(
            [
                chance.choice(("", "", "-")) + chance.choice(NAMES)
                for _ in range(chance.randint(1, 4))
            ],
            chance.choice((0.0, 0.5, 0.5, 3.0, 40.0)),
            _some(chance),
            chance.choice(ENDS),
            chance.uniform(0.5, 60.0),
        )
        for _ in range(chance.randint(1, 4))
    ]


def _some(chance: random.Random) -> frozenset[str]:
    return frozenset(name for name in NAMES if chance.random() < 0.4)


async def live(seed: int) -> Ending:
    """Play some eras, let everything calm down, then end all refusals."""
    chance, mood = random.Random(seed), random.Random(-seed - 1)
    eras, refuses_at_last = make_eras(chance), _some(chance)
    eras = [replace(era, is_stopped=mood.random() < 0.3) for era in eras]
    broker, vendor = Broker(chance), Vendor(chance)
    wanted: dict[str, str] = {}
    withdrawn: set[str] = set()
    revision = 0
    processes = []
    for era in eras:
        process = Process(broker, vendor)
        processes.append(process)
        vendor.refuses = set(era.refuses)
        await asyncio.sleep(mood.uniform(0.0, 1.0))
        broker.decide(is_stopped=era.is_stopped)
        process.obey()
        for order in era.orders:
            revision += 1
            name = order.removeprefix("-")
            if order.startswith("-"):
                broker.log.append(Withdrawal(f"float:project:{name}", revision))
                wanted.pop(name, None)
                withdrawn.add(name)
            else:
                command = plan(name, revision)
                broker.log.append(command)
                wanted[name] = f"{name} {revision}"
                withdrawn.discard(name)
            await asyncio.sleep(era.pause_s)
        await process.end(era.end, era.freeze_s)
    last = Process(broker, vendor, session_s=86_400.0, beat_s=60.0)  # nothing disturbs it
    vendor.refuses = set(refuses_at_last)
    await asyncio.sleep(600)
    broker.decide(is_stopped=False)
    last.obey()
    await asyncio.sleep(600)
    vendor.is_calm = True
    await asyncio.sleep(3_600)
    refused = {
        name
        for name, content in wanted.items()
        if name in refuses_at_last and vendor.held().get(name) != content
    }
    open_while_refused, held_while_refused = broker.open_exceptions(), vendor.held()
    vendor.refuses = set()
    await asyncio.sleep(4 * 3_600)
    await last.end("hand over", 0)
    for process in processes:
        await process.gone()
    return Ending(
        wanted, withdrawn, refused, open_while_refused, broker.open_exceptions(),
        held_while_refused, vendor.held(), vendor.created, broker.committed, len(broker.log),
        vendor.asked_while_stopped,
    )  # fmt: skip
