"""Second folds: partial aggregates of other groups, summed by their dimension.

A partial replaces the one its source partition sent before, so the sum equals a recomputation.
Utilization also needs the person's days; see `availability`. It has a row for each person and
week of employment, hours or none, of the last `WEEKS_KEPT` weeks up to the latest one, and for
each other week with hours. The latest week is that of the latest record a partition has seen:
there is no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

import polars as pl
from pydantic import BaseModel, Field

from schemas.exact import hours_of
from tables.documents import Documents
from tables.effects import EmitColumns, Outbox, instant
from tables.facts import Calendar, Partial
from tables.people import capacity, is_employed

UTILIZATION_TOPIC: Final = "psa.metric.utilization"
PIPELINE_TOPIC: Final = "psa.metric.pipeline_health"
UTILIZATION_VARIANT: Final = "billable_availability"
UNKNOWN_PERSON: Final = "unknown_person"
UNKNOWN_HOURS: Final = "unknown_hours"
NO_AVAILABILITY: Final = "no_availability"
PLACEHOLDER: Final = "placeholder"
RATIO: Final = Decimal("0.000001")
WEEKS_KEPT: Final = 260
"""Weeks without hours that have a row: five years, whenever somebody was hired."""

Row = tuple[str | int | Decimal | None, ...]

_WEEK: Final = timedelta(days=7)
_HOURS: Final = pl.Decimal(18, 2)
_MONEY: Final = pl.Decimal(38, 6)
ROWS: Final = {
    UTILIZATION_TOPIC: {
        "resource_id": pl.String(),
        "iso_week": pl.String(),
        "variant": pl.String(),
        "billable_hours": _HOURS,
        "total_hours": _HOURS,
        "billable_seconds": pl.Int64(),
        "total_seconds": pl.Int64(),
        "available_hours": _HOURS,
        "utilization_ratio": pl.Decimal(18, 6),
        "ratio_reason": pl.String(),
        "version": pl.Int64(),
    },
    PIPELINE_TOPIC: {
        "stage": pl.String(),
        "currency": pl.String(),
        "opportunities": pl.Int64(),
        "amount": _MONEY,
        "weighted_amount": _MONEY,
        "version": pl.Int64(),
    },
}
"""Columns of what is published, in the order of the rows; `as_of` follows them."""


class RollupDocument(BaseModel):
    """Partials of one dimension by source, and what was last published of their sum."""

    partials: dict[str, Partial] = Field(default_factory=dict)
    version: int = 0
    published: str = ""


class Horizon(BaseModel):
    """Monday of the latest week a partition has seen."""

    monday: date


class RollupTable:
    """The second folds over the documents of one partition, for one chunk.

    Partials are taken in one by one; each dimension they touch is summed and published once, by
    `settle`. State: `<measure>|<dimension>`, `c:<person>` calendars, `horizon`.
    """

    def __init__(self, documents: Documents, outbox: Outbox) -> None:
        self._documents = documents
        self._outbox = outbox
        # (measure, dimension) → partials of the chunk by source; None is a removal.
        self._touched: dict[tuple[str, str], dict[str, Partial | None]] = {}
        self._calendars: dict[str, Calendar | None] = {}  # as they are now
        self._changed: dict[str, Calendar | None] = {}  # person → calendar before the chunk

    def apply_partial(self, key: str, fact: Partial | None, _: int) -> None:
        """Take in a partial; the key is measure, dimension and source."""
        measure, _bar, rest = key.partition("|")
        dimension, _bar, source = rest.rpartition("|")
        self._touched.setdefault((measure, dimension), {})[source] = fact

    def apply_calendar(self, key: str, fact: Calendar | None, _: int) -> None:
        """Take in the days of a person; every week that may change is measured again."""
        self._changed.setdefault(key, self._calendar(key))
        self._calendars[key] = fact
        if fact is None:
            self._documents.delete(f"c:{key}")
        else:
            self._documents.put(f"c:{key}", fact)

    def settle(self, timestamp_ms: int) -> None:
        """Sum, store and publish every dimension the chunk touched; call once, last."""
        horizon = self._settle_weeks(timestamp_ms)
        published: dict[str, tuple[list[str], list[Row], list[str]]] = {
            topic: ([], [], []) for topic in (UTILIZATION_TOPIC, PIPELINE_TOPIC)
        }
        for (measure, dimension), changes in self._touched.items():
            name = f"{measure}|{dimension}"
            document = self._documents.get(RollupDocument, name) or RollupDocument()
            for source, partial in changes.items():
                document.partials.pop(source, None)
                if partial is not None and not _is_nothing(partial):
                    document.partials[source] = partial
            is_utilization = measure == "utilization"
            row = (
                self._utilization(dimension, document, horizon)
                if is_utilization
                else _pipeline(dimension, document)
            )
            content = "" if row is None else "|".join(map(str, row))
            if content != document.published:
                document.published = content
                document.version += 1
                keys, rows, removed = published[
                    UTILIZATION_TOPIC if is_utilization else PIPELINE_TOPIC
                ]
                if row is None:
                    removed.append(dimension)
                else:
                    keys.append(dimension)
                    rows.append((*row, document.version))
            self._documents.put(name, document)
        for topic, (keys, rows, removed) in published.items():
            if keys or removed:
                frame = pl.DataFrame(rows, schema=ROWS[topic], orient="row").with_columns(
                    pl.lit(instant(timestamp_ms)).cast(pl.Datetime("ms", "UTC")).alias("as_of")
                )
                self._outbox.columns.append(EmitColumns(topic, keys, keys, frame, removed))

    # -- weeks ------------------------------------------------------------------------------

    def _settle_weeks(self, timestamp_ms: int) -> date:
        """Touch every week whose row may change with calendars or with time; return the latest."""
        stored = self._documents.get(Horizon, "horizon")
        now = _monday(datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC).date())
        horizon = now if stored is None else max(now, stored.monday)
        kept = [horizon - n * _WEEK for n in range(WEEKS_KEPT)]
        for person, former in self._changed.items():
            names = self._documents.keys(f"utilization|{person}|")
            known = [monday_of(name.rpartition("|")[2]) for name in names]
            self._touch(person, _that_differ(former, self._calendar(person), [*kept, *known]))
        if stored is None or horizon > stored.monday:
            self._documents.put("horizon", Horizon(monday=horizon))
            if stored is not None:
                passed = min((horizon - stored.monday) // _WEEK, WEEKS_KEPT)
                weeks = [horizon - n * _WEEK for n in range(passed)]
                weeks += [stored.monday - (WEEKS_KEPT - 1 - n) * _WEEK for n in range(passed)]
                for name in self._documents.keys("c:"):
                    self._touch(name.removeprefix("c:"), weeks)
        return horizon

    def _touch(self, person: str, mondays: Iterable[date]) -> None:
        for monday in mondays:
            year, week, _ = monday.isocalendar()
            self._touched.setdefault(("utilization", f"{person}|{year:04d}-W{week:02d}"), {})

    def _calendar(self, person: str) -> Calendar | None:
        if person not in self._calendars:
            self._calendars[person] = self._documents.get(Calendar, f"c:{person}")
        return self._calendars[person]

    def _utilization(self, dimension: str, document: RollupDocument, horizon: date) -> Row | None:
        """Return the columns of `metric/utilization` up to the version; None: no row."""
        person, _, iso_week = dimension.rpartition("|")
        parts = document.partials.values()
        billable = sum(each.seconds or 0 for each in parts)
        worked = sum(each.total_seconds or 0 for each in parts)
        calendar, monday = self._calendar(person), monday_of(iso_week)
        if not (billable or worked) and not is_week_of(calendar, monday, horizon):
            return None
        available, reason = availability(calendar, monday)
        ratio = (Decimal(billable) / available).quantize(RATIO) if available else None
        ids = person, iso_week, UTILIZATION_VARIANT
        hours, total = hours_of(billable), hours_of(worked)
        whole = None if available is None else hours_of(available)
        return *ids, hours, total, billable, worked, whole, ratio, reason


def _is_nothing(partial: Partial) -> bool:
    return not (partial.seconds or partial.total_seconds or partial.count)


def _pipeline(dimension: str, document: RollupDocument) -> Row | None:
    """Return the columns of `metric/pipeline_health` up to the version; None: no deals."""
    stage, _, currency = dimension.partition("|")
    parts = document.partials.values()
    count = sum(each.count or 0 for each in parts)
    if not count:
        return None
    amount = sum((each.amount or Decimal(0) for each in parts), Decimal(0))
    weighted = sum((each.weighted_amount or Decimal(0) for each in parts), Decimal(0))
    return stage, currency, count, amount, weighted


def is_week_of(calendar: Calendar | None, monday: date, horizon: date) -> bool:
    """Whether a week has a row without hours: of employment, and of the weeks that are kept."""
    if calendar is None or calendar.kind == PLACEHOLDER:
        return False
    is_kept = horizon - WEEKS_KEPT * _WEEK < monday <= horizon
    return is_kept and any(is_employed(calendar, day) for day in _days(monday))


def availability(calendar: Calendar | None, monday: date) -> tuple[int | None, str | None]:
    """Return the seconds of work a week holds for a person, and why there is no ratio on them."""
    if calendar is None:
        return None, UNKNOWN_PERSON
    seconds = 0
    for day in _days(monday):
        held = capacity(calendar, day)
        if held is None:
            return None, UNKNOWN_HOURS
        seconds += held
    return seconds, None if seconds else NO_AVAILABILITY


@lru_cache(4096)
def monday_of(iso_week: str) -> date:
    """Return the first day of an ISO week, YYYY-Www."""
    return date.fromisocalendar(int(iso_week[:4]), int(iso_week[6:]), 1)


def _days(monday: date) -> list[date]:
    return [monday + timedelta(days=offset) for offset in range(7)]


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _that_differ(former: Calendar | None, now: Calendar | None, mondays: list[date]) -> list[date]:
    """Return the weeks whose row may differ between two calendars."""
    if former is None or now is None:
        return mondays
    if former.model_copy(update={"days_off": now.days_off}) != now:
        return mondays
    moved = set(former.days_off) ^ set(now.days_off)
    return [
        monday
        for monday in mondays
        if any(each.starts_on < monday + _WEEK and monday <= each.ends_on for each in moved)
    ]
