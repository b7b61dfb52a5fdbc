"""Orders a test gives to a worker process: end or freeze yourself at a mark."""

import os
import threading
from dataclasses import dataclass
from signal import SIGKILL, Signals
from typing import Any

from streams.engine.marks import Mark


@dataclass(frozen=True)
class Order:
    """Send yourself `signal` when you get to `mark` for the `nth` time from now."""

    mark: Mark
    nth: int = 1
    signal: Signals = SIGKILL

    def to_json(self) -> dict[str, Any]:
        return {"mark": self.mark.value, "nth": self.nth, "signal": self.signal.name}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Order":
        return cls(Mark(given["mark"]), given["nth"], Signals[given["signal"]])


class Orders:
    """Carries out the orders of this process. Marks are reached on any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[Order, int] = {}

    def add(self, order: Order) -> None:
        with self._lock:
            self._left[order] = order.nth

    def reached(self, mark: Mark) -> None:
        with self._lock:
            for order in [order for order in self._left if order.mark is mark]:
                self._left[order] -= 1
                if self._left[order] == 0:
                    del self._left[order]
                    os.kill(os.getpid(), order.signal)
