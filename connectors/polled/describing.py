"""Looking now and then at what an API describes of its objects, against what was accepted.

A look asks for each object once, by the client that polls it: the same hosts, pace and allowance.
Nothing that fails here stops a poll, and none waits for it. What is described first is accepted;
from then on people do that. An object that is paused is asked nothing.

The first look comes a while after the start: a process that ends again and again asks for nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from connectors.polled import instruments
from connectors.polled.clocks import Clock
from connectors.polled.config import PolledConfig
from connectors.polled.fingerprint import (
    ACCEPTED,
    DESCRIBED,
    Difference,
    DriftKind,
    Fingerprint,
    differences,
    read_fields,
)
from connectors.polled.order_log import Told
from connectors.toolkit.metadata import Describes
from schemas.errors import DecodeError, PsaStreamError, TransientError
from schemas.system import SystemBundle

_log = structlog.get_logger()

FIRST_SHARE: Final = 10
"""The first look comes after such a part of the interval."""
NAMED_MAX: Final = 20
"""Differences that a line of the log names."""


class Fingerprints(Protocol):
    """Where it is kept what was described and accepted."""

    async def told(self) -> Told | None:
        """Return what is kept; None: it can be kept nowhere. Raises BrokerUnavailableError."""
        ...

    async def keep(self, of: str, fingerprint: Fingerprint) -> None:
        """Keep it as accepted or as described. Raises BrokerUnavailableError."""
        ...


class Looks:
    """The looks at the objects of one connector."""

    def __init__(
        self,
        config: PolledConfig,
        system: SystemBundle,
        source: Describes,
        kept: Fingerprints,
        *,
        clock: Clock,
        is_paused: Callable[[str], bool],
    ) -> None:
        self._config = config
        self._system = system
        self._source = source
        self._kept = kept
        self._clock = clock
        self._is_paused = is_paused
        self._said: dict[str, list[Difference]] = {}  # by object, as last logged

    async def run(self) -> None:
        """Look until cancelled."""
        interval_s = self._config.description_interval_ms / 1000
        await asyncio.sleep(interval_s / FIRST_SHARE)
        while True:
            await self.look()
            await asyncio.sleep(interval_s)

    async def look(self) -> None:
        """Look at every object once. Raises nothing: what fails is looked at the next time."""
        for obj in self._config.objects:
            if self._is_paused(obj):
                continue
            try:
                await self._look(obj)
            except PsaStreamError as error:
                self._tell_failed(obj, error)
                if isinstance(error, TransientError):
                    return  # of the vendor or the broker, and so of the other objects
            except Exception:
                # A defect of a look must not end the polls beside it.
                _log.exception(
                    "poll.description_failed",
                    system=self._config.system,
                    object=obj,
                    hint="report it with this trace; polls go on",
                )

    async def _look(self, obj: str) -> None:
        told = await self._kept.told()
        if told is None:
            return
        system = self._config.system
        if (fields := await self._source.describe(obj)) is None:
            return
        now = Fingerprint(system, obj, self._clock(), self._config.name, fields=fields)
        accepted = told.fingerprint(ACCEPTED, system, obj)
        if accepted is None:
            if told.has_accepted(system, obj):
                raise DecodeError(
                    "what people accepted of it cannot be read",
                    hint=f"psastream connectors drift {system} {obj} --accept takes what is"
                    " described now",
                )
            await self._kept.keep(ACCEPTED, now)
            accepted = now
            _log.info("poll.description_accepted", system=system, object=obj, fields=sorted(fields))
        described = told.fingerprint(DESCRIBED, system, obj)
        last = max((it for it in (accepted, described) if it), key=lambda each: each.at)
        if last.fields != fields:
            await self._kept.keep(DESCRIBED, now)
        contract = self._system.contract(obj)
        self._tell(obj, differences(accepted.fields, fields, read_fields(contract)))

    def _tell(self, obj: str, found: list[Difference]) -> None:
        counts = Counter(each.kind for each in found)
        for kind in DriftKind:
            gauge = instruments.DRIFT.labels(self._config.system, obj, kind.value)
            gauge.set(counts[kind])
        if found == self._said.get(obj, []):
            return
        self._said[obj] = found
        if found:
            _log.warning(
                "poll.described_otherwise",
                system=self._config.system,
                object=obj,
                differences=[f"{each.kind.value}: {each.told()}" for each in found[:NAMED_MAX]],
                hint=f"psastream connectors drift {self._config.system} {obj} tells what hangs on"
                " it, --accept takes it as it is",
            )

    def _tell_failed(self, obj: str, error: PsaStreamError) -> None:
        _log.warning(
            "poll.description_failed",
            system=self._config.system,
            object=obj,
            code=error.code,
            error=str(error),
            hint="polls go on; it is asked again at the next look",
        )
