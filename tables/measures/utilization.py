"""Utilization: billable time of a person in a week, over the time that was available.

Hours name an address, so the first fold is by address and week; a second one adds up what the
addresses of a person hold, and needs the person's days; see `availability`. There is a row for
each person and week of employment, hours or none, of the last `WEEKS_KEPT` weeks up to the latest
one, and for each other week with hours. The latest week is that of the latest record a partition
has seen: there is no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

import polars as pl
from pydantic import BaseModel

from tables.foundation.columns import constant, named
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Calendar
from tables.measures.fold import Fold
from tables.measures.measure import (
    Amounts,
    Measure,
    Quantity,
    Row,
    hours,
    publish_partials,
    ratio,
)
from tables.project.addresses import Addresses
from tables.project.hours import week_text
from tables.project.people import Person, capacity, is_employed

VARIANT: Final = "billable_availability"
UNKNOWN_PERSON: Final = "unknown_person"
UNKNOWN_HOURS: Final = "unknown_hours"
NO_AVAILABILITY: Final = "no_availability"
PLACEHOLDER: Final = "placeholder"
WEEKS_KEPT: Final = 260
"""Weeks without hours that have a row: five years, whenever somebody was hired."""
WEEKS_TOLD: Final = "v:utilization|"
"""Begins the names, in the state of the rollup, of weeks that have or had a row."""
_WEEK: Final = timedelta(days=7)

UTILIZATION: Final = Measure(
    name="utilization",
    topic="psa.metric.utilization",
    prefix="u:",
    key=("resource_id", "iso_week"),
    sums={"seconds": Quantity.SECONDS, "total_seconds": Quantity.SECONDS},  # billable, all
    of_hours={"seconds": "billable_seconds", "total_seconds": "seconds"},
    text=lambda resource, week: f"{resource}|{week_text(week)}",
    columns={
        **dict.fromkeys(("resource_id", "iso_week"), pl.String()),
        **dict.fromkeys(("billable_seconds", "total_seconds", "available"), pl.Int64()),
        "ratio_reason": pl.String(),
        "version": pl.Int64(),
    },
    shown={
        **{name: named(name) for name in ("resource_id", "iso_week")},
        "variant": constant(VARIANT),
        "billable_hours": hours("billable_seconds"),
        "total_hours": hours("total_seconds"),
        **{name: named(name) for name in ("billable_seconds", "total_seconds")},
        "available_hours": hours("available"),
        "utilization_ratio": ratio(named("billable_seconds"), named("available")),
        **{name: named(name) for name in ("ratio_reason", "version")},
    },
)


class Horizon(BaseModel):
    """Monday of the latest week a partition has seen."""

    monday: date


class WorkedWeeks(Fold):
    """The first fold: weeks of the addresses of a partition, for one chunk."""

    def __init__(self, documents: Documents, source: str) -> None:
        super().__init__(UTILIZATION, documents)
        self._source = source
        self._addresses = Addresses(documents)
        self._reassigned: set[str] = set()  # addresses

    def reassign(self, row: str, former: Person | None, now: Person | None) -> set[str]:
        """Publish the hours of addresses again that a change of a person gives to another one.

        Returns those addresses.
        """
        addresses = self._addresses.reassign(row, former, now)
        self._reassigned |= addresses
        return addresses

    def owner(self, address: str) -> str | None:
        """Return the person whose the hours of an address are at present."""
        return self._addresses.present_owner(address)

    def publish(self, outbox: Outbox) -> None:
        """Write every week the chunk changed, and hand it on to the partition of the person."""
        self._addresses.settle()
        for address in sorted(self._reassigned):
            for key in self.stored_keys(f"{address}|"):
                self.touch(key)
        changed = self.settle()
        keys = [(address, week) for key, *_ in changed for address, _, week in [key.partition("|")]]
        partials: list[Row] = []
        routes: list[str] = []
        owners = self._addresses.owners(keys) if keys else []
        for total, (address, week), (was, now) in zip(changed, keys, owners, strict=True):
            # One partition may hold several addresses of a person.
            source = f"{self._source}:{address}"
            if was != now and total.is_stored:
                partials.append((f"{was}|{week}", source, *self.measure.nothing))
                routes.append(was)
            partials.append((f"{now}|{week}", source, *total.after))
            routes.append(now)
        publish_partials(outbox, UTILIZATION, partials, routes)


class Weeks:
    """The days of the people of a partition, and which of their weeks have a row, for one chunk.

    State: `c:<person>` calendars, `horizon`.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._calendars: dict[str, Calendar | None] = {}  # as they are now
        self._changed: dict[str, Calendar | None] = {}  # person → calendar before the chunk
        self._horizon = date.min

    def apply_calendar(self, person: str, calendar: Calendar | None) -> None:
        """Take in the days of a person."""
        self._changed.setdefault(person, self._calendar(person))
        self._calendars[person] = calendar
        if calendar is None:
            self._documents.delete(f"c:{person}")
        else:
            self._documents.put(f"c:{person}", calendar)

    def settle(self, timestamp_ms: int) -> Iterator[str]:
        """Yield the key of every week whose row may change with calendars or with time; once."""
        stored = self._documents.get(Horizon, "horizon")
        now = _monday(datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC).date())
        self._horizon = now if stored is None else max(now, stored.monday)
        kept = [self._horizon - n * _WEEK for n in range(WEEKS_KEPT)]
        for person, former in self._changed.items():
            names = self._documents.keys(f"{WEEKS_TOLD}{person}|")
            known = [monday_of(name.rpartition("|")[2]) for name in names]
            yield from _keys(person, _that_differ(former, self._calendar(person), [*kept, *known]))
        if stored is None or self._horizon > stored.monday:
            self._documents.put("horizon", Horizon(monday=self._horizon))
            if stored is not None:
                passed = min((self._horizon - stored.monday) // _WEEK, WEEKS_KEPT)
                weeks = [self._horizon - n * _WEEK for n in range(passed)]
                weeks += [stored.monday - (WEEKS_KEPT - 1 - n) * _WEEK for n in range(passed)]
                for name in self._documents.keys("c:"):
                    yield from _keys(name.removeprefix("c:"), weeks)

    def row(self, key: str, amounts: Amounts) -> Row | None:
        """Return the columns of `UTILIZATION` up to the version; None: no row."""
        person, _, iso_week = key.rpartition("|")
        calendar, monday = self._calendar(person), monday_of(iso_week)
        if not any(amounts) and not is_week_of(calendar, monday, self._horizon):
            return None
        return person, iso_week, *amounts, *availability(calendar, monday)

    def _calendar(self, person: str) -> Calendar | None:
        if person not in self._calendars:
            self._calendars[person] = self._documents.get(Calendar, f"c:{person}")
        return self._calendars[person]


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


def _keys(person: str, mondays: Iterable[date]) -> Iterator[str]:
    for monday in mondays:
        year, week, _ = monday.isocalendar()
        yield f"{person}|{year:04d}-W{week:02d}"


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
