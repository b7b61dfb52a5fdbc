"""A workshop's database as people change it, and what must follow, recomputed from its rows.

The database is that of `tests/outside/workshop.sql`. A history is seeded: tasks get other parents,
rows come before those that they name, change, are struck out and deleted. What must follow is
computed here from the rows that are left, in plain Python.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from schemas import identity

FOLDER: Final = Path(__file__).parents[1] / "outside" / "workshop"
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "project": ("id",),
    "task": ("id",),
    "person": ("id",),
    "rate": ("person_id", "activity"),
    "session": ("id",),
    "cost": ("id",),
    "invoice": ("id",),
    "invoice_line": ("id",),
}
WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DEALS: Final = (("D-1", "DE"), ("D-1", "FR"), ("D-2", "DE"))
"""Deals and countries of the first three projects."""
HELD: Final = (DEALS[0], DEALS[2])
"""Those of which the ERP holds the project."""
FIRST: Final = datetime(2025, 12, 22, 6, tzinfo=UTC)  # what follows crosses a month and a year

Row = dict[str, Any]
Key = tuple[Any, ...]
Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A row as it is now, and as it was. `row` None: it is deleted; `before` None: it is new."""

    table: str
    key: Key
    row: Row | None
    before: Row | None


@dataclass
class Workshop:
    """The rows of the database, and what people do to them.

    `scale`: how many times as many sessions and invoice lines there may be.
    """

    seed: int
    scale: int = 1
    rows: dict[str, dict[Key, Row]] = field(default_factory=lambda: {each: {} for each in KEYS})

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def changes(self, count: int) -> Iterator[Change]:
        """Change rows, as often; in the first half more come than go."""
        names = [
            "project",
            "project",
            "task",
            "task",
            "task",
            "person",
            "rate",
            "rate",
            "cost",
            "cost",
        ]
        names += ["invoice", "invoice_line", "invoice_line", *["session"] * 9]
        for number in range(count):
            table = self._chance.choice(names)
            is_late = number > count // 2
            if is_late and self.rows[table] and self._chance.random() < 0.2:
                yield self._put(table, self._chance.choice([*self.rows[table]]), None)
                continue
            row = getattr(self, f"_{table}")()
            key = tuple(row[each] for each in KEYS[table])
            if table in ("person", "rate") and key in self.rows[table]:
                continue  # what holds from a day on is of `tables.people`
            yield self._put(table, key, row)

    def _put(self, table: str, key: Key, row: Row | None) -> Change:
        rows = self.rows[table]
        before = rows.pop(key, None)
        if row is not None:
            rows[key] = row
        return Change(table, key, row, before)

    # -- rows -------------------------------------------------------------------------------

    def _project(self) -> Row:
        number = self._chance.randrange(5)
        deal, country = [*DEALS, (None, "DE"), ("D-3", None)][number]
        return {
            "id": str(UUID(int=number)),
            "title": f" House {number}",
            "deal": deal,
            "country": country,
            "currency": "EUR",
            "is_open": self._chance.random() < 0.8,
        }

    def _task(self) -> Row:
        number = self._chance.randrange(12)
        parent = self._chance.randrange(number) if number > self._chance.randrange(4) else None
        if self._chance.random() < 0.04:
            parent = self._chance.randrange(12)  # of one below it, too
        project = self._chance.choice([*range(5)] * 4 + [None])
        return {
            "id": number,
            "parent_id": parent,
            "project_id": None if project is None else str(UUID(int=project)),
            "title": "t",
        }

    def _person(self) -> Row:
        number = self._chance.randrange(4)
        days = [timedelta(hours=7, minutes=42) if at < 5 - number else None for at in range(7)]
        return {
            "id": number,
            "full_name": f"P{number}",
            **{day: each or timedelta(0) for day, each in zip(WEEK, days, strict=True)},
            "left_on": date(2026, 1, 7) if number == 1 else None,
        }

    def _rate(self) -> Row:
        cents = self._chance.randrange(1, 20_000)
        return {
            "person_id": self._chance.randrange(5),
            "activity": self._chance.choice(["build, paint", "50% site", "internal"]),
            "bill": self._chance.choice([None, *[Decimal(cents).scaleb(-2), Decimal(cents)] * 2]),
            "cost": Decimal(cents).scaleb(-4),
            "currency": self._chance.choice(["EUR", "EUR", "CHF"]),
        }

    def _session(self) -> Row:
        begun = FIRST + timedelta(microseconds=self._chance.randrange(20 * 86_400_000_000))
        took = timedelta(microseconds=self._chance.randrange(36 * 10**8, 10**11))
        half = timedelta(seconds=self._chance.randrange(3_600, 50_000), milliseconds=500)
        kind = self._chance.choice([0, 0, 0, 1, 1, 2])  # by the clock, by word, still going on
        return {
            "id": str(UUID(int=self._chance.randrange(50 * self.scale))),
            "person_id": self._chance.randrange(5),
            "task_id": self._chance.randrange(13),
            "activity": self._chance.choice(["build, paint", "50% site", "internal"]),
            "shown_at": begun.replace(tzinfo=None) + timedelta(hours=self._chance.randrange(-9, 9)),
            "began": begun,
            "ended": begun + took if kind == 0 else None,
            "worked": self._chance.choice([half, timedelta(hours=30)]) if kind == 1 else None,
            "pause": self._chance.choice([None, timedelta(minutes=20), timedelta(microseconds=1)]),
            "state": self._chance.choice(["draft", "submitted", "rejected", *["approved"] * 6]),
            "is_removed": self._chance.random() < 0.1,
            "line_id": self._chance.choice([None] * 3 + [self._chance.randrange(9 * self.scale)]),
            "note": self._chance.choice([None, "n", self._chance.randbytes(2_000).hex()]),
        }

    def _cost(self) -> Row:
        at = FIRST + timedelta(seconds=self._chance.randrange(20 * 86_400))
        return {
            "id": self._chance.randrange(9),
            "task_id": self._chance.randrange(13),
            "spent": at.replace(tzinfo=None),
            "paid": Decimal(self._chance.randrange(-999, 99_999)).scaleb(
                -self._chance.randrange(5)
            ),
            "currency": self._chance.choice(["EUR", "CHF"]),
            "is_billed": self._chance.random() < 0.5,
            "state": self._chance.choice(["draft", "approved", "approved"]),
        }

    def _invoice(self) -> Row:
        number = self._chance.randrange(5)
        return {
            "id": number,
            "number": f"R{number}",
            "project_id": str(UUID(int=self._chance.randrange(5))),
            "issued": date(2026, 1, 31),
            "currency": "EUR",
            "state": self._chance.choice(["draft", "sent", "paid", "cancelled", "cancelled"]),
        }

    def _invoice_line(self) -> Row:
        return {
            "id": self._chance.randrange(9 * self.scale),
            "invoice_id": self._chance.randrange(6),
            "quantity": Decimal(self._chance.randrange(1, 900)).scaleb(-2),
            "amount": Decimal(self._chance.randrange(1, 99_999)).scaleb(-3),
        }


