"""What a process answers to `/livez` and `/readyz`: live while its parts beat, ready once they are.

A part that works in turns beats at each turn; silence beyond its bound means that it hangs. Each
process names its parts; nothing here knows what they do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Check = Callable[[], bool]

EVENT_LOOP: Final = "event loop"


@dataclass(slots=True)
class _Part:
    within_s: float
    beat_at_s: float
    is_ready: bool
    why_not: str = ""


class Health:
    """Beats and readiness of the parts of a process. Thread-safe.

    Live: every part has beaten within its bound, and none has failed. Ready: live, at least one
    part is known, and every part is ready.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells monotonic seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: dict[str, _Part] = {}
        self._failure: str | None = None

    def watch(self, part: str, *, within_s: float, is_ready: bool = False) -> None:
        """From now on the part must beat at least every `within_s` seconds."""
        with self._lock:
            self._parts[part] = _Part(within_s, self._clock(), is_ready)

    def forget(self, part: str) -> None:
        """The part has ended in order."""
        with self._lock:
            self._parts.pop(part, None)

    def beat(self, part: str) -> None:
        """Note that the part is alive."""
        with self._lock:
            self._parts[part].beat_at_s = self._clock()

    def ready(self, part: str, is_ready: bool, *, why_not: str = "") -> None:
        """Note whether the part does its work, and why not where that is known; also a beat."""
        with self._lock:
            noted = self._parts[part]
            noted.is_ready, noted.why_not = is_ready, why_not
            noted.beat_at_s = self._clock()

    def fail(self, reason: str) -> None:
        """The process is broken for good: neither live nor ready from now on."""
        with self._lock:
            self._failure = self._failure or reason

    def ailments(self) -> list[str]:
        """Say what keeps the process from being live; empty where nothing does."""
        with self._lock:
            now_s = self._clock()
            late = [
                f"{name} silent for {now_s - part.beat_at_s:.0f} s"
                for name, part in self._parts.items()
                if now_s - part.beat_at_s > part.within_s
            ]
            return ([self._failure] if self._failure else []) + late

    def reasons(self) -> list[str]:
        """Say what keeps the process from being ready; empty where nothing does."""
        with self._lock:
            waiting = (
                [
                    f"{name} is not ready" + (part.why_not and f": {part.why_not}")
                    for name, part in self._parts.items()
                    if not part.is_ready
                ]
                if self._parts
                else ["nothing has started yet"]
            )
        return [*self.ailments(), *waiting]

    def is_live(self) -> bool:
        """Whether no part hangs."""
        return not self.ailments()

    def is_ready(self) -> bool:
        """Whether every part does its work."""
        return not self.reasons()

    def checks(self) -> Mapping[str, Check]:
        """Return the checks for `runtime.prometheus.serve_metrics`."""
        return {"livez": self.is_live, "readyz": self.is_ready}
