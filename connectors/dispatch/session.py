"""One session of dispatch: from an assignment of partitions to its end.

A session begins with what the journal remembers and ends when the partitions go away, so a process
that takes over never works from memory that another one has outdated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog

from connectors.dispatch.approval import withheld
from connectors.dispatch.commands import Command, OpenException, Problem, Status
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.decisions import Approvals, Decision, Stops
from connectors.dispatch.exceptions import is_leftover
from connectors.dispatch.executor import Spawn, TargetExecutor
from connectors.dispatch.guard import Guard
from connectors.dispatch.intake import Delivery, Withdrawal
from connectors.dispatch.journal import DeadLetter, Journal, Memory
from connectors.dispatch.lease import Check
from connectors.dispatch.ledger import NEVER, Ledger, is_open
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.offsets import OffsetTracker
from connectors.dispatch.refusals import Refusal, RetryRequest
from connectors.dispatch.remedies import Remedies
from connectors.dispatch.shadow import shadowed
from connectors.dispatch.signals import Change, Signal
from connectors.dispatch.sink import Sink
from schemas.routing import partition_of
from schemas.topics import COMMAND_PREFIX, PARTITIONS

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Target:
    """A sink with its configuration, and what a person can do about its refusals."""

    config: SinkConfig
    sink: Sink
    remedies: Remedies = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()
    """Of commands that the sink carries out."""


class Session:
    """Hands deliveries to the executors of their targets and tells what may be committed."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        memory: Memory,
        journal: Journal,
        *,
        metrics: DispatchMetrics,
        spawn: Spawn,
        check: Check = lambda: None,
        owns: Callable[[str, int], bool] = lambda _topic, _partition: True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        recall: Callable[[], Memory] = Memory,
        stops: Stops | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        """`owns` says whether a partition of a command topic is ours; `recall` reads the journal
        anew, on a thread of its own. `stops` is what people have stopped, `approvals` what
        they have approved and refused: it may grow.
        """
        approvals = Approvals() if approvals is None else approvals
        stops = Stops() if stops is None else stops
        self.offsets = OffsetTracker()
        self._journal = journal
        self._metrics = metrics
        self._spawn = spawn
        for name, each in targets.items():
            metrics.expect(name, each.kinds)
            for kind in each.config.shadow:
                _log.warning("dispatch.shadow", target=name, kind=kind)
        self._stopped = {name: target.config.stopped_kinds for name, target in targets.items()}
        self._max_queued = {name: target.config.max_queued for name, target in targets.items()}
        # One ledger for all: natural keys name their target, and results are keyed by them alone.
        self._ledger = ledger = Ledger(memory.settled, memory.intents)
        ours: dict[str, list[Refusal]] = {name: [] for name in targets}
        for refusal in memory.refusals:
            target, natural_key = refusal.command.target, refusal.command.natural_key
            if target in ours and owns(*place_of(target, natural_key)):
                ours[target].append(refusal)
        self._executors = {
            name: TargetExecutor(
                name,
                target.sink,
                journal,
                ledger,
                policy=target.config.retry_policy,
                max_in_flight=target.config.max_in_flight,
                metrics=metrics,
                spawn=spawn,
                check=check,
                now=now,
                refused=[it for it in ours[name] if _is_last(it, memory)],
                told=[it for it in ours[name] if not _is_last(it, memory)],
                guard=Guard(name, told=memory.holds.get(name), now_s=now().timestamp()),
                recall=recall,
                stopped=self._stopped[name] | stops.of(name),
                withholds=partial(_withheld, config=target.config, approvals=approvals),
            )
            for name, target in targets.items()
        }
        _log.info(
            "dispatch.session_started",
            settled=len(memory.settled),
            exceptions=len(memory.exceptions),
        )

    def accept(self, delivery: Delivery) -> None:
        """Take in a record of a command topic."""
        place = (delivery.topic, delivery.partition)
        self.offsets.take(place, delivery.offset)
        finished = partial(self.offsets.finish, place, delivery.offset)
        match delivery.content:
            case None:
                finished()
            case Withdrawal(natural_key, revision):
                self._executors[delivery.target].withdraw(natural_key, revision, finished)
            case Command() as command:
                self._executors[command.target].submit(command, finished)
            case DeadLetter() as letter:
                self._metrics.dead_letters.labels(delivery.target).inc()
                self._spawn(self._bury(letter, finished))

    def hear(self, signal: Signal) -> None:
        """Take in a reason to try refused commands again."""
        for executor in self._executors.values():
            match signal:
                case RetryRequest():
                    executor.retry(signal)
                case Change():
                    executor.touched(signal.names)

    def heed(self, word: Decision) -> None:
        """Send or park the one command that a person has approved or refused."""
        executor = self._executors.get(word.target)
        if executor is not None and word.natural_key is not None:
            executor.retry(RetryRequest(f"{word.target}:{word.natural_key}"))

    def stop(self, stops: Stops) -> None:
        """Send what people have not stopped, and nothing else from now on."""
        for name, executor in self._executors.items():
            executor.stop(self._stopped[name] | stops.of(name))

    def crowded(self) -> frozenset[str]:
        """Targets of which no more should be read for now."""
        return frozenset(
            name
            for name, executor in self._executors.items()
            if executor.crowd >= self._max_queued[name]
        )

    def show_overdue(self, now: datetime) -> None:
        """Let the gauges say what is not settled in time."""
        self._metrics.show_overdue(self._ledger.wanted(), now)

    async def drain(self, deadline_s: float) -> None:
        """Finish what is in flight, begin nothing more."""
        await asyncio.gather(*(executor.drain(deadline_s) for executor in self._executors.values()))

    async def _bury(self, letter: DeadLetter, finished: partial[None]) -> None:
        _log.error(
            "dispatch.dead_letter",
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            code=letter.error.code,
            error=letter.error.detail,
        )
        await self._journal.bury(letter)
        finished()


def _withheld(command: Command, *, config: SinkConfig, approvals: Approvals) -> Problem | None:
    """Return why a command may not be sent: shadow comes before any approval."""
    held = shadowed(command, config.shadow_kinds)
    return held or withheld(command, bounds=config.approval, approvals=approvals)


def _is_last(refusal: Refusal, memory: Memory) -> bool:
    """Whether nothing newer is known; where nothing is at all, a command is delivered again.

    A result that is older came late: compaction keeps it in the place of the last one, which is
    known by its exception alone. What was superseded has a successor that is delivered again. What
    a command left over is to be tidied up whatever came after.
    """
    last = memory.settled.get(refusal.command.natural_key)
    return is_leftover(refusal) or (
        last is not None
        and last.status is not Status.SUPERSEDED
        and last.revision <= refusal.command.revision
    )


def doubtful(memory: Memory) -> set[str]:
    """Return the natural keys of attempts of whose outcome nothing is recorded."""
    return {
        key
        for key, intent in memory.intents.items()
        if is_open(intent, memory.settled.get(key, NEVER))
    }


def exceptions_of(
    partitions: Collection[tuple[str, int]], exceptions: Mapping[str, OpenException]
) -> dict[str, OpenException]:
    """Return the exceptions whose commands lie in these partitions of command topics."""
    return {
        identity: each
        for identity, each in exceptions.items()
        if place_of(each.system, each.natural_key) in partitions
    }


def place_of(target: str, natural_key: str) -> tuple[str, int]:
    """Return topic and partition of the commands of a natural key."""
    topic = f"{COMMAND_PREFIX}{target}"
    return topic, partition_of(natural_key, PARTITIONS)
