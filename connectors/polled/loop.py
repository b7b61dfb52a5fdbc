"""Running pollers: when to poll again, and what a failure means for the next time.

No failure ends a loop but one: an error that makes going on harmful (a fenced or broken log) stops
the process. Everything else, a defect of ours too, is repeated, quickly or slowly, and shows in the
metrics; the other objects and connectors are not touched.

Each loop is a part of the process's health: it beats with each page it reads and while it pauses,
and is ready while its last poll was complete.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from structlog.contextvars import bind_contextvars

from connectors.polled import instruments
from connectors.toolkit.faults import UnreadableBodyError
from runtime.health import Health
from runtime.retries import Retries, tell_recovered, tell_retry
from schemas.errors import (
    AuthenticationError,
    BrokerUnavailableError,
    PsaStreamError,
    RateLimitedError,
    RecordError,
    RegistryUnavailableError,
    TransientError,
)

_log = structlog.get_logger()

RETRY_FIRST_S: Final = 0.5
BEAT_S: Final = 30.0
SILENCE_S: Final = 900.0
"""Longest time from one page to the next: attempts, time-outs and asked waits of one request."""
DEFECT: Final = "defect"
"""Reason of a failure outside the error tree."""


_SHARED: Final = (BrokerUnavailableError, RegistryUnavailableError)
"""Errors that all connectors of the process meet at once."""


def part_of(system: str, obj: str) -> str:
    """Name of an object's loop among the parts of a process."""
    return f"{system} {obj}"


class Poller(Protocol):
    """What a loop runs."""

    async def poll(self) -> bool:
        """Poll once; False: nothing was asked."""
        ...


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Times of a loop. `retry_max_s` bounds the pause after any failure."""

    interval_s: float
    retry_max_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means: a bounded reason for the metrics, and whether a person must help."""

    reason: str
    needs_person: bool


def verdict_on(error: PsaStreamError) -> Verdict | None:
    """Return what a failed poll means; None when going on would do damage."""
    match error:
        case RateLimitedError():
            return Verdict("rate_limited", needs_person=False)
        case TransientError() | UnreadableBodyError():
            return Verdict("unavailable", needs_person=False)
        case AuthenticationError():
            return Verdict("authentication", needs_person=True)
        case RecordError():
            return Verdict("schema", needs_person=True)
        case _:
            return None


class ObjectLoop:
    """Polls one object until cancelled, which is safe at any moment: a batch is atomic."""

    def __init__(
        self,
        system: str,
        obj: str,
        poller: Poller,
        settings: LoopSettings,
        *,
        health: Health,
        retries: Retries,
    ) -> None:
        """`retries` is shared by the loops of one vendor, which fails them all at once."""
        self._labels = (system, obj)
        self._retries = retries
        self._told: PsaStreamError | None = None
        self._health = health
        self._part = part_of(system, obj)
        self._poller = poller
        self._settings = settings
        self._stopped_for: str | None = None

    async def run(self) -> None:
        """Poll at the interval. Raises FatalError when the process must end."""
        failures = 0
        bind_contextvars(system=self._labels[0], object=self._labels[1])  # of this task's lines
        self._health.watch(self._part, within_s=SILENCE_S)
        while True:
            failures += 1  # in a row, unless this poll is complete
            try:
                has_asked = await self._poller.poll()
            except PsaStreamError as error:
                verdict = verdict_on(error)
                if verdict is None:
                    raise
                self._report(error, verdict)
                pause_s = self._pause_s(error, verdict, failures)
            except Exception:
                # A defect met by one object must not end the others. A batch is atomic: nothing of
                # this poll is half done.
                self._report_defect()
                pause_s = self._settings.retry_max_s
            else:
                failures = 0
                if has_asked:  # else what was wrong may still be
                    self._set_stopped(None)
                    self._tell_recovered()
                pause_s = self._settings.interval_s
            self._health.ready(self._part, failures == 0)
            await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> None:
        while pause_s > BEAT_S:
            await asyncio.sleep(BEAT_S)
            self._health.beat(self._part)
            pause_s -= BEAT_S
        await asyncio.sleep(pause_s)

    def _pause_s(self, error: PsaStreamError, verdict: Verdict, failures: int) -> float:
        if verdict.needs_person:
            return self._settings.retry_max_s
        bound_s = min(RETRY_FIRST_S * 2 ** min(failures - 1, 16), self._settings.retry_max_s)
        pause_s: float = bound_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        asked_s = error.retry_after_s if isinstance(error, RateLimitedError) else None
        return pause_s if asked_s is None else max(pause_s, asked_s)

    def _report(self, error: PsaStreamError, verdict: Verdict) -> None:
        system, obj = self._labels
        instruments.ERRORS.labels(system, obj, verdict.reason).inc()
        self._set_stopped(verdict.reason if verdict.needs_person else None)
        if verdict.needs_person:
            _log.error("poll.failed", system=system, object=obj, code=error.code, error=str(error))
            return
        self._told = error
        if isinstance(error, _SHARED):
            tell_retry(error)
        else:
            self._retries.tell(error, **error.context | {"system": system, "object": obj})

    def _tell_recovered(self) -> None:
        if self._told is None:
            return
        if isinstance(self._told, _SHARED):
            tell_recovered(self._told)
        else:
            self._retries.tell_recovered(self._told)
        self._told = None

    def _report_defect(self) -> None:
        system, obj = self._labels
        instruments.ERRORS.labels(system, obj, DEFECT).inc()
        self._set_stopped(DEFECT)
        _log.exception(
            "poll.failed", system=system, object=obj, code=DEFECT, hint="report it with this trace"
        )

    def _set_stopped(self, reason: str | None) -> None:
        if self._stopped_for is not None:
            instruments.STOPPED.labels(*self._labels, self._stopped_for).set(0)
        self._stopped_for = reason
        if reason is not None:
            instruments.STOPPED.labels(*self._labels, reason).set(1)
