"""People in time: what holds of a person on a day.

A value holds from a day until the next one. Where a source tells its history, that is the
history. Where it tells only today's value, one is kept here: a value holds from the day the
source says it changed (UTC), and the first known one holds for the time before as well, so a
change of today moves no past week. What is kept depends on the changes of one row in their order
and on nothing else; an older change of a row, delivered again, changes nothing.

State: `who:<row>` a person; `rate:<row>` what their hours cost; `off:<row>` an absence, found by
`offp:<person>|<row>` or, for holidays, by `offr:<region>|<row>`; `in:<region>|<person>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict

from schemas.exact import SECONDS_AN_HOUR
from tables.foundation.documents import Documents
from tables.foundation.effects import Value
from tables.foundation.facts import (
    Absence,
    Calendar,
    DatedRate,
    DayOff,
    Employment,
    KnownPattern,
    RateCard,
    Resource,
)

EVERYWHERE: Final = "*"
"""Region of a holiday that names none: everybody's."""
APPROVED: Final = "approved"
HOLIDAY: Final = "holiday"
DAY: Final = timedelta(days=1)

Held = TypeVar("Held")
Pattern = tuple[int, ...]
"""Seconds of work on Monday to Sunday."""


History = tuple[tuple[date, Held], ...]
"""Values, each with the day from which it holds, in order of their days."""


def on(history: History[Held], day: date) -> Held | None:
    """Return the value that holds on a day; the first one holds for the time before it, too."""
    earlier = (value for starts_on, value in reversed(history) if starts_on <= day)
    return next(earlier, history[0][1] if history else None)


def since(history: History[Held], day: date | None, value: Held) -> History[Held]:
    """Return a history with a value that was learnt of on a day.

    Of several on one day the last counts. Without a day the latest value is replaced.
    """
    if not history:
        return ((day or date.min, value),)
    latest_on, latest = history[-1]
    if latest == value:
        return history
    if day is None or day <= latest_on:
        return (*history[:-1], (latest_on, value))
    return (*history, (day, value))


class Person(BaseModel):
    """A row of a person with the histories kept of it."""

    model_config = ConfigDict(frozen=True)

    resource: Resource
    employments: tuple[Employment, ...] = ()
    patterns: History[Pattern | None] = ()  # None: not known
    regions: History[str | None] = ()
    addresses: History[str | None] = ()

    def claims(self) -> Iterator[tuple[str, date]]:
        """Yield each address and the day from which it is this person's."""
        hired_on = self.employments[0].starts_on if self.employments else None
        for index, (starts_on, address) in enumerate(self.addresses):
            if address is not None:
                yield address, starts_on if index else hired_on or date.min


def learnt(former: Person | None, fact: Resource) -> Person:
    """Return a person after a change of their row."""
    day = None if fact.source_at is None else fact.source_at.date()
    kept = former or Person(resource=fact)
    return Person(
        resource=fact,
        employments=_employments(kept.employments, fact, day),
        patterns=_patterns(kept.patterns, fact, day),
        regions=since(kept.regions, day, fact.region_ref),
        addresses=since(kept.addresses, day, fact.address_id),
    )


def _patterns(
    former: History[Pattern | None], fact: Resource, day: date | None
) -> History[Pattern | None]:
    if fact.work_patterns:
        return tuple(sorted((each.starts_on, each.seconds) for each in fact.work_patterns))
    if fact.work_hours is None:
        return since(former, day, None)
    seconds = tuple(int(hours * SECONDS_AN_HOUR) for hours in fact.work_hours)
    return since(former, day, seconds)


def _employments(
    former: tuple[Employment, ...], fact: Resource, day: date | None
) -> tuple[Employment, ...]:
    """Return the spells of employment: a later one beside a former, or a former one corrected."""
    last = former[-1] if former else None
    starts_on, ends_on = fact.starts_on, fact.ends_on
    if ends_on is None and fact.is_active is False:
        # Archived without a last day: the day of that, once learnt.
        ends_on = last.ends_on if last is not None and last.ends_on is not None else day
    if last is not None and len(former) > 1:
        before = former[-2].ends_on or date.max
        # A row in use again may keep the first day of the first spell.
        starts_on = starts_on if starts_on is not None and starts_on > before else last.starts_on
    now = Employment(starts_on=starts_on, ends_on=ends_on)
    if last is None or last.ends_on is None:
        return (*former[:-1], now)
    if starts_on is not None and starts_on > last.ends_on:
        return (*former, now)
    if day is not None and last.ends_on < day <= (ends_on or day):
        # Somebody who had left is back: what lies between stays as it was.
        return (*former, Employment(starts_on=day, ends_on=ends_on))
    return (*former[:-1], now)


