"""Commands that are repeated in vain: whose failure is their own, and which a person is told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from connectors.dispatch.commands import Command
from connectors.dispatch.exceptions import exception_id
from connectors.dispatch.journal import Journal
from connectors.dispatch.lease import Check, LeaseLostError
from connectors.dispatch.ledger import Attempt, Step
from connectors.dispatch.pace import DAY_S, HOUR_S, PACES
from connectors.dispatch.refusals import Refusal, RetryRequest
from connectors.dispatch.verdicts import unclear
from connectors.toolkit.faults import Reason, UnclearAnswerError, VendorUnavailableError
from schemas.errors import AuthenticationError, TransientError

UNCLEAR_AFTER: Final = 8
"""Answers in a row that nobody understands, after which a person is told."""
UNAVAILABLE_AFTER: Final = 30
"""Failures of the target in a row that one command meets, after which a person is told."""


class Repeated:
    """Those of one target."""

    def __init__(self, journal: Journal, check: Check, now_s: Callable[[], float]) -> None:
        """`check` raises LeaseLostError where nothing may be told; `now_s` since the epoch."""
        self._journal = journal
        self._check = check
        self._now_s = now_s
        self._answers = 0  # good ones so far
        self._failed: dict[str, int] = {}  # natural key → answers when it failed last
        self._told: dict[str, Refusal] = {}  # by exception id

    def __len__(self) -> int:
        """How many a person was told of."""
        return len(self._told)

    def answered(self) -> None:
        """Take in a good answer: a command was carried out, found to be, or refused."""
        self._answers += 1

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

    def meant(self, request: RetryRequest) -> Iterator[str]:
        """Yield the natural keys of what a person was told of and asks for."""
        for refusal in self._told.values():
            if request.is_about(refusal):
                yield refusal.command.natural_key

    async def patience_s(
        self,
        step: Step,
        error: TransientError | AuthenticationError,
        failures: int,
        *,
        is_alone: bool,
        is_leftover: bool,
    ) -> float:
        """Tell a person of what is repeated in vain for long; return how long it pauses then.

        Not where the target is down for all: that is no matter of single commands. What is
        `is_leftover` was carried out, and what it left behind is told already.
        """
        match error:
            case UnclearAnswerError():
                after, longest_s = UNCLEAR_AFTER, DAY_S
            case VendorUnavailableError() if is_alone or self.is_told(step.command):
                after, longest_s = UNAVAILABLE_AFTER, HOUR_S
            case _:
                return 0.0
        if failures < after:
            return 0.0
        times = failures - after + 1
        identity = exception_id(step.command)
        pause_s = min(longest_s, PACES[Reason.UNCLEAR].pause_s(times, identity))
        if is_leftover:
            return pause_s
        try:
            self._check()
        except LeaseLostError:
            return 0.0  # told by whoever tries it next
        refusal = self._refusal(step, error, times, pause_s)
        await self._journal.tell(refusal)
        self._told[identity] = refusal
        return pause_s

    def _refusal(
        self, step: Step, error: VendorUnavailableError, times: int, pause_s: float
    ) -> Refusal:
        identity, now_s = exception_id(step.command), self._now_s()
        told = self._told.get(identity)
        return Refusal(
            identity,
            step.command,
            unclear(error),
            step.number if isinstance(step, Attempt) else step.attempts,
            times,
            told.raised_at_s if told else now_s,
            now_s,
            now_s + pause_s,
        )
