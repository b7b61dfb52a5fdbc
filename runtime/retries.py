"""Says that something is tried again: one line a minute for each kind of error, in our words.

A part that does not answer fails every partition and every object at once; the first to notice
says so for the process. `configure_logs` makes stamina, too, speak through `tell_retry`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from stamina.instrumentation import RetryDetails

from schemas.errors import PsaStreamError

REMINDER_S: Final = 60.0
_FORGOTTEN_AFTER_S: Final = 5 * REMINDER_S
"""Nobody has retried for so long: what comes then is another failure."""

_log = structlog.get_logger()


class Retries:
    """Remembers which kinds of error are being told. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds that never go back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._began_s: dict[str, float] = {}
        self._told_s: dict[str, float] = {}
        self._last_s: dict[str, float] = {}

    def tell(self, error: BaseException, **where: object) -> None:
        """Log that what raised `error` is tried again, unless its kind was told within a minute."""
        now_s, kind = self._clock(), _kind(error)
        with self._lock:
            if now_s - self._last_s.get(kind, now_s) > _FORGOTTEN_AFTER_S:
                self._forget(kind)
            self._last_s[kind] = now_s
            began_s = self._began_s.setdefault(kind, now_s)
            told_s = self._told_s.get(kind)
            if told_s is not None and now_s - told_s < REMINDER_S:
                return
            self._told_s[kind] = now_s
        since = {"since_s": round(now_s - began_s)} if told_s is not None else {}
        hint = error.hint if isinstance(error, PsaStreamError) else ""
        detail = error.detail if isinstance(error, PsaStreamError) else repr(error)
        _log.warning(
            "retry.told",
            code=kind,
            error=detail,
            hint=hint or "nothing need be done unless this is said again",
            **since,
            **where,
        )

    def tell_recovered(self, error: BaseException) -> None:
        """Log that what had raised `error` works again, if its retry was told."""
        kind = _kind(error)
        with self._lock:
            began_s = self._forget(kind)
        if began_s is not None:
            _log.info("retry.recovered", code=kind, after_s=round(self._clock() - began_s, 1))

    def _forget(self, kind: str) -> float | None:
        """Begin anew with a kind; return since when it was told."""
        self._told_s.pop(kind, None)
        self._last_s.pop(kind, None)
        return self._began_s.pop(kind, None)


def _kind(error: BaseException) -> str:
    return error.code if isinstance(error, PsaStreamError) else type(error).__name__


_process = Retries()


def tell_retry(error: BaseException, **where: object) -> None:
    """See `Retries.tell`; for this process."""
    _process.tell(error, **where)


def tell_recovered(error: BaseException) -> None:
    """See `Retries.tell_recovered`; for this process."""
    _process.tell_recovered(error)


def on_stamina_retry(details: RetryDetails) -> None:
    """What stamina calls before each of its retries."""
    _process.tell(details.caused_by)
