"""The clock of one vendor: it may differ from ours, and it never runs backwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class VendorClock:
    """UTC instants of a vendor, `offset_s` away from the source's."""

    def __init__(self, source: Callable[[], datetime] = _wall_clock) -> None:
        self._source = source
        self._latest = source()
        self.offset_s = 0.0

    def now(self) -> datetime:
        """The instant; never earlier than one returned before."""
        self._latest = max(self._latest, self._source() + timedelta(seconds=self.offset_s))
        return self._latest

    def stamp(self) -> datetime:
        """The instant cut to whole seconds, as vendors stamp their rows."""
        return self.now().replace(microsecond=0)
