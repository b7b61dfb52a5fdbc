"""The clocks a poller lives by: this host's and the vendor's, either of which may be wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from runtime.clocks import SKEW, is_past

_log = structlog.get_logger()

Clock = Callable[[], datetime]


class Clocks:
    """This host's clock, and what the vendor's showed last, if it shows one.

    The vendor's stamps compare with the vendor's clock. A bookmark must not pass either: too early
    a bookmark reads some rows again, too late a one hides changes until then.
    """

    def __init__(self, system: str, obj: str, ours: Clock) -> None:
        self._labels = {"system": system, "object": obj}
        self.ours = ours
        self._vendor_at: datetime | None = None
        self._differ = False

    @property
    def present(self) -> datetime:
        """The earlier of both clocks."""
        return min(self.ours(), self.vendors)

    @property
    def vendors(self) -> datetime:
        """The vendor's clock at its last answer, ours where it shows none."""
        return self.ours() if self._vendor_at is None else self._vendor_at

    def started(self, ours_at: datetime, vendor_at: datetime | None) -> datetime:
        """Note what both showed when a scan began; return the earlier."""
        self._vendor_at = vendor_at
        if vendor_at is None:
            return ours_at
        differ = abs(ours_at - vendor_at) > SKEW
        if differ and not self._differ:
            _log.warning(
                "poll.clocks_differ",
                ahead_s=round((ours_at - vendor_at).total_seconds()),
                hint="the earlier one counts; check the time synchronisation of this host first",
                **self._labels,
            )
        self._differ = differ
        return min(ours_at, vendor_at)

    def believes(self, name: str, bookmark: datetime | None, now: datetime) -> bool:
        """Whether a bookmark is usable: there is none, or it is not later than `now`."""
        if bookmark is None or is_past(bookmark, now):
            return True
        _log.warning(
            "poll.bookmark_of_the_future",
            bookmark=f"{name} {bookmark.isoformat()}",
            hint="a clock was ahead when it was made; all rows are compared instead",
            **self._labels,
        )
        return False
