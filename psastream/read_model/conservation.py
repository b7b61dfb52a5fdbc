"""Do the numbers of a firm add up? Approved time is compared with margins and billing states.

Each approved entry of a known project is in a margin and in a billing state, whatever happened on
its way (I11). The tables that work them out are not asked: what they published is.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from schemas.errors import ReadModelUnavailableError

LOOK_EVERY_S: Final = 60.0
SHARE_MAX: Final = 0.02
"""Of its time, what a database may spend on being compared."""
ENTRIES_MARGIN: Final = "entries_margin"
MARGIN_BILLING: Final = "margin_billing"

DIFFERENCES: Final = """
    WITH entries AS (
        SELECT project_ref, sum(seconds) AS seconds
          FROM {schema}.time_entry WHERE status = 'approved' GROUP BY 1
    ), margin AS (
        SELECT project_ref, sum(seconds) AS seconds
          FROM {schema}.metric_project_margin GROUP BY 1
    ), billing AS (
        SELECT project_ref, sum(seconds) AS seconds
          FROM {schema}.status_billing GROUP BY 1
    ), compared AS (
        SELECT project_ref,
               coalesce(e.seconds, 0) - coalesce(m.seconds, 0) AS entries_margin,
               coalesce(m.seconds, 0) - coalesce(b.seconds, 0) AS margin_billing,
               coalesce(m.project_ref, b.project_ref) IS NOT NULL AS is_published
          FROM entries AS e
          FULL JOIN margin AS m USING (project_ref)
          FULL JOIN billing AS b USING (project_ref)
    )
    SELECT c.project_ref, c.entries_margin::bigint, c.margin_billing::bigint,
           s.currency, sum(abs(s.amount))
      FROM compared AS c LEFT JOIN {schema}.status_billing AS s USING (project_ref)
     WHERE (c.entries_margin <> 0 OR c.margin_billing <> 0)
       AND (c.is_published OR EXISTS (
               SELECT 1 FROM {schema}.project AS p WHERE p.id = c.project_ref))
     GROUP BY 1, 2, 3, 4
"""
"""Of each project whose numbers differ: seconds, and its money by currency.

Entries of a project that nobody knows yet wait, and are in no number.
"""

Row = tuple[str, int, int, str | None, Decimal | None]


class ConservationMetrics:
    """What is told of numbers that do not add up."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.seconds = Gauge(
            "psastream_conservation_difference_seconds",
            "Time by which approved entries, margins and billing states of projects differ for"
            " good.",
            ("between",),
            registry=registry,
        )
        self.money = Gauge(
            "psastream_conservation_doubtful_money",
            "Money of the billing states of those projects, for display.",
            ("currency",),
            registry=registry,
        )
        self.checked_at = Gauge(
            "psastream_conservation_checked_timestamp_seconds",
            "When they were last compared.",
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """Seconds by which the numbers of a project differ, and its money by currency."""

    entries_margin: int
    margin_billing: int
    money: Mapping[str, Decimal] = field(default_factory=dict, compare=False)


def differences_of(rows: Iterable[Row]) -> dict[str, Difference]:
    """Return what `DIFFERENCES` found, by project. Pure."""
    found: dict[str, Difference] = {}
    money: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for project, entries_margin, margin_billing, currency, amount in rows:
        if currency is not None and amount is not None:
            money[project][currency] = amount
        found[project] = Difference(entries_margin, margin_billing, money[project])
    return found


class Conservation:
    """Compares now and then. For one thread."""

    def __init__(
        self,
        metrics: ConservationMetrics,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock_s` is a monotonic clock."""
        self._metrics, self._clock_s = metrics, clock_s
        self._look_at_s = 0.0
        self._before: Mapping[str, Difference] = {}

    def look(self, differences: Callable[[], Iterable[Row]]) -> None:
        """Compare, where it is time to; nobody waits for a database that cannot.

        Topics arrive one after the other: only a difference that is found twice is one.
        """
        began_s = self._clock_s()
        if began_s < self._look_at_s:
            return
        rows: Iterable[Row] | None = None
        with suppress(ReadModelUnavailableError):  # whoever writes next says so
            rows = differences()
        took_s = self._clock_s() - began_s
        self._look_at_s = began_s + max(LOOK_EVERY_S, took_s / SHARE_MAX)
        if rows is None:
            return
        found = differences_of(rows)
        self._tell([it for project, it in found.items() if self._before.get(project) == it])
        self._before = found

    def _tell(self, lasting: Iterable[Difference]) -> None:
        seconds = dict.fromkeys((ENTRIES_MARGIN, MARGIN_BILLING), 0)
        money: dict[str, Decimal] = defaultdict(Decimal)
        for each in lasting:
            seconds[ENTRIES_MARGIN] += abs(each.entries_margin)
            seconds[MARGIN_BILLING] += abs(each.margin_billing)
            for currency, amount in each.money.items():
                money[currency] += amount
        for between, value in seconds.items():
            self._metrics.seconds.labels(between).set(value)
        self._metrics.money.clear()
        for currency, amount in money.items():
            self._metrics.money.labels(currency).set(float(amount))
        self._metrics.checked_at.set_to_current_time()
