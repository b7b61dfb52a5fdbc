"""What psastream did for the firm, from what it published: margins, people, what waited. Pure.

Rows are those of the topics, as `Topic.record` says. Nothing here comes from the books.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from schemas.exact import SECONDS_AN_HOUR, ratio_of

Row = Mapping[str, Any]
Rows = Mapping[str, Row]

RESOLVED: Final = "resolved"
UNBILLED: Final = ("blocked", "ready", "transferred")
"""Billing states of approved time that is to be invoiced, from the farthest to the nearest."""


@dataclass(frozen=True, slots=True)
class Margin:
    """A month of a project in a currency. What is None is not known; `reason` says why.

    `is_internal`: the project names neither a deal nor a customer.
    """

    project: str
    customer: str | None
    period: str
    currency: str
    seconds: int
    revenue: Decimal | None
    cost: Decimal
    margin: Decimal | None
    ratio: Decimal | None
    reason: str | None
    is_internal: bool = False


@dataclass(frozen=True, slots=True)
class Unbilled:
    """Approved time of a billing state in a currency, which no invoice holds yet."""

    state: str
    currency: str
    seconds: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Utilization:
    """A person over some weeks. What is None is not known; `reason` says why there is no ratio."""

    person: str
    billable_seconds: int
    available_hours: Decimal | None
    ratio: Decimal | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Waited:
    """Exceptions of one cause in one currency that were released, or that still wait.

    `amount` None: they are not about money. `longest`: of the released, since they were opened.
    """

    cause: str
    is_released: bool
    count: int
    amount: Decimal | None
    currency: str | None
    longest: timedelta | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from `begins` to the first margin that a reader had, at two ranks."""

    begins: str
    p50_s: float
    p95_s: float
    count: int


@dataclass(frozen=True, slots=True)
class Result:
    """Everything the end of a demo says of the firm. `weeks`: first and last with hours."""

    margins: Sequence[Margin] = ()
    unbilled: Sequence[Unbilled] = ()
    weeks: tuple[str, str] | None = None
    people: Sequence[Utilization] = ()
    waited: Sequence[Waited] = ()
    dead_letters: Sequence[str] = ()
    latency: Latency | None = None


def margins_of(
    metrics: Iterable[Row], projects: Rows, engagements: Rows, customers: Rows
) -> list[Margin]:
    """Return rows of `psa.metric.project_margin` with names, by project and month.

    `projects` are rows of `psa.project`, `engagements` of `psa.status.project`, `customers` of
    `psa.status.customer`, each by id.
    """
    found = []
    for row in metrics:
        project = projects.get(row["project_ref"], {})
        engagement = engagements.get(row["project_id"], {})
        customer = engagement.get("customer_id") or project.get("customer_id")
        found.append(
            Margin(
                project=project.get("name") or row["project_ref"],
                customer=customers.get(customer, {}).get("name") if customer else None,
                period=row["period"],
                currency=row["currency"],
                seconds=row["seconds"],
                revenue=row["revenue"],
                cost=row["cost"],
                margin=row["margin"],
                ratio=row["margin_ratio"],
                reason=row["revenue_reason"],
                is_internal=not (engagement or project.get("engagement_id") or customer),
            )
        )
    return sorted(found, key=lambda each: (each.project, each.currency, each.period))


def unbilled_of(rows: Iterable[Row]) -> list[Unbilled]:
    """Return what is approved and on no invoice, of rows of `psa.status.billing`."""
    seconds: dict[tuple[int, str], int] = defaultdict(int)
    amounts: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        if row["state"] in UNBILLED and row["seconds"]:
            key = UNBILLED.index(row["state"]), row["currency"]
            seconds[key] += row["seconds"]
            amounts[key] += row["amount"] or Decimal(0)
    return [
        Unbilled(UNBILLED[state], currency, seconds[state, currency], amounts[state, currency])
        for state, currency in sorted(seconds)
    ]


def total_of(margins: Sequence[Margin]) -> Margin:
    """Return the sum of margins of one currency; unknown where one of them is."""
    assert len({each.currency for each in margins}) == 1
    revenues = [each.revenue for each in margins]
    cost = sum((each.cost for each in margins), Decimal(0))
    revenue = None
    if None not in revenues:
        revenue = sum((each for each in revenues if each is not None), Decimal(0))
    margin = None if revenue is None else revenue - cost
    return Margin(
        project="",
        customer=None,
        period="",
        currency=margins[0].currency,
        seconds=sum(each.seconds for each in margins),
        revenue=revenue,
        cost=cost,
        margin=margin,
        ratio=margin / revenue if margin is not None and revenue else None,
        reason=None,
    )


