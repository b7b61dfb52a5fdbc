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
from runtime.access import HttpAccess
from runtime.clocks import SKEW
from runtime.tls import client_context
from schemas.errors import ConfigError

CLOCKS: Final = "clocks"
ASK_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Clock:
    """What a clock told, and this host's at the same time; `told` None: it is silent."""

    name: str
    told: datetime | None
    ours: datetime


def asked_over_http(name: str, access: HttpAccess | str, *, timeout_s: float = ASK_S) -> Clock:
    """Return the clock in the answer of a server, whatever the answer is."""
    if isinstance(access, str):
        access = HttpAccess.of(access)
    told: datetime | None = None
    # Who needs the server says what is wrong with it.
    with suppress(httpx2.HTTPError, ValueError, TypeError, ConfigError):
        answer = httpx2.head(
            access.url,
            timeout=timeout_s,
            auth=access.sign_in,
            verify=client_context(access.tls) if access.tls.paths else True,
        )
        told = parsedate_to_datetime(answer.headers.get("Date", ""))
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
