"""Clients made anew when the files of their credentials change.

librdkafka reads certificates once, when a client is made, and a connector file is read at the
start. So a process that is told here that they have changed closes its clients in order and makes
others, as after a restart, and goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import structlog

from runtime.kafka import KafkaSettings, refused_options
from runtime.secrets import mask
from runtime.tls import Stamp, stamp_of

_log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0
"""How often the files are looked at; they must be the same twice, so that none is half there."""


class Renewal:
    """Tells when clients of these settings must be made anew. For one thread.

    `files` are further ones, of which `problems` says why they cannot be used as they are.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        files: Iterable[Path] = (),
        problems: Callable[[], Sequence[str]] = tuple,
        *,
        look_every_s: float = LOOK_EVERY_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._files = (*kafka.paths, *files)
        self._problems = problems
        self._look_every_s = look_every_s
        self._clock_s = clock_s
        self._look_at_s = 0.0
        self.began()

    def began(self) -> None:
        """Clients are made now, from the files as they are."""
        self._used = self._seen = self._refused = self._stamp()

    def is_due(self) -> bool:
        """Whether the files have changed, and can be used as they are now."""
        if self._clock_s() < self._look_at_s:
            return False
        self._look_at_s = self._clock_s() + self._look_every_s
        seen, self._seen = self._seen, self._stamp()
        if self._seen in (self._used, self._refused) or self._seen != seen:
            return False
        refused = refused_options(self._kafka.options()).items() if self._kafka.paths else ()
        problems = [f"{key or 'kafka'}: {each}" for key, each in refused]
        if problems := problems + list(self._problems()):
            self._refused = self._seen
            _log.warning(
                "credentials.refused",
                problems=[mask(each) for each in problems],
                hint="the process goes on with those it has; new connections may be refused",
            )
            return False
        _log.info("credentials.renewed")
        return True

    async def due(self) -> None:
        """Return once it is due."""
        while not self.is_due():  # noqa: ASYNC110 - files set no event
            await asyncio.sleep(self._look_every_s)

    def _stamp(self) -> Stamp:
        return stamp_of(self._files)