@dataclass(frozen=True, slots=True)
class Truth:
    """What must follow: by key the row of each output, without what no truth needs."""

    margin: Table
    utilization: Table
    orders: Table


def project_ref(project: str) -> str:
    """The source id of a project."""
    return f"workshop:project:{project}"


def canonical_project(deal: str, country: str) -> str:
    """The canonical id of the project of a deal in a country."""
    return identity.project_id(identity.engagement_id(f"salesforce:opportunity:{deal}"), country)


def person_of(number: int) -> str:
    """The canonical id of a person."""
    return identity.resource_id(f"workshop:person:{number}")


def truth_of(workshop: Workshop) -> Truth:
    """Recompute all outputs from the rows that are left."""
    rows = {name: [*table.values()] for name, table in workshop.rows.items()}
    entries = [*_entries(workshop, rows)]
    return Truth(
        _margin(entries, [*_costs(workshop, rows)]),
        _utilization(workshop, entries),
        _orders(workshop, rows, entries),
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A session that counts: approved, on a project that is there."""

    id: str
    project: Row
    person: int
    day: date
    seconds: int
    bill: Decimal | None
    cost: Decimal | None
    currency: str | None
    is_billable: bool


def _root(workshop: Workshop, task: int) -> str | None:
    """The project of the task at the top; None in a circle, or where one is missing."""
    seen = set()
    row = workshop.rows["task"].get((task,))
    while row is not None and row["parent_id"] is not None:
        if row["id"] in seen:
            return None
        seen.add(row["id"])
        row = workshop.rows["task"].get((row["parent_id"],))
    return None if row is None else row["project_id"]


def _entries(workshop: Workshop, rows: Mapping[str, list[Row]]) -> Iterator[Entry]:
    for row in rows["session"]:
        took = row["worked"] or (row["ended"] and row["ended"] - row["began"])
        project = workshop.rows["project"].get((_root(workshop, row["task_id"]),))
        if row["is_removed"] or not took or project is None or row["state"] != "approved":
            continue
        rate = workshop.rows["rate"].get((row["person_id"], row["activity"]), {})
        micros = (took - (row["pause"] or timedelta(0))) // timedelta(microseconds=1)
        yield Entry(
            id=row["id"],
            project=project,
            person=row["person_id"],
            day=row["shown_at"].date(),
            seconds=round(Fraction(micros, 10**6)),
            bill=rate.get("bill"),
            cost=rate.get("cost"),
            currency=rate.get("currency"),
            is_billable=row["activity"] != "internal",
        )


def _costs(workshop: Workshop, rows: Mapping[str, list[Row]]) -> Iterator[tuple[str, Row]]:
    for row in rows["cost"]:
        project = _root(workshop, row["task_id"])
        if (project,) in workshop.rows["project"] and row["state"] == "approved":
            yield str(project), row


def _margin(entries: list[Entry], costs: list[tuple[str, Row]]) -> Table:
    sums: dict[str, list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    for each in entries:
        key = f"{project_ref(each.project['id'])}|{each.day:%Y-%m}|{each.currency or 'XXX'}"
        hours = Fraction(each.seconds, 3600)
        sums[key][0] += each.seconds
        sums[key][1] += hours * Fraction(each.bill or 0) if each.is_billable else 0
        sums[key][2] += hours * Fraction(each.cost or 0)
    for project, row in costs:
        key = f"{project_ref(project)}|{row['spent']:%Y-%m}|{row['currency']}"
        sums[key][1] += Fraction(row["paid"]) if row["is_billed"] else 0
        sums[key][2] += Fraction(row["paid"])
    return {
        key: (int(seconds), money(revenue), money(cost))
        for key, (seconds, revenue, cost) in sums.items()
        if seconds or revenue or cost
    }


def money(amount: Fraction) -> Decimal:
    """An amount half-even at 6 digits."""
    return Decimal(round(amount * 10**6)).scaleb(-6)


def _utilization(workshop: Workshop, entries: list[Entry]) -> Table:
    sums: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    mondays: dict[str, date] = {}
    for each in entries:
        year, week, day = each.day.isocalendar()
        name = f"{year:04d}-W{week:02d}"
        mondays[name] = each.day - timedelta(days=day - 1)
        sums[each.person, name][0] += each.seconds if each.is_billable else 0
        sums[each.person, name][1] += each.seconds
    table = {}
    for (person, week), (billable, total) in sums.items():
        row = workshop.rows["person"].get((person,))
        available = None
        if row is not None:
            days = [(mondays[week] + timedelta(days=at), row[day]) for at, day in enumerate(WEEK)]
            last = row["left_on"] or date.max
            held = sum((length for day, length in days if day <= last), timedelta(0))
            available = money(Fraction(held // timedelta(seconds=1), 3600))
        table[f"{person_of(person)}|{week}"] = (billable, total, available)
    return table


def _orders(workshop: Workshop, rows: Mapping[str, list[Row]], entries: list[Entry]) -> Table:
    """Time bills that the ERP should get: of sessions that no standing invoice line names."""
    lines: dict[int, list[str]] = defaultdict(list)
    for row in rows["session"]:
        if row["line_id"] is not None and not row["is_removed"]:
            lines[row["line_id"]].append(row["id"])
    billed = set()
    for line in rows["invoice_line"]:
        invoice = workshop.rows["invoice"].get((line["invoice_id"],))
        named = lines[line["id"]]
        if invoice is not None and len(named) == 1 and invoice["state"] != "cancelled":
            billed.add(named[0])
    return {
        f"workshop:session:{each.id}|{project_ref(each.project['id'])}": (
            canonical_project(each.project["deal"], each.project["country"]),
            each.day.isoformat(),
            each.seconds,
            each.bill,
            each.currency,
        )
        for each in entries
        if each.is_billable
        and each.bill is not None
        and (each.project["deal"], each.project["country"]) in HELD
        and each.id not in billed
    }
