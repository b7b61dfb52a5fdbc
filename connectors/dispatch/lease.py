"""The right to act for some partitions, proven by the group's coordinator and ending by itself.

A process that was stopped and goes on does not know that others have taken over. So before every
call to a target and every record in the journal it asks this clock, which went on while it stood
still. The proof is a commit that the coordinator accepted: from then on the member lives for at
least its session time-out, and nobody else is given its partitions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from connectors.toolkit.http import Limiter
from schemas.errors import TransientError

Check = Callable[[], None]
"""Raises where acting is not allowed any more."""

MARGIN_S: Final = 1.0
"""What the coordinator's clock may run faster within one session time-out."""


class LeaseLostError(TransientError):
    """This process cannot prove any more that its partitions are its own: nothing may be done.

    What it has done under the lease, up to now and without a record of it, has to settle first.
    """

    code = "transient.lease_lost"

    def __init__(self, detail: str, *, hint: str = "") -> None:
        super().__init__(detail, outcome_unknown=True, hint=hint)


def boot_clock() -> float:
    """Return monotonic seconds that go on while the process, or the machine, is suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Lease:
    """Until when this process may act. Thread-safe: one float is read or written."""

    def __init__(self, session_s: float, *, clock: Callable[[], float] = boot_clock) -> None:
        """`session_s` is the session time-out of the group."""
        self._length_s = session_s - MARGIN_S
        self.clock = clock
        self._until_s = float("-inf")

    def proven(self, asked_at_s: float) -> None:
        """The coordinator has answered what it was asked at this time of `clock`."""
        self._until_s = asked_at_s + self._length_s

    def end(self) -> None:
        """The partitions are gone."""
        self._until_s = float("-inf")

    @property
    def is_held(self) -> bool:
        """Whether acting is still allowed."""
        return self.clock() < self._until_s

    def check(self) -> None:
        """Raise LeaseLostError where acting is not allowed any more. Directly before acting."""
        if not self.is_held:
            raise LeaseLostError(
                "the right to act for the partitions is not proven",
                hint="after a pause of the process others may have taken over; nothing was done",
            )


class LeasedLimiter(Limiter):
    """A limiter whose slots are given only while the lease is held.

    It is the last thing that a request passes before it is sent.
    """

    def __init__(self, max_in_flight: int, per_second: float | None, *, check: Check) -> None:
        super().__init__(max_in_flight, per_second)
        self._check = check

    async def __aenter__(self) -> None:
        """Wait for a slot, then check. Raises LeaseLostError."""
        await super().__aenter__()
        try:
            self._check()
        except BaseException:
            await super().__aexit__(None, None, None)
            raise
