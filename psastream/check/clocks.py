"""How far the clocks of others are from this host's.

A vendor's, a registry's and Connect's are in the `Date` of an answer, in whole seconds; a database
tells its own. Kafka's protocol tells no clock: its brokers are to be kept by the same time servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2

from psastream.check.findings import Finding
from psastream.lines import shown_age
from psastream.verdict import Verdict
from runtime.clocks import SKEW

CLOCKS: Final = "clocks"
ASK_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Clock:
    """What a clock told, and this host's at the same time; `told` None: it is silent."""

    name: str
    told: datetime | None
    ours: datetime


def asked_over_http(name: str, url: str, *, timeout_s: float = ASK_S) -> Clock:
    """Return the clock in the answer of a server, whatever the answer is."""
    told: datetime | None = None
    with suppress(httpx2.HTTPError, ValueError, TypeError):  # who needs the server says so
        told = parsedate_to_datetime(httpx2.head(url, timeout=timeout_s).headers.get("Date", ""))
    if told is not None and told.tzinfo is None:  # "-0000": UTC that nobody vouches for
        told = told.replace(tzinfo=UTC)
    return Clock(name, told, datetime.now(UTC))


def clock_findings(clock: Clock) -> Iterator[Finding]:
    """Yield what is found of a clock; of one that tells nothing, nothing."""
    if clock.told is None:
        return
    apart = abs(clock.told - clock.ours)
    if apart <= SKEW:
        yield Finding(CLOCKS, clock.name, Verdict.OK, f"within {shown_age(SKEW)} of this host's")
        return
    side = "ahead of" if clock.told > clock.ours else "behind"
    yield Finding(
        CLOCKS,
        clock.name,
        Verdict.FAIL if apart > timedelta(minutes=5) else Verdict.WARN,
        f"{shown_age(apart)} {side} this host's",
        "have both hosts follow time servers (chronyc tracking)",
    )
