"""Commands that are repeated in vain: whose failure is their own, and which a person is told of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from connectors.dispatch.commands import Command, Problem
from connectors.dispatch.exceptions import exception_id
from connectors.dispatch.journal import Journal
from connectors.dispatch.lease import Check, LeaseLostError
from connectors.dispatch.ledger import Attempt, Step
from connectors.dispatch.pace import DAY_S, HOUR_S, PACES
from connectors.dispatch.refusals import Refusal, RetryRequest
from connectors.dispatch.verdicts import LateIntentError, unclear
from connectors.toolkit.faults import Reason, UnclearAnswerError
from schemas.errors import AuthenticationError, TransientError

UNCLEAR_AFTER: Final = 8
"""Answers in a row that nobody understands, after which a person is told."""
UNAVAILABLE_AFTER: Final = 30
"""Failures of the target in a row that one command meets, after which a person is told."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A kind of which no command is taken: how often in vain it was asked for, how many wait."""

    in_vain: int
    commands: int


class Repeated:
    """Those of one target."""

    def __init__(
        self,
        journal: Journal,
        check: Check,
        now_s: Callable[[], float],
        told: Iterable[Refusal] = (),
    ) -> None:
        """`check` raises LeaseLostError where nothing may be told; `now_s` since the epoch.

        `told` is what earlier sessions told a person of, and did not settle.
        """
        self._journal = journal
        self._check = check
        self._now_s = now_s
        self._answers = 0  # good ones so far
        self._failed: dict[str, int] = {}  # natural key → answers when it failed last
        self._told: dict[str, Refusal] = {}  # by exception id
        self._speakers: dict[str, str] = {}  # kind that is stuck → exception that tells of it
        self._earlier = {it.command.natural_key: it for it in told}  # whose commands did not come

    def __len__(self) -> int:
        """How many a person was told of."""
        return len(self._told)

    def answered(self, kind: str) -> str | None:
        """Take in a good answer: a command was carried out, found to be, or refused.

        Returns the natural key that a person was told of for its whole kind, and that waits.
        """
        self._answers += 1
        natural_key = self.speaker(kind)
        self._speakers.pop(kind, None)
        return natural_key

    def speaker(self, kind: str) -> str | None:
        """Return the natural key that a person was told of for its whole kind."""
        told = self._told.get(self._speakers.get(kind, ""))
        return told.command.natural_key if told else None

    def fails_alone(self, natural_key: str) -> bool:
        """Take in a failure; return whether others were answered since the last of this key.

        Then its error is about it alone, whatever the target says: a firewall may answer to a word
        of one payload as if the account were blocked, and a script that breaks at one record as if
        all were down.
        """
        failed_at = self._failed.get(natural_key, self._answers)
        self._failed[natural_key] = self._answers
        return failed_at < self._answers

    def forget(self, natural_key: str) -> None:
        """Take in that nothing of a natural key is under way any more."""
        self._failed.pop(natural_key, None)

    def settled(self, command: Command) -> None:
        """Take in that a command is not repeated any more."""
        self._told.pop(exception_id(command), None)

    def is_told(self, command: Command) -> bool:
        """Whether a person was told of a command, or of an earlier one of its natural key."""
        return exception_id(command) in self._told

    def meant(self, request: RetryRequest) -> list[str]:
        """Return the natural keys of what a person was told of and asks for.

        What has not come again yet is tried as it comes.
        """
        for natural_key, refusal in self._earlier.items():
            if request.is_about(refusal):
                self._earlier[natural_key] = replace(refusal, retry_at_s=self._now_s())
        return [it.command.natural_key for it in self._told.values() if request.is_about(it)]

    def come(self, command: Command) -> float:
        """Take in that a command has come, maybe again; return for how long it pauses still."""
        told = self._earlier.get(command.natural_key)
        if told is None or told.command.revision > command.revision:
            return 0.0
        del self._earlier[command.natural_key]
        return self.go_on(told) if told.command.command_id == command.command_id else 0.0

    def go_on(self, told: Refusal) -> float:
        """Go on where an earlier session left a command; return for how long it pauses still."""
        if told.problem.reason is not Reason.UNCLEAR:  # refused, but its result is not known
            return 0.0
        self._told[told.exception_id] = told
        now_s = self._now_s()
        return max(0.0, PACES[Reason.UNCLEAR].believed_s(told.retry_at_s, now_s) - now_s)

    def withdrawn(self, natural_key: str, revision: int) -> Refusal | None:
        """Take in a withdrawal; return what was told of before it, and does not come again.

        Compaction has left the withdrawal in the place of its command.
        """
        told = self._earlier.get(natural_key)
        if told is None or told.command.revision >= revision:
            return None
        return self._earlier.pop(natural_key)

    async def patience_s(
        self,
        step: Step,
        error: TransientError | AuthenticationError,
        failures: int,
        *,
        is_its_own: bool,
        is_down: bool,
        stuck: Stuck | None,
        is_leftover: bool,
    ) -> float:
        """Tell a person of what is repeated in vain for long; return how long it pauses then.

        Not where the target `is_down` for all: that is no matter of single commands. Where a kind
        is `stuck`, one of its commands tells of all. What is `is_leftover` was carried out, and
        what it left behind is told already.
        """
        bounds = None if is_down else _bounds(error, is_its_own=is_its_own or stuck is not None)
        if bounds is None:
            return 0.0
        after, longest_s = bounds
        identity = exception_id(step.command)
        told = self._told.get(identity)
        problem = unclear(error)
        if stuck:
            failures = stuck.in_vain
            if self._speaks(step.command, problem):
                problem = unclear(error, commands=stuck.commands)
            elif told is None:
                return 0.0  # another one tells, and the gate says who asks
        if told is None and failures < after:
            return 0.0
        times = told.refusals + 1 if told else 1
        pause_s = min(longest_s, PACES[Reason.UNCLEAR].pause_s(times, identity))
        if is_leftover:
            return pause_s
        try:
            self._check()
        except LeaseLostError:
            return 0.0  # told by whoever tries it next
        refusal = self._refusal(step, problem, times, pause_s)
        await self._journal.tell(refusal)
        self._told[identity] = refusal
        return pause_s

    def _speaks(self, command: Command, problem: Problem) -> bool:
        """Whether a person is told by this command, and no other one, of what its kind meets."""
        kind = command.kind
        if self._speakers.get(kind) not in self._told:
            told = [it for it in self._told.values() if it.command.kind == kind]
            same = [it.exception_id for it in told if it.problem.code == problem.code]
            self._speakers[kind] = same[0] if same else exception_id(command)
        return self._speakers[kind] == exception_id(command)

    def _refusal(self, step: Step, problem: Problem, times: int, pause_s: float) -> Refusal:
        identity, now_s = exception_id(step.command), self._now_s()
        told = self._told.get(identity)
        return Refusal(
            identity,
            step.command,
            problem,
            step.number if isinstance(step, Attempt) else step.attempts,
            times,
            told.raised_at_s if told else now_s,
            now_s,
            now_s + pause_s,
        )


def _bounds(
    error: TransientError | AuthenticationError, *, is_its_own: bool
) -> tuple[int, float] | None:
    """Return after how many in a row a person is told, and the longest pause from then on.

    None where an error says nothing about its command, nor its kind.
    """
    match error:
        case LeaseLostError() | LateIntentError() | AuthenticationError():
            return None
        case UnclearAnswerError():
            return UNCLEAR_AFTER, DAY_S
        case _:
            return (UNAVAILABLE_AFTER, HOUR_S) if is_its_own else None