class Rates(BaseModel):
    """What an hour of a person costs and sells for, with the histories kept of it."""

    model_config = ConfigDict(frozen=True)

    card: RateCard
    costs: History[Decimal | None] = ()
    prices: History[Decimal | None] = ()


def priced(former: Rates | None, fact: RateCard) -> Rates:
    """Return the rates of a person after a change of their card."""
    day = None if fact.source_at is None else fact.source_at.date()
    costs = former.costs if former else ()
    if fact.cost_rates:
        costs = tuple(
            (each.starts_on, each.rate) for each in sorted(fact.cost_rates, key=_by_day_and_rate)
        )
    else:
        costs = since(costs, day, fact.cost_rate)
    prices = since(former.prices if former else (), day, fact.bill_rate)
    return Rates(card=fact, costs=costs, prices=prices)


def _by_day_and_rate(each: DatedRate) -> tuple[date, bool, Decimal]:
    """Order of dated rates: of several of one day the highest counts, and a known one."""
    return each.starts_on, each.rate is not None, each.rate or Decimal(0)


def is_holiday(absence: Absence) -> bool:
    """Whether an absence is that of a place and not of people."""
    return absence.kind == HOLIDAY


def spans(absence: Absence) -> list[tuple[date, date]]:
    """Return the first and last day of each stretch of an absence."""
    found = [(day, day) for day in absence.dates or ()]
    if absence.starts_on is not None:
        last = absence.ends_on or absence.starts_on
        found += [(absence.starts_on, last)] if last >= absence.starts_on else []
    return found


def calendar_of(person: Person, absences: Iterable[Absence]) -> Calendar:
    """Return the days of a person: what holds when, and the days off that are theirs."""
    days_off = [
        DayOff(
            starts_on=first,
            ends_on=last,
            seconds=None if absence.is_whole_day else absence.seconds_per_day,
            is_holiday=is_holiday(absence),
        )
        for absence in absences
        for starts_on, ends_on in spans(absence)
        for first, last in _stays(person, absence, starts_on, ends_on)
    ]
    return Calendar(
        resource_id=person.resource.resource_id,
        kind=person.resource.kind,
        employments=person.employments,
        patterns=tuple(
            KnownPattern(starts_on=starts_on, seconds=pattern)
            for starts_on, pattern in person.patterns
        ),
        days_off=tuple(sorted(days_off, key=lambda each: (each.starts_on, each.ends_on))),
    )


def _stays(
    person: Person, absence: Absence, first: date, last: date
) -> Iterator[tuple[date, date]]:
    """Yield the part of a stretch over which an absence is the person's: holidays, by region."""
    if not is_holiday(absence) or absence.region_ref is None:
        yield first, last
        return
    history = person.regions
    for index, (starts_on, region) in enumerate(history):
        begins = starts_on if index else date.min
        ends = history[index + 1][0] - DAY if index + 1 < len(history) else date.max
        if region == absence.region_ref and max(first, begins) <= min(last, ends):
            yield max(first, begins), min(last, ends)


def as_record(calendar: Calendar) -> dict[str, Value]:
    """Return a calendar as a record of `internal/calendar`."""
    return {
        "resource_id": calendar.resource_id,
        "kind": calendar.kind,
        "employments": [each.model_dump() for each in calendar.employments],
        "patterns": [
            {
                "starts_on": each.starts_on,
                "seconds": None if each.seconds is None else list(each.seconds),
            }
            for each in calendar.patterns
        ],
        "days_off": [each.model_dump() for each in calendar.days_off],
    }


def pattern_on(calendar: Calendar, day: date) -> Pattern | None:
    """Return the working pattern that holds on a day; None where it is not known."""
    return on(tuple((each.starts_on, each.seconds) for each in calendar.patterns), day)


def days_off_on(calendar: Calendar, day: date) -> list[DayOff]:
    """Return the leave and the holidays of a day."""
    return [each for each in calendar.days_off if each.starts_on <= day <= each.ends_on]


def is_employed(calendar: Calendar, day: date) -> bool:
    """Whether a person is employed on a day."""
    return any(
        (each.starts_on or day) <= day <= (each.ends_on or day) for each in calendar.employments
    )