def weeks_of(metrics: Iterable[Row]) -> tuple[str, str] | None:
    """Return the first and the last week in which somebody has hours, None without any."""
    worked = sorted(row["iso_week"] for row in metrics if row["total_seconds"])
    return (worked[0], worked[-1]) if worked else None


def people_of(
    metrics: Iterable[Row], resources: Iterable[Row], weeks: tuple[str, str] | None
) -> list[Utilization]:
    """Return each person's rows of `psa.metric.utilization` from one week to another, added up.

    `resources` are rows of `psa.resource`. Hours in weeks without known availability count in no
    ratio: the person has none then.
    """
    names = {row["resource_id"]: row["name"] for row in resources}
    found: dict[str, list[Row]] = defaultdict(list)
    for row in metrics:
        if weeks and weeks[0] <= row["iso_week"] <= weeks[1]:
            found[row["resource_id"]].append(row)
    people = []
    for resource, rows in found.items():
        billable = sum(row["billable_seconds"] for row in rows)
        hours = [row["available_hours"] for row in rows]
        available = None if None in hours else sum(hours, Decimal(0))
        ratio = _ratio(billable, available)
        reasons = [row["ratio_reason"] for row in rows if row["ratio_reason"]]
        people.append(
            Utilization(
                person=names.get(resource) or resource,
                billable_seconds=billable,
                available_hours=available,
                ratio=ratio,
                reason=reasons[0] if reasons and ratio is None else None,
            )
        )
    return sorted(people, key=lambda each: each.person)


def everybody(people: Iterable[Utilization]) -> Utilization:
    """Return those together whose ratio is known."""
    known = [each for each in people if each.ratio is not None and each.available_hours is not None]
    billable = sum(each.billable_seconds for each in known)
    available = sum((each.available_hours or Decimal(0) for each in known), Decimal(0))
    return Utilization(
        "all with a known capacity", billable, available, _ratio(billable, available)
    )


def _ratio(billable_seconds: int, available_hours: Decimal | None) -> Decimal | None:
    if available_hours is None:
        return None
    return ratio_of(billable_seconds, int(available_hours * SECONDS_AN_HOUR))


def waited_of(records: Iterable[Row]) -> list[Waited]:
    """Return what waited for a person, by cause, state and currency; the released first.

    `records` are all of `psa.exception` in their order. What is opened again after its release is
    a case of its own. A released one is worth what its last record says; where that names no
    money, what it was worth when it was last open.
    """
    still: dict[str, _Case] = {}
    cases: list[_Case] = []
    for row in records:
        identity = row["exception_id"]
        if row["status"] != RESOLVED:
            first = still[identity].opened_at if identity in still else row["raised_at"]
            still[identity] = _Case(row, row["amount"], row["currency"], first)
        elif (case := still.pop(identity, None)) is not None:
            if row["amount"] is not None:
                case = replace(case, amount=row["amount"], currency=row["currency"])
            cases.append(replace(case, took=row["raised_at"] - case.opened_at))
    groups: dict[tuple[str, bool, str], list[_Case]] = defaultdict(list)
    for case in (*cases, *still.values()):
        groups[case.cause, case.took is None, case.currency or ""].append(case)
    details: dict[str, list[str]] = defaultdict(list)
    for case in (*cases, *still.values()):
        details[case.cause].append(case.row["detail"] or case.cause)
    return [
        Waited(
            cause=f"{cause}: {_one_of(details[cause])}",
            is_released=not waits,
            count=len(found),
            amount=_sum(case.amount for case in found),
            currency=currency or None,
            longest=max((case.took for case in found if case.took is not None), default=None),
        )
        for (cause, waits, currency), found in sorted(groups.items())
    ]


@dataclass(frozen=True, slots=True)
class _Case:
    """One exception from its opening to its release; `took` None: it still waits."""

    row: Row
    amount: Decimal | None
    currency: str | None
    opened_at: datetime
    took: timedelta | None = None

    @property
    def cause(self) -> str:
        """What could not be done where, in a few words."""
        kind = self.row["kind"].removeprefix("upsert_").replace("_", " ")
        return f"{self.row['system']} {kind}"


def _one_of(details: Sequence[str]) -> str:
    """Return the most frequent detail, and how many others there are."""
    counts = Counter(details)
    detail, others = min(counts, key=lambda each: (-counts[each], each)), len(counts) - 1
    return f"{detail} (and {others} like it)" if others else detail


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum of what is known, None where nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None
