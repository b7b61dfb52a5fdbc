"""The dispatcher: intake, session, journal and commits, run as one.

All decisions are made on the event loop; the consumer lives on a thread of its own, and while a
rebalance callback waits there for the loop, the loop is free to answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import structlog

from connectors.dispatch.decisions import Approvals, Decision, Decisions, Stops
from connectors.dispatch.executor import Spawn
from connectors.dispatch.intake import Intake
from connectors.dispatch.journal import Journal, KafkaJournal, Memory, read_memory
from connectors.dispatch.lease import Lease
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.publisher import Publisher
from connectors.dispatch.session import (
    Session,
    Target,
    doubtful,
    exceptions_of,
    place_of,
)
from connectors.dispatch.signals import Signal, Signals
from runtime.health import EVENT_LOOP, Health
from runtime.kafka import KafkaSettings, describe_members, make_consumer, make_producer
from runtime.serde import Serde

_log = structlog.get_logger()

GROUP_ID = "psastream-dispatch"
SESSION_TIMEOUT_MS = 15_000
"""How long the group waits for a member that says nothing, and so how long a lease lasts."""
RENEW_S: Final = 3.0
DRAIN_S = 20.0
"""How long calls in flight may take to finish when we must stop; below Kubernetes' 30 s."""
INTAKE: Final = "intake"
INTAKE_SILENCE_S: Final = 300.0
"""Longest turn of the intake: a rebalance in which the whole memory is read."""
BEAT_S: Final = 1.0
LOOP_SILENCE_S: Final = 30.0

Arguments = ParamSpec("Arguments")
T = TypeVar("T")
WrapJournal = Callable[[Journal], Journal]


