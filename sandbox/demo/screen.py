"""Prints what psastream did for the firm, at 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from psastream.lines import cut
from sandbox.demo.result import (
    Latency,
    Margin,
    Result,
    Unbilled,
    Utilization,
    Waited,
    everybody,
    total_of,
)
from sandbox.demo.table import table_lines, wrapped
from schemas.exact import hours_of

NOTHING: Final = "—"
STATES: Final = {
    "blocked": "the ERP cannot take it",
    "ready": "ordered from the ERP",
    "transferred": "in the ERP, on no invoice",
}
"""What billing states mean, in a few words."""
PROJECT_CHARACTERS: Final = 44
"""Of a project's name, so that the customer's is seen beside it."""


def print_result(console: Console, result: Result) -> None:
    """Print margins, people, what waited and how fresh the numbers were; what is empty says so."""
    for lines in (
        _margins(result.margins),
        _unbilled(result.unbilled),
        _people(result.people, result.weeks),
        _waited(result.waited, result.dead_letters),
        _latency(result.latency),
    ):
        for line in lines:
            console.print(line, soft_wrap=True)
        console.print()


def _margins(margins: Sequence[Margin]) -> Iterator[Text]:
    yield _title("Margin by project and month, of approved hours and expenses")
    if not margins:
        yield Text("no margins: no approved hours or expenses of a known project")
        return
    rows: list[Sequence[str] | str] = []
    for (project, customer), found in groupby(margins, lambda each: (each.project, each.customer)):
        rows.append(f"{cut(project, PROJECT_CHARACTERS)}, for {customer or 'no customer'}")
        for each in found:
            rows.append(_margin(f"  {each.period}", each))
            if each.reason:
                rows.append(f"    no revenue: {each.reason.replace('_', ' ')}")
    for title, is_internal in ("all projects of customers", False), ("all internal projects", True):
        meant = [each for each in margins if each.is_internal is is_internal]
        rows += [title] if meant else []
        by_currency = sorted(meant, key=lambda each: each.currency)
        for currency, found in groupby(by_currency, lambda each: each.currency):
            rows.append(_margin(f"  in {currency}", total_of(list(found))))
    yield from table_lines(
        ("project, month", "hours", "revenue", "cost", "margin", "", "margin %"), rows
    )


def _margin(name: str, each: Margin) -> Sequence[str]:
    return (
        name,
        f"{hours_of(each.seconds):,.2f} h",
        _money(each.revenue),
        _money(each.cost),
        _money(each.margin),
        each.currency,
        _percent(each.ratio),
    )


def _unbilled(unbilled: Sequence[Unbilled]) -> Iterator[Text]:
    yield _title("Approved hours that are not billed yet")
    if not unbilled:
        yield Text("nothing is unbilled: every approved hour to bill is on an invoice")
        return
    rows = [
        (
            f"{each.state}: {STATES[each.state]}",
            _hours(hours_of(each.seconds)),
            _money(each.amount),
            each.currency,
        )
        for each in unbilled
    ]
    yield from table_lines(("state", "hours", "worth", ""), rows)


def _people(people: Sequence[Utilization], weeks: tuple[str, str] | None) -> Iterator[Text]:
    if weeks is None:
        yield _title("Billable utilization by person")
        yield Text("no utilization: nobody has approved hours")
        return
    yield _title(f"Billable utilization by person, weeks {weeks[0]} to {weeks[1]}")
    rows = [_person(each) for each in (*people, everybody(people))]
    yield from table_lines(("person", "billable", "capacity", "utilization"), rows)


def _person(each: Utilization) -> Sequence[str]:
    name = f"{each.person} ({each.reason.replace('_', ' ')})" if each.reason else each.person
    return (
        name,
        _hours(hours_of(each.billable_seconds)),
        _hours(each.available_hours),
        _percent(each.ratio),
    )


def _waited(waited: Sequence[Waited], dead_letters: Sequence[str]) -> Iterator[Text]:
    yield _title("What waited for a person, and what it was worth")
    if waited:
        rows: list[Sequence[str] | str] = []
        for cause, found in groupby(waited, lambda each: each.cause):
            rows += wrapped(cause)
            rows += (
                (
                    "  released" if each.is_released else "  still waits",
                    f"{each.count:,}",
                    _money(each.amount),
                    each.currency or "",
                    _duration(each.longest),
                )
                for each in found
            )
        yield from table_lines(("cause", "cases", "worth", "", "longest wait"), rows)
    else:
        yield Text("no exceptions: nothing waited")
    for line in dead_letters:
        yield from map(Text, wrapped(f"refused, and kept whole in psa.dlq: {line}"))


def _latency(latency: Latency | None) -> Iterator[Text]:
    yield _title("From a change to the margin that holds it")
    if latency is None:
        yield Text("no latency: no margin was read while the story ran")
        return
    row = ("latency", f"{latency.p50_s:,.3f} s", f"{latency.p95_s:,.3f} s", f"{latency.count:,}")
    yield from table_lines(("", "p50", "p95", "changes"), [row])
    words = (
        f"From {latency.begins} to when a reader has the margin. Of changes that came together,"
        " the newest. All parts share this machine."
    )
    yield from map(Text, wrapped(words))


def _title(text: str) -> Text:
    return Text(text, style="bold")


def _money(amount: Decimal | None) -> str:
    return NOTHING if amount is None else f"{amount:,.2f}"


def _hours(hours: Decimal | None) -> str:
    return NOTHING if hours is None else f"{hours:,.2f} h"


def _percent(ratio: Decimal | None) -> str:
    return NOTHING if ratio is None else f"{ratio * 100:,.1f} %"


def _duration(took: timedelta | None) -> str:
    return NOTHING if took is None else f"{took.total_seconds():,.1f} s"
