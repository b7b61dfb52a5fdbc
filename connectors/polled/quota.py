"""When a vendor's allowance of requests is gone, at the pace at which it is used up.

A vendor counts what everybody uses, not only we; so its own count, told with its answers, says more
than ours would.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from connectors.polled import instruments

WINDOW_S: Final = 3_600.0
"""The pace is that of so long a time."""
WINDOW_MIN_S: Final = 120.0
"""Polls come in bursts: of a shorter time nothing is foretold."""
SAMPLE_S: Final = 10.0
RENEWED_RATIO: Final = 0.05
"""A rise by such a share of the allowance is a new one; less comes back by and by."""
NEVER: Final = float("inf")


class Quota:
    """The allowance of one system, all but the reserve that is left to everybody else."""

    def __init__(
        self,
        system: str,
        reserve_ratio: float,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock_s` is a monotonic clock."""
        self._system, self._reserve_ratio, self._clock_s = system, reserve_ratio, clock_s
        self._seen: deque[tuple[float, float]] = deque()  # when, and the share that was left

    def see(self, left: float, limit: float) -> None:
        """Note how many of `limit` requests are left, and tell what follows."""
        ratio, now_s = min(max(left / limit, 0.0), 1.0), self._clock_s()
        if self._seen and ratio > self._seen[-1][1] + RENEWED_RATIO:
            self._seen.clear()
        while self._seen and self._seen[0][0] < now_s - WINDOW_S:
            self._seen.popleft()
        if len(self._seen) > 1 and now_s - self._seen[-2][0] < SAMPLE_S:
            self._seen.pop()
        self._seen.append((now_s, ratio))
        instruments.QUOTA_REMAINING.labels(self._system).set(ratio)
        instruments.QUOTA_SECONDS.labels(self._system).set(self.remaining_s())

    def remaining_s(self) -> float:
        """Until only the reserve is left; NEVER where the allowance does not fall."""
        if not self._seen:
            return NEVER
        (since_s, before), (now_s, ratio) = self._seen[0], self._seen[-1]
        spare = ratio - self._reserve_ratio
        if spare <= 0:
            return 0.0
        if now_s - since_s < WINDOW_MIN_S or ratio >= before:
            return NEVER
        return spare * (now_s - since_s) / (before - ratio)
