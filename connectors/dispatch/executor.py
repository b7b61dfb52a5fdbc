"""Carrying out the commands of one target: one task a natural key, a pool of slots over all keys.

The ledger says what to do; this module does it, waits where waiting is due and reports back. A
natural key that must be retried occupies no slot, so the others flow on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from connectors.dispatch.approval import Withholds
from connectors.dispatch.commands import (
    Command,
    Intent,
    Outcome,
    Problem,
    Status,
)
from connectors.dispatch.decisions import ALL
from connectors.dispatch.exceptions import ended_by, exception_id, is_leftover, warning_id
from connectors.dispatch.gate import Gates
from connectors.dispatch.guard import Guard, announced
from connectors.dispatch.journal import Journal, Memory
from connectors.dispatch.lease import Check, LeaseLostError
from connectors.dispatch.ledger import (
    Attempt,
    Ledger,
    Look,
    Revisit,
    Step,
    Supersede,
    Withdraw,
)
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.pacer import Pacer
from connectors.dispatch.questions import Questions
from connectors.dispatch.refusals import Refusal, Refusals, RetryRequest
from connectors.dispatch.repeated import Repeated, Stuck
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.shadow import has_come, is_shadow, planned
from connectors.dispatch.sink import Applied, Sink
from connectors.dispatch.spans import step_span, tell_outcome
from connectors.dispatch.verdicts import (
    UnforeseenError,
    carried_out,
    check_deadline,
    denied_alone,
    is_from_target,
    is_of_kind,
    is_outage,
    is_refusal,
    rejected,
    too_late,
    transient,
)
from connectors.toolkit.faults import (
    QuotaExhaustedError,
    Reason,
    UnreadableBodyError,
)
from runtime.threads import in_daemon_thread
from schemas.errors import (
    AuthenticationError,
    BrokerUnavailableError,
    FatalError,
    RateLimitedError,
    RecordError,
    RegistryUnavailableError,
    TransientError,
)

_log = structlog.get_logger()

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
Finished = Callable[[], None]


class TargetExecutor:
    """Executes commands of one target until drained.

    `spawn` starts a task whose failure ends the process. Only what makes the journal useless is
    such a failure: an error that nobody foresaw leaves the outcome of its command unknown, and no
    other command suffers.
    """

    def __init__(
        self,
        target: str,
        sink: Sink,
        journal: Journal,
        ledger: Ledger,
        *,
        policy: RetryPolicy,
        max_in_flight: int,
        metrics: DispatchMetrics,
        spawn: Spawn,
        check: Check = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        refused: Iterable[Refusal] = (),
        told: Iterable[Refusal] = (),
        guard: Guard | None = None,
        recall: Callable[[], Memory] = Memory,
        stopped: Collection[str | None] = (),
        withholds: Withholds = lambda _command: None,
    ) -> None:
        """`check` raises LeaseLostError where this process may not act any more.

        `refused` are the commands that earlier sessions left refused, of our partitions; `told`
        those that they told a person of and did not settle: they come again. `guard` says whether
        commands wait, and `recall` reads the journal anew, on a thread of its own. `stopped` are
        the kinds that people have stopped, None where that is all of them. `withholds` says why a
        command waits for a person's word.
        """
        refused = list(refused)
        self._withholds = withholds
        self._check = check
        self._now = now
        self._target = target
        self._sink = sink
        self._questions = Questions(sink, policy.attempt_s)
        self._journal = journal
        self._ledger = ledger
        self._policy = policy
        self._metrics = metrics
        self._spawn = spawn
        self._slots = asyncio.Semaphore(max_in_flight)
        self._gate = Gates(target, self._pause_s)
        self._guard = Guard(target) if guard is None else guard
        self._recall = recall
        self._comparing = asyncio.Lock()
        self._asked: set[str] = set()  # natural keys that were looked up before anything was sent
        if self._guard.is_held:
            self._gate.shut()
        self._stopped: frozenset[str | None] = frozenset()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._in_flight: set[str] = set()
        self._pausing: set[str] = set()
        self._failing: set[str] = set()  # natural keys, from a failure until it is settled
        self._unwritten: set[str] = set()  # those of which a write has failed
        self._waiting: dict[str, list[Finished]] = {}
        self._trials: set[str] = set()  # ids of refused commands that are tried again
        self._is_draining = False
        self._refusals = Refusals(refused)
        self._limited = 0  # times in a row that the target asked everybody to slow down
        self._repeated = Repeated(journal, check, self._now_s, told)
        self._news: dict[str, asyncio.Event] = {}  # natural key → came since its step was chosen
        self._pacer = Pacer(self._refusals, self._try_again, now=self._now_s, spawn=spawn)
        for refusal in filter(self._has_word, refused):
            self._refusals.request(RetryRequest(refusal.exception_id), self._now_s())
        self._pacer.wake()
        self.stop(stopped)

    @property
    def waiting(self) -> int:
        """How many commands are not settled yet."""
        return len(self._waiting)

    @property
    def crowd(self) -> int:
        """How many of them keep others from coming.

        Not those that a person was told of, nor those of a kind of which none is taken or sent.
        """
        held_back = sum(map(self._ledger.pending, self._gate.held_back))
        return len(self._waiting) - len(self._repeated) - held_back

    def submit(self, command: Command, finished: Finished) -> None:
        """Take in a command; `finished` is called once nothing more will happen to it.

        A replayed or out-of-date command finishes at once. Upholds I8.
        """
        if self._ledger.deliver(command):
            self._waiting[command.command_id] = [finished]
            pause_s = self._repeated.come(command)
            if not self._nudge(command.natural_key):
                self._begin(command.natural_key, pause_s)
        elif self._ledger.is_waiting(command):
            self._waiting[command.command_id].append(finished)
        else:
            self._metrics.commands.labels(self._target, command.kind, "skipped").inc()
            finished()
        self._show()

    def withdraw(self, natural_key: str, revision: int, finished: Finished) -> None:
        """Take in that nobody wants any more what its commands below a revision ask for.

        `finished` is called once nothing of it waits, and no exception is open for it.
        """
        told = self._repeated.withdrawn(natural_key, revision)
        if told is not None:
            self._reopen(told)
        for refusal in self._refusals.of(natural_key, below=revision):
            if not is_leftover(refusal):  # which was carried out, and is to be tidied up still
                self._reopen(refusal)
        waiting = self._ledger.withdraw(natural_key, revision)
        if waiting is not None:
            self._waiting[waiting.command_id].append(finished)
            self._nudge(natural_key)
        elif told is not None:  # what came after it was withdrawn with it
            self._spawn(self._end(told, finished))
        else:
            finished()

    def retry(self, request: RetryRequest) -> None:
        """Try refused commands again now, or send what is held back, as a person asks."""
        if self._guard.is_released(request, self._now_s()):
            self._spawn(self._release())
        meant = self._refusals.request(request, self._now_s())
        meant += sum(self._nudge(natural_key) for natural_key in self._repeated.meant(request))
        if meant:
            _log.info("dispatch.retry_asked", target=self._target, commands=meant)
            self._pacer.wake()

    def stop(self, kinds: Collection[str | None]) -> None:
        """Send nothing of these kinds from now on, and all others; None: nothing at all.

        What is under way ends as it ends. All else waits in its order.
        """
        before, self._stopped = self._stopped, frozenset(kinds)
        for kind in self._stopped - before:
            _log.warning("dispatch.stopped", target=self._target, kind=kind or ALL)
        for kind in before - self._stopped:
            _log.info("dispatch.started", target=self._target, kind=kind or ALL)
        self._metrics.show_stopped(self._target, (kind or ALL for kind in self._stopped))
        self._gate.stop(self._stopped)
        self._show()

    def touched(self, names: Collection[str]) -> None:
        """Try again soon what is refused and names one of these: something about it changed."""
        self._refusals.touched(names, self._now_s())
        self._pacer.wake()

    async def drain(self, deadline_s: float) -> None:
        """Begin nothing more, and let what is in flight finish until the deadline.

        What does not finish stays open in the journal, of unknown outcome.
        """
        self._is_draining = True
        await self._pacer.stop()
        in_flight = {self._tasks[key] for key in self._in_flight}
        idle = set(self._tasks.values()) - in_flight
        for task in idle:
            task.cancel()
        late: set[asyncio.Task[None]] = set()
        if in_flight:
            _, late = await asyncio.wait(in_flight, timeout=deadline_s)
        for task in late:
            task.cancel()
        if late:
            _log.warning("dispatch.drain_incomplete", target=self._target, calls=len(late))
        if idle or late:
            await asyncio.wait(idle | late)

    async def _end(self, told: Refusal, finished: Finished) -> None:
        """Resolve what is open for a command that does not come again."""
        while not self._is_draining:
            try:
                self._check()
            except LeaseLostError:
                await asyncio.sleep(self._policy.backoff_s)
            else:
                await self._journal.resolve(told)
                return finished()

    async def _release(self) -> None:
        """Record that a person lets commands be sent, then send them."""
        while not self._is_draining:
            try:
                self._check()
            except LeaseLostError:
                await asyncio.sleep(self._policy.backoff_s)
            else:
                now_s = self._now_s()
                await self._journal.tell_hold(self._guard.word(now_s))
                self._guard.release(now_s)
                _log.info("dispatch.released", target=self._target)
                self._gate.open()
                return self._show()

    def _has_word(self, refusal: Refusal) -> bool:
        """Whether it waited for a person's word, and there is one, or none is needed any more."""
        return has_come(refusal.problem, self._withholds(refusal.command))

    def _try_again(self, refusal: Refusal) -> None:
        command = refusal.command
        if refusal.problem.reason is Reason.APPROVAL and not self._has_word(refusal):
            return self._refusals.put_back(refusal.exception_id, self._now_s())
        if is_leftover(refusal):
            is_begun = self._ledger.revisit(command)
            if is_begun:
                self._begin(command.natural_key)
        elif is_begun := self._reopen(refusal):
            self._trials.add(command.command_id)
            self._repeated.go_on(refusal)
        if not is_begun:  # another one is under way, and will tell
            self._refusals.put_back(refusal.exception_id, self._now_s())

    def _reopen(self, refusal: Refusal) -> bool:
        command = refusal.command
        is_reopened = self._ledger.reopen(command, attempts=refusal.attempts)
        if is_reopened:
            self._waiting[command.command_id] = []
            self._begin(command.natural_key)
            self._show()
        return is_reopened

    def _now_s(self) -> float:
        return self._now().timestamp()

    def _begin(self, natural_key: str, patience_s: float = 0.0) -> None:
        if natural_key not in self._tasks:
            intent = self._ledger.open_intent(natural_key)
            delay_s = 0.0 if intent is None else self._policy.heir_wait_s(self._age_s(intent))
            self._news[natural_key] = asyncio.Event()
            self._tasks[natural_key] = self._spawn(self._work_off(natural_key, delay_s, patience_s))

    def _age_s(self, intent: Intent) -> float | None:
        if intent.started_at is None:
            return None
        return (self._now() - intent.started_at).total_seconds()

    async def _work_off(self, natural_key: str, delay_s: float, patience_s: float) -> None:
        """Settle the commands of a natural key, oldest first, until none is left."""
        failures = 0
        while self._ledger.has_work(natural_key) and not self._is_draining:
            await self._pause(natural_key, delay_s, patience_s)
            delay_s = patience_s = 0.0
            kind = self._ledger.kind(natural_key)
            speaks = self._repeated.speaker(kind) == natural_key
            await self._gate.wait(natural_key, kind, failures, is_first=speaks)
            async with self._slots:
                if not self._gate.lets(natural_key, kind):  # one before it in the queue closed it
                    continue
                # Decided only now, so that a revision which came in meanwhile counts.
                self._news[natural_key].clear()
                step = self._ledger.next(natural_key)
                with self._in_flight_as(natural_key):
                    error = await self._perform_safely(step)
            if error is None and step.command.command_id not in self._waiting:
                failures = 0  # the next command starts afresh
            if error is not None:
                failures += 1
                if isinstance(step, Attempt) and not self._is_shadowed(step.command):
                    self._unwritten.add(natural_key)
                is_alone = self._repeated.fails_alone(natural_key)
                if is_alone and isinstance(error, AuthenticationError):
                    error = denied_alone(error)
                delay_s = self._retry_delay_s(step.command, error, failures, is_alone=is_alone)
                is_told = self._repeated.is_told(step.command)
                is_for_all = is_outage(error) and not (is_alone or is_told)
                is_for_kind = not (is_for_all or is_told) and is_of_kind(error, is_alone=is_alone)
                self._gate.failed(natural_key, kind, is_for_all=is_for_all, is_for_kind=is_for_kind)
                in_vain = self._gate.in_vain(kind)
                patience_s = await self._repeated.patience_s(
                    step,
                    error,
                    failures,
                    is_its_own=is_alone or is_told,
                    is_down=is_for_all and self._gate.is_down,
                    stuck=Stuck(in_vain, self._count(kind)) if in_vain else None,
                    is_leftover=isinstance(step, Revisit),
                )
        self._gate.leave(natural_key)
        self._repeated.forget(natural_key)
        self._failing.discard(natural_key)
        self._unwritten.discard(natural_key)
        del self._tasks[natural_key], self._news[natural_key]

    def _count(self, kind: str) -> int:
        """Return of how many natural keys the next command is of a kind."""
        return sum(self._ledger.kind(it) == kind for it in self._tasks if self._ledger.has_work(it))

    async def _perform_safely(self, step: Step) -> TransientError | AuthenticationError | None:
        """Do one step; an error nobody foresaw concerns this command alone."""
        try:
            # So that every line about it names the command: those of vendors and retries, too.
            with bound_contextvars(**step.command.named), step_span(step) as failed:
                error = await self._perform(step)
                failed(error)
                return error
        except (BrokerUnavailableError, RegistryUnavailableError, FatalError):
            raise  # the journal cannot be written: nothing may go on
        except LeaseLostError as error:
            self._ledger.unknown(step.command.natural_key)
            return error
        except Exception as error:  # the last resort of a worker loop; it hides nothing
            command = step.command
            _log.exception(
                "dispatch.unforeseen",
                **command.named,
                hint="a fault of psastream: report it; the command is looked up and tried again",
            )
            self._ledger.unknown(command.natural_key)
            return UnforeseenError(error)

    async def _perform(self, step: Step) -> TransientError | AuthenticationError | None:
        """Do one step and tell the ledger; return the error where it must be repeated."""
        command = step.command
        match step:
            case Supersede():
                await self._settle(command, Outcome(Status.SUPERSEDED, step.attempts))
                return None
            case Withdraw():
                await self._settle(command, Outcome(Status.WITHDRAWN, step.attempts))
                return None
            case Look():
                return await self._look(step)
            case Revisit():
                return await self._revisit(step)
            case Attempt():
                problem = self._withholds(command) or self._holds(command)
                if problem is None or is_shadow(problem):
                    return await (self._ask_first if problem else self._attempt_guarded)(step)
                outcome = Outcome(Status.REJECTED, step.number - 1, problem=problem)
                await self._settle(command, outcome)
                self._reconsider(command)
                return None

    def _is_shadowed(self, command: Command) -> bool:
        return is_shadow(self._withholds(command))

    def _holds(self, command: Command) -> Problem | None:
        """Return why it is not sent, where the last ones of its kind were refused for that."""
        held = None if command.command_id in self._trials else self._refusals.holding(command.kind)
        return held and replace(held, is_held=True)

    def _reconsider(self, command: Command) -> None:
        """Try it again where a person has said something while it was recorded that it waits."""
        if (told := self._refusals.waiting(exception_id(command))) and self._has_word(told):
            self._refusals.request(RetryRequest(told.exception_id), self._now_s())
            self._pacer.wake()

    async def _attempt_guarded(self, step: Attempt) -> TransientError | AuthenticationError | None:
        """Attempt it once it is known that the ledger is the one of the target."""
        natural_key = step.command.natural_key
        async with self._comparing:
            error = None if self._guard.is_compared else await self._compare()
        if error is not None or self._guard.is_held:
            self._ledger.not_applied(natural_key)
            return error
        is_unasked = self._guard.adopts and natural_key not in self._asked
        return await (self._ask_first if is_unasked else self._attempt)(step)

    async def _compare(self) -> TransientError | AuthenticationError | None:
        """Hold everything back where the target holds what the ledger has not announced."""
        if self._guard.is_held:
            return None  # another one has found it out
        try:
            newest = await self._questions.newest()
        except (TransientError, AuthenticationError) as error:
            return error
        except RecordError as error:  # what it holds is not known, so nothing is sent
            return transient(error)
        unknown = self._guard.unknown(newest, self._ledger.knows_of_record)
        if unknown:
            # Intents may say more, and other processes write some, each before its effect.
            memory = await in_daemon_thread(self._recall)
            unknown = self._guard.unknown(newest, announced(memory.settled, memory.intents))
        self._check()
        if unknown:
            self._gate.shut()
            record = self._guard.hold(unknown, self._now_s())
            await self._journal.tell_hold(record)
            _log.error(
                "dispatch.ledger_lost",
                target=self._target,
                code=record["error_code"],
                error=record["detail"],
                hint=record["hint"],
            )
        elif (seen := self._guard.compared(newest)) is not None:
            await self._journal.tell_hold(seen)
        return None

    async def _ask_first(self, step: Attempt) -> TransientError | AuthenticationError | None:
        """Attempt it unless the target holds it already; in shadow tell what it would do."""
        command, refusal = step.command, None
        try:
            found = await self._ask(command)
        except (TransientError, AuthenticationError) as error:
            self._ledger.not_applied(command.natural_key)
            return error
        except RecordError as error:  # the attempt meets it, too, and tells
            found, refusal = None, error
        self._asked.add(command.natural_key)
        if found is None or found.differs:
            if self._is_shadowed(command):
                return await self._tell_plan(command, step.number - 1, found, refusal)
            return await self._attempt(step)
        self._heard(command)
        await self._settle(command, carried_out(Status.ADOPTED, step.number - 1, found))
        return None

    async def _tell_plan(
        self, command: Command, attempts: int, found: Applied | None, refusal: RecordError | None
    ) -> TransientError | AuthenticationError | None:
        """Settle a command in shadow by what it would do."""
        if refusal is None or is_from_target(refusal):
            self._heard(command)
        problem = planned(command, found, refusal)
        await self._settle(command, Outcome(Status.REJECTED, attempts, problem=problem))
        return None

    async def _look(self, step: Look) -> TransientError | AuthenticationError | None:
        command, refusal = step.command, None
        self._asked.add(command.natural_key)  # there is an intent of it
        try:
            found = await self._ask(command)
        except (TransientError, AuthenticationError) as error:
            self._ledger.unknown(command.natural_key)
            return error
        except RecordError as error:
            found, refusal = None, error
        if found is not None and not found.differs:
            self._heard(command)
            await self._settle(command, carried_out(Status.ADOPTED, step.attempts, found))
        elif self._is_shadowed(command):
            return await self._tell_plan(command, step.attempts, found, refusal)
        elif refusal is not None:
            if is_from_target(refusal):
                self._heard(command)
            await self._settle(command, rejected(step.attempts, refusal))
        else:
            # It says nothing about writes: a target in maintenance may be read.
            self._ledger.not_applied(command.natural_key)
        return None

    async def _revisit(self, step: Revisit) -> TransientError | AuthenticationError | None:
        """Look whether what a command left over is still there, and tell.

        It stays carried out. What became of its record since is for the tables to see: they know
        whether anybody still wants it.
        """
        natural_key = step.command.natural_key
        told = self._refusals.waiting(warning_id(step.command))
        if told is not None:  # nothing has ended it meanwhile
            try:
                found = await self._ask(told.command)
                problem = found.warning if found else None
            except (TransientError, AuthenticationError) as error:
                self._ledger.unknown(natural_key)
                return error
            except RecordError:  # it may not be looked at
                problem = told.problem
            self._check()
            await self._tell_leftover(told, problem)
        self._ledger.revisited(natural_key)
        return None

    async def _tell_leftover(self, told: Refusal, problem: Problem | None) -> None:
        if problem is None:
            await self._journal.resolve(told)
            self._refusals.met(told.exception_id, self._now_s())
        else:
            identity, command, attempts = told.exception_id, told.command, told.attempts
            now_s = self._now_s()
            await self._journal.tell(
                self._refusals.refused(identity, command, problem, attempts, now_s)
            )
        self._pacer.wake()

    async def _ask(self, command: Command) -> Applied | None:
        return await self._questions.look(command, self._ledger.known_id(command.natural_key))

    async def _attempt(self, step: Attempt) -> TransientError | AuthenticationError | None:
        command = step.command
        known_id = self._ledger.known_id(command.natural_key)
        self._check()
        # As a whole, not each request of it, and from the intent on: who takes over counts so.
        deadline_s = asyncio.get_running_loop().time() + self._policy.attempt_s
        await self._journal.intend(command, step.number)
        # Since it was chosen, a person or a newer command may have come.
        is_kept_back = self._gate.is_stopped(command.kind) or self._withholds(command) is not None
        if is_kept_back or self._ledger.is_outdated(command.natural_key):
            self._ledger.not_applied(command.natural_key)
            return None
        try:
            self._check()  # the process may have stood still since
            check_deadline(deadline_s, asyncio.get_running_loop().time())
            async with asyncio.timeout_at(deadline_s):
                done = await self._sink.execute(command, known_id)
        except TimeoutError:
            self._ledger.unknown(command.natural_key)
            return too_late()
        except (TransientError, AuthenticationError) as error:
            if isinstance(error, TransientError) and error.outcome_unknown:
                self._ledger.unknown(command.natural_key)
            else:
                self._ledger.not_applied(command.natural_key)
            return error
        except UnreadableBodyError as error:  # of a look-up before the write
            self._ledger.not_applied(command.natural_key)
            return transient(error)
        except RecordError as error:
            if not is_refusal(error):
                self._ledger.unknown(command.natural_key)
                return transient(error)
            if is_from_target(error):
                self._heard(command)
            outcome = rejected(step.number, error)
            _log.warning("dispatch.rejected", **command.named, code=error.code, error=str(error))
        else:
            self._heard(command)
            outcome = carried_out(Status.SUCCEEDED, step.number, done)
        await self._settle(command, outcome)
        return None

    def _heard(self, command: Command) -> None:
        """Take in an answer that only a target gives that is well."""
        if self._unwritten & self._failing and self._is_shadowed(command):
            return  # a look alone: a target in maintenance may be read
        self._gate.answered(command.kind)
        if (spoke_for_kind := self._repeated.answered(command.kind)) is not None:
            self._nudge(spoke_for_kind)

    async def _settle(self, command: Command, outcome: Outcome) -> None:
        if outcome.status is Status.REJECTED and self._ledger.is_withdrawn(command.natural_key):
            outcome = replace(outcome, status=Status.WITHDRAWN, problem=None)
        if outcome.target_id is None and not outcome.is_gone:
            # The last result is all that is kept: it must not forget where the record is.
            outcome = replace(outcome, target_id=self._ledger.known_id(command.natural_key))
        self._check()
        tell_outcome(command, outcome)
        await self._journal.settle(command, outcome, self._refuse(command, outcome))
        if outcome.status is Status.REJECTED and self._ledger.is_withdrawn(command.natural_key):
            # It was withdrawn while the refusal was recorded.
            outcome = replace(outcome, status=Status.WITHDRAWN, problem=None)
            self._check()
            await self._journal.settle(command, outcome, self._refuse(command, outcome))
        self._trials.discard(command.command_id)
        self._repeated.settled(command)
        self._failing.discard(command.natural_key)
        self._ledger.settled(command, outcome.attempts, outcome.target_id)
        status = "shadowed" if is_shadow(outcome.problem) else outcome.status.value
        self._metrics.commands.labels(self._target, command.kind, status).inc()
        if command.issued_at is not None:
            seconds = max(0.0, (self._now() - command.issued_at).total_seconds())
            self._metrics.settle_time.labels(self._target, command.kind).observe(seconds)
        for finished in self._waiting.pop(command.command_id):
            finished()

    def _refuse(self, command: Command, outcome: Outcome) -> Sequence[Refusal]:
        """Tell the refusals of an outcome; return what of it waits for a person."""
        now_s, waiting = self._now_s(), []
        ended = ended_by(outcome.status, command)
        if outcome.status is Status.SUCCEEDED:
            self._limited = 0
            self._refusals.flows(command.kind)
        for identity, problem in (
            (exception_id(command), outcome.problem),
            (warning_id(command), outcome.warning),
        ):
            if problem is not None:
                waiting.append(
                    self._refusals.refused(identity, command, problem, outcome.attempts, now_s)
                )
            elif identity in ended:
                self._refusals.met(identity, now_s)
            else:
                self._refusals.put_back(identity, now_s)
        self._pacer.wake()
        return waiting

    def _retry_delay_s(
        self,
        command: Command,
        error: TransientError | AuthenticationError,
        failures: int,
        *,
        is_alone: bool,
    ) -> float:
        delay_s = self._policy.delay_s(error, failures, chance=random.random())  # noqa: S311
        self._metrics.retries.labels(self._target, error.code).inc()
        _log.warning(
            "dispatch.retry",
            **command.named,
            failures=failures,
            delay_s=round(delay_s, 3),
            code=error.code,
            error=str(error),
        )
        if is_alone and self._repeated.is_told(command):
            return delay_s  # it is its own matter
        if isinstance(error, AuthenticationError):
            self._gate.close_for(delay_s, command.kind)
        elif isinstance(error, QuotaExhaustedError):
            self._gate.close_for(delay_s)
        elif isinstance(error, RateLimitedError):  # it asks the account, not the command
            if error.retry_after_s is not None:
                self._gate.close_for(error.retry_after_s)
            elif not self._gate.is_closed:  # those that were under way with it say the same
                self._limited += 1
                self._gate.close_for(self._pause_s(self._limited))
        return delay_s

    def _pause_s(self, times: int) -> float:
        return self._policy.backoff_of(times, chance=random.random())  # noqa: S311

    async def _pause(self, natural_key: str, delay_s: float, patience_s: float) -> None:
        """Wait for `delay_s`, which nothing cuts short, and up to `patience_s` in all.

        An attempt that may still land is not looked up any sooner because somebody asks.
        """
        if max(delay_s, patience_s) <= 0:
            return
        self._pausing.add(natural_key)
        self._failing.add(natural_key)
        self._show()
        try:
            await asyncio.sleep(delay_s)
            async with asyncio.timeout(patience_s - delay_s):
                await self._news[natural_key].wait()
        except TimeoutError:
            return
        finally:
            self._pausing.discard(natural_key)
            self._show()

    def _nudge(self, natural_key: str) -> bool:
        """Try a natural key again as soon as may be; False where nothing of it is under way."""
        news = self._news.get(natural_key)
        if news is not None:
            news.set()
        return news is not None

    @contextmanager
    def _in_flight_as(self, natural_key: str) -> Iterator[None]:
        self._in_flight.add(natural_key)
        self._show()
        try:
            yield
        finally:
            self._in_flight.discard(natural_key)
            self._show()

    def _show(self) -> None:
        in_flight = len(self._in_flight - self._failing)
        retrying = len(self._pausing | (self._in_flight & self._failing))
        self._metrics.show_open(self._target, self.waiting, in_flight, retrying)
        is_paused = self._gate.is_paused or (self._gate.awaits_answer and self.waiting > 0)
        self._metrics.paused.labels(self._target).set(is_paused)