def capacity(calendar: Calendar, day: date) -> int | None:
    """Return the seconds of work a day holds; None where the working pattern is not known."""
    if not is_employed(calendar, day):
        return 0
    pattern = pattern_on(calendar, day)
    if pattern is None:
        return None
    seconds = pattern[day.weekday()]
    for each in days_off_on(calendar, day):
        seconds -= seconds if each.seconds is None else each.seconds
    return max(0, seconds)


class People:
    """The people, rates and absences of a partition, for one chunk."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._calendars: dict[str, Calendar | None] = {}
        # One absence may be of thousands of people, and name them all: it is read once.
        self._known_absences: dict[str, Absence | None] = {}

    def person(self, row: str) -> Person | None:
        """Return a person."""
        return self._documents.get(Person, f"who:{row}")

    def rates(self, row: str) -> Rates | None:
        """Return what an hour of a person costs and sells for."""
        return self._documents.get(Rates, f"rate:{row}")

    def calendar(self, row: str) -> Calendar | None:
        """Return the days of a person, None for one who is not known."""
        if row not in self._calendars:
            person = self.person(row)
            self._calendars[row] = (
                None if person is None else calendar_of(person, self._absences(row, person))
            )
        return self._calendars[row]

    def apply_resource(
        self, row: str, fact: Resource | None
    ) -> tuple[Person | None, Person | None]:
        """Take in a change of a person; return them before and after it."""
        former = self.person(row)
        if fact is not None and former is not None and _is_stale(fact, former.resource):
            return former, former
        now = None if fact is None else learnt(former, fact)
        for region in _regions(former) - _regions(now):
            self._documents.delete(f"in:{region}|{row}")
        for region in _regions(now) - _regions(former):
            self._documents.put_raw(f"in:{region}|{row}", b"1")
        if now is None:
            self._documents.delete(f"who:{row}")
        else:
            self._documents.put(f"who:{row}", now)
        self._calendars.pop(row, None)
        return former, now

    def apply_rate_card(self, row: str, fact: RateCard | None) -> None:
        """Take in a change of what a person's hours cost."""
        former = self.rates(row)
        if fact is None:
            self._documents.delete(f"rate:{row}")
        elif former is None or not _is_stale(fact, former.card):
            self._documents.put(f"rate:{row}", priced(former, fact))

    def apply_absence(self, row: str, fact: Absence | None) -> set[str]:
        """Take in a change of an absence; return the people, by row, whose days it changes."""
        former = self._absence(row)
        if fact is not None and former is not None and _is_stale(fact, former):
            return set()
        self._known_absences[row] = fact
        for name in _index(row, former):
            self._documents.delete(name)
        for name in _index(row, fact):
            self._documents.put_raw(name, b"1")
        if fact is None:
            self._documents.delete(f"off:{row}")
        else:
            self._documents.put(f"off:{row}", fact)
        self._calendars.clear()
        return {
            person
            for absence in (former, fact)
            if absence is not None
            for person in self._people_of(absence)
        }

    def _absences(self, row: str, person: Person) -> Iterator[Absence]:
        prefixes = [f"offp:{row}|", *(f"offr:{region}|" for region in sorted(_regions(person)))]
        for name in [name for prefix in prefixes for name in self._documents.keys(prefix)]:
            absence = self._absence(name.partition("|")[2])
            if absence is not None and absence.status in (None, APPROVED):
                yield absence

    def _absence(self, row: str) -> Absence | None:
        if row not in self._known_absences:
            self._known_absences[row] = self._documents.get(Absence, f"off:{row}")
        return self._known_absences[row]

    def _people_of(self, absence: Absence) -> list[str]:
        if not is_holiday(absence):
            return list(absence.resource_refs or ())
        names = self._documents.keys(f"in:{absence.region_ref or EVERYWHERE}|")
        return [name.partition("|")[2] for name in names]


def _regions(person: Person | None) -> set[str]:
    if person is None:
        return set()
    return {EVERYWHERE, *(region for _, region in person.regions if region is not None)}


def _index(row: str, absence: Absence | None) -> list[str]:
    if absence is None:
        return []
    if is_holiday(absence):
        return [f"offr:{absence.region_ref or EVERYWHERE}|{row}"]
    return [f"offp:{person}|{row}" for person in absence.resource_refs or ()]


def _is_stale(fact: Resource | RateCard | Absence, former: Resource | RateCard | Absence) -> bool:
    """Whether a change is at or below the position of the one that is known. Upholds I3."""
    new, known = fact.source_position, former.source_position
    return new is not None and known is not None and new <= known
