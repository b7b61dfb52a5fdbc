"""How far a stored stamp is believed: a clock that ran ahead leaves stamps of the future behind.

Waiting for such an instant to come can take years. So whoever compares a stamp that was kept, by
us or by a vendor, with a clock asks here. A stamp of the past may be as wrong, but only makes work
come early.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

SKEW: Final = timedelta(minutes=1)
"""How far the clocks of two hosts may be apart before one of them is taken for wrong."""


def is_past(stamp: datetime, now: datetime) -> bool:
    """Whether a stamp can have been made by now; one of the future is not believed."""
    return stamp - now <= SKEW


def has_passed(interval: timedelta, since: datetime | None, now: datetime) -> bool:
    """Whether an interval has passed since a stamp; so it has since none and one not believed."""
    return since is None or not is_past(since, now) or now - since >= interval
