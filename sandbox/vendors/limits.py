"""Throttles: requests in a sliding window, and requests in flight."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RateWindow:
    """Counts the requests of the last `window_s` seconds."""

    def __init__(self, window_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._now_s = now_s
        self._admitted_s: deque[float] = deque()

    def has_room(self, limit: int) -> bool:
        """Whether fewer than `limit` requests were counted in the window."""
        return self.counted() < limit

    def counted(self) -> int:
        """Requests counted in the window."""
        horizon_s = self._now_s() - self._window_s
        while self._admitted_s and self._admitted_s[0] <= horizon_s:
            self._admitted_s.popleft()
        return len(self._admitted_s)

    def count(self) -> None:
        """Count a request that was let through."""
        self._admitted_s.append(self._now_s())

    def retry_after_s(self) -> int:
        """Whole seconds until the oldest request leaves the window."""
        if not self._admitted_s:
            return 0
        return max(1, math.ceil(self._admitted_s[0] + self._window_s - self._now_s()))


class ConcurrencySlots:
    """Requests in flight, account-wide."""

    def __init__(self) -> None:
        self.taken = 0

    @contextmanager
    def take(self, limit: int) -> Iterator[bool]:
        """Yield whether a slot was free; it is given back at the end."""
        if self.taken >= limit:
            yield False
            return
        self.taken += 1
        try:
            yield True
        finally:
            self.taken -= 1