class Dispatcher:
    """Executes the commands of some targets until told to stop. One instance, one run."""

    def __init__(
        self,
        kafka: KafkaSettings,
        serde: Serde,
        targets: Mapping[str, Target],
        *,
        metrics: DispatchMetrics,
        health: Health,
        lease: Lease,
        session_timeout_ms: int = SESSION_TIMEOUT_MS,
        instance_id: str | None = None,
        wrap_journal: WrapJournal = lambda journal: journal,
    ) -> None:
        """`lease` is what the sinks ask before each request; as long as the session time-out.

        With an `instance_id`, this process takes over from its dead predecessor of that name at
        once, and fences it should it live. Without one, the others wait for the session time-out.
        `wrap_journal` puts something between the executors and the journal of a session.
        """
        self._lease = lease
        self._session_timeout_ms = session_timeout_ms
        self._renew_at_s = 0.0
        self._instance_id = instance_id
        self._health = health
        self._kafka = kafka
        self._serde = serde
        self._targets = targets
        self._metrics = metrics
        self._wrap_journal = wrap_journal
        self._session: Session | None = None
        self._draining: Session | None = None  # it begins nothing more, and may still send
        self._signals = Signals(kafka, serde)
        self._decisions = Decisions(kafka, serde)
        self._stops, self._approvals = Stops(), Approvals()
        self._listener: asyncio.Task[None] | None = None
        # Of its own: no rebalance may keep a stop from being heard.
        self._decision_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decisions")
        self._consumer_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake")

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Work until it is over, then finish what is in flight and commit.

        Raises what ends the process; whatever was under way is looked up at the next start.
        """
        self._loop = asyncio.get_running_loop()
        self._health.watch(EVENT_LOOP, within_s=LOOP_SILENCE_S, is_ready=True)
        self._health.watch(INTAKE, within_s=INTAKE_SILENCE_S)
        with Publisher(make_producer(self._kafka), self._serde) as publisher:
            self._publisher = publisher
            try:
                async with asyncio.TaskGroup() as group:
                    self._spawn: Spawn = group.create_task
                    beats = group.create_task(self._beat())
                    await self._work(is_over)
                    beats.cancel()
            except ExceptionGroup as group_error:
                raise _first_cause(group_error) from group_error
            finally:
                for target in self._targets.values():
                    await target.sink.close()

    async def _beat(self) -> None:
        while True:
            self._health.beat(EVENT_LOOP)
            if self._session is not None:
                self._session.show_overdue(datetime.now(UTC))
            await asyncio.sleep(BEAT_S)

    async def _listen(self) -> None:
        """Obey what people decide, as long as the process lives."""
        while True:
            listen = self._decisions.listen
            self._obey(await self._loop.run_in_executor(self._decision_thread, listen))

    def _obey(self, decided: Collection[Decision]) -> None:
        """Let whoever sends, or may still send while it drains, know what was decided."""
        self._take(decided)
        for session in filter(None, (self._session, self._draining) if decided else ()):
            session.stop(self._stops)
            for decision in decided:
                session.heed(decision)

    def _take(self, decided: Iterable[Decision]) -> None:
        for decision in decided:
            self._stops.take(decision)
            self._approvals.take(decision)

    async def _work(self, is_over: Callable[[], bool]) -> None:
        named = {"group_instance_id": self._instance_id} if self._instance_id else {}
        consumer = make_consumer(
            self._kafka,
            GROUP_ID,
            client_id=f"{GROUP_ID}-{socket.gethostname()}-{os.getpid()}",
            session_timeout_ms=self._session_timeout_ms,
            **named,
        )
        intake = await self._on_consumer_thread(
            Intake,
            consumer,
            self._serde,
            list(self._targets),
            self,
            describe_members=partial(describe_members, self._kafka, GROUP_ID),
        )
        self._intake = intake
        try:
            while not is_over():
                self._health.ready(INTAKE, self._session is not None)
                held_back = self._session.crowded() if self._session else frozenset()
                deliveries = await self._on_consumer_thread(intake.read, held_back)
                signals = await self._on_consumer_thread(self._signals.read)
                if self._session is not None:
                    await self._renew()
                    for delivery in deliveries:
                        self._session.accept(delivery)
                    for signal in signals:
                        self._session.hear(signal)
                    await self._commit(self._session)
            if self._session is not None:
                session = self._session
                await self._end(session)
                await self._commit(session)
        finally:
            self._health.ready(INTAKE, False)
            self._session = None  # after a failure nothing more is finished or committed
            if self._listener is not None:
                self._listener.cancel()
            await self._loop.run_in_executor(self._decision_thread, self._decisions.close)
            self._decision_thread.shutdown(wait=False)
            await self._on_consumer_thread(intake.close)
            await self._on_consumer_thread(self._signals.close)
            self._consumer_thread.shutdown(wait=False)

    async def _renew(self) -> None:
        """Prove from time to time that the partitions are still ours."""
        asked_at_s = self._lease.clock()
        if asked_at_s < self._renew_at_s:
            return
        self._renew_at_s = asked_at_s + RENEW_S
        if await self._on_consumer_thread(self._intake.prove):
            self._lease.proven(asked_at_s)

    async def _commit(self, session: Session) -> None:
        offsets = list(session.offsets.committable())
        if not offsets:
            return
        is_committed = await self._on_consumer_thread(self._intake.commit, offsets)
        if is_committed:
            for place, offset in offsets:
                session.offsets.committed(place, offset)

    async def _on_consumer_thread(
        self,
        work: Callable[Arguments, T],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> T:
        call = partial(work, *arguments, **named)
        return await self._loop.run_in_executor(self._consumer_thread, call)

    def assigned(self, partitions: Collection[tuple[str, int]]) -> None:
        """Begin a session from the journal. On the consumer's thread."""
        requests = self._signals.begin()
        decided = self._decisions.begin()
        memory = read_memory(self._kafka, self._serde, frozenset(self._targets))
        self._wait(self._begin(memory, frozenset(partitions), requests, decided))

    def revoked(self) -> None:
        """End the session in order. On the consumer's thread."""
        session = self._session
        if session is None:
            return
        self._wait(self._end(session))
        self._intake.commit(list(session.offsets.committable()))

    def lost(self) -> None:
        """End the session; its partitions are another process's. On the consumer's thread."""
        _log.error(
            "dispatch.partitions_lost",
            hint="the process stood still or was cut off; others have taken over, it joins again",
        )
        self._lease.end()
        if self._session is not None:
            self._wait(self._end(self._session))

    async def _begin(
        self,
        memory: Memory,
        partitions: Collection[tuple[str, int]],
        requests: Sequence[Signal],
        decided: Sequence[Decision],
    ) -> None:
        self._renew_at_s = 0.0
        self._take(decided)
        if self._listener is None:
            self._listener = self._spawn(self._listen())
        ours = exceptions_of(partitions, memory.exceptions)
        journal = KafkaJournal(
            self._publisher,
            ours,
            self._metrics,
            doubtful=doubtful(memory),
            remedies={name: target.remedies for name, target in self._targets.items()},
        )
        await journal.tell_again(
            row
            for row in memory.overtaken
            if place_of(row["system"], row["natural_key"]) in partitions
        )
        self._session = Session(
            self._targets,
            memory,
            self._wrap_journal(journal),
            metrics=self._metrics,
            spawn=self._spawn,
            check=self._lease.check,
            owns=lambda topic, partition: (topic, partition) in partitions,
            recall=partial(read_memory, self._kafka, self._serde, frozenset(self._targets)),
            stops=self._stops,
            approvals=self._approvals,
        )
        for request in requests:
            self._session.hear(request)

    async def _end(self, session: Session) -> None:
        self._session, self._draining = None, session
        try:
            await session.drain(DRAIN_S)
        finally:
            self._draining = None
        self._metrics.show_overdue((), datetime.now(UTC))
        self._metrics.show_exceptions(())  # whoever owns the partitions next tells them
        self._lease.end()
        _log.info("dispatch.session_ended")

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _first_cause(group: ExceptionGroup[Exception]) -> Exception:
    """Return the first failure: the others are its consequences."""
    first = group.exceptions[0]
    return _first_cause(first) if isinstance(first, ExceptionGroup) else first
