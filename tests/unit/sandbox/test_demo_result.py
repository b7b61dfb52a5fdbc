"""The end of a demo: what it says of the firm, from rows of the topics, at 80 columns."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len
from rich.console import Console

from sandbox.books.audit import Audit
from sandbox.demo.freshness import began_at, latency_of
from sandbox.demo.picture import picture
from sandbox.demo.result import (
    Latency,
    Result,
    Unbilled,
    Utilization,
    Waited,
    everybody,
    margins_of,
    people_of,
    total_of,
    unbilled_of,
    waited_of,
    weeks_of,
)
from sandbox.demo.screen import print_result
from sandbox.demo.table import WIDTH, table_lines

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
LONG = "Transformation of the northern grid and of everything that is connected with it, phase two"
PROJECTS = {
    "psa:project:1": {"name": LONG, "engagement_id": "eng-1", "customer_id": None},
    "psa:project:2": {"name": "Training", "engagement_id": None, "customer_id": None},
}
ENGAGEMENTS = {"eng-1-de": {"customer_id": "cus-1"}}
CUSTOMERS = {"cus-1": {"name": "北方エネルギー株式会社 and partners of the north"}}


def metric(**changes: object) -> Mapping[str, Any]:
    """A row of `psa.metric.project_margin`."""
    row = {
        "project_id": "eng-1-de",
        "project_ref": "psa:project:1",
        "period": "2026-09",
        "currency": "EUR",
        "seconds": 3_600,
        "revenue": Decimal("100.000000"),
        "revenue_reason": None,
        "cost": Decimal("60.000000"),
        "margin": Decimal("40.000000"),
        "margin_ratio": Decimal("0.400000"),
    }
    return row | changes


def week(resource: str, iso_week: str, **changes: object) -> Mapping[str, Any]:
    """A row of `psa.metric.utilization`."""
    row = {
        "resource_id": resource,
        "iso_week": iso_week,
        "billable_seconds": 0,
        "total_seconds": 0,
        "available_hours": Decimal("40.00"),
        "ratio_reason": None,
    }
    return row | changes


def case(identity: str, status: str, minutes: int, **changes: object) -> Mapping[str, Any]:
    """A row of `psa.exception`."""
    row = {
        "exception_id": identity,
        "status": status,
        "system": "netsuite",
        "kind": "upsert_time_bill",
        "detail": "no right" if status == "open" else None,
        "amount": Decimal("10.000000"),
        "currency": "EUR",
        "raised_at": NOON + timedelta(minutes=minutes),
    }
    return row | changes


def printed(result: Result, *, width: int = WIDTH, is_terminal: bool = False) -> str:
    text = io.StringIO()
    print_result(Console(file=text, width=width, force_terminal=is_terminal, no_color=True), result)
    return text.getvalue()


def margins(*rows: Mapping[str, Any]) -> Result:
    return Result(margins=margins_of(rows, PROJECTS, ENGAGEMENTS, CUSTOMERS))


def test_margins_bear_names_and_are_in_order() -> None:
    rows = [
        metric(period="2026-10"),
        metric(),
        metric(project_id="psa:project:2", project_ref="psa:project:2"),
        metric(project_ref="psa:project:9"),
    ]
    found = margins_of(rows, PROJECTS, ENGAGEMENTS, CUSTOMERS)
    assert [(each.project, each.customer, each.period) for each in found] == [
        ("Training", None, "2026-09"),
        (LONG, CUSTOMERS["cus-1"]["name"], "2026-09"),
        (LONG, CUSTOMERS["cus-1"]["name"], "2026-10"),
        ("psa:project:9", CUSTOMERS["cus-1"]["name"], "2026-09"),
    ]


def test_internal_projects_are_in_no_total_of_customers() -> None:
    """One is: it names neither a deal nor a customer."""
    training = metric(project_id=None, project_ref="psa:project:2", revenue=Decimal(0))
    shown = margins(metric(), training | {"margin": Decimal(-60), "margin_ratio": None})
    assert [each.is_internal for each in shown.margins] == [True, False]
    lines = printed(shown).splitlines()
    at = lines.index("all projects of customers")
    assert [line.split() for line in lines[at + 1 : at + 4]] == [
        ["in", "EUR", "1.00", "h", "100.00", "60.00", "40.00", "EUR", "40.0", "%"],
        ["all", "internal", "projects"],
        ["in", "EUR", "1.00", "h", "0.00", "60.00", "-60.00", "EUR", "—"],
    ]
    assert "all internal" not in printed(margins(metric()))


def test_what_is_approved_and_not_billed_is_told_by_state_and_currency() -> None:
    def row(state: str, currency: str, seconds: int, amount: str | None) -> dict[str, Any]:
        money = None if amount is None else Decimal(amount)
        return {"state": state, "currency": currency, "seconds": seconds, "amount": money}

    rows = [
        row("transferred", "EUR", 3_600, "100.000000"),
        row("transferred", "EUR", 1_800, "50.010000"),
        row("blocked", "PLN", 3_600, None),
        row("ready", "EUR", 0, "0.000000"),
        *(row(state, "EUR", 3_600, "7") for state in ("invoiced", "covered", "written_off")),
    ]
    found = unbilled_of(rows)
    assert found == [
        Unbilled("blocked", "PLN", 3_600, Decimal(0)),
        Unbilled("transferred", "EUR", 5_400, Decimal("150.01")),
    ]
    shown = printed(Result(unbilled=found))
    assert "transferred: in the ERP, on no invoice" in shown
    assert " 1.50 h  150.01  EUR" in shown
    assert "nothing is unbilled" in printed(Result())


def test_sums_are_exact_beyond_what_a_float_holds() -> None:
    large = Decimal("90071992547409930.010001")
    found = margins_of(
        [metric(revenue=large), metric(period="2026-10", revenue=large, seconds=1)],
        PROJECTS,
        ENGAGEMENTS,
        CUSTOMERS,
    )
    total = total_of(found)
    assert total.revenue == Decimal("180143985094819860.020002")
    assert total.margin == Decimal("180143985094819740.020002")
    assert total.seconds == 3_601
    assert "90,071,992,547,409,930.01 " in printed(Result(margins=found))


def test_a_total_of_what_is_not_known_is_not_known() -> None:
    rows = [metric(), metric(period="2026-10", revenue=None, margin=None, margin_ratio=None)]
    total = total_of(margins_of(rows, PROJECTS, ENGAGEMENTS, CUSTOMERS))
    assert (total.revenue, total.margin, total.ratio) == (None, None, None)
    assert total.cost == 120


def test_why_there_is_no_revenue_is_said() -> None:
    nothing = {"revenue": None, "margin": None, "margin_ratio": None}
    shown = printed(margins(metric(**nothing, revenue_reason="no_contract_value")))
    assert "no revenue: no contract value" in shown
    assert "—" in shown


def test_a_person_is_added_up_over_the_weeks_in_which_somebody_works() -> None:
    rows = [
        week("a", "2026-W10"),
        week("a", "2026-W37", billable_seconds=3_600 * 10, total_seconds=3_600 * 12),
        week("a", "2026-W38", available_hours=Decimal("0.00"), ratio_reason="no_availability"),
        week("b", "2026-W38", total_seconds=1, available_hours=None, ratio_reason="unknown_hours"),
        week("b", "2026-W39"),
    ]
    weeks = weeks_of(rows)
    assert weeks == ("2026-W37", "2026-W38")
    people = people_of(rows, [{"resource_id": "a", "name": "Ada Adler"}], weeks)
    assert people == [
        Utilization("Ada Adler", 36_000, Decimal("40.00"), Decimal("0.250000")),
        Utilization("b", 0, None, None, "unknown_hours"),
    ]
    together = everybody(people)
    assert (together.billable_seconds, together.available_hours) == (36_000, 40)
    assert together.ratio == Decimal("0.25")
    shown = printed(Result(weeks=weeks, people=people))
    assert "weeks 2026-W37 to 2026-W38" in shown
    assert "b (unknown hours)" in shown
    assert "25.0 %" in shown


def test_what_waited_is_told_by_cause_state_and_currency() -> None:
    rows = [
        case("1", "open", 0),
        case("1", "open", 2, amount=Decimal("11.000000"), detail="no right at all"),
        case("2", "open", 0, currency="PLN"),
        case("3", "open", 1),
        case("1", "resolved", 5, amount=Decimal("12.500000")),
        case("3", "resolved", 2, amount=None, currency=None),
        case("4", "resolved", 2),
    ]
    cause = "netsuite time bill: no right (and 1 like it)"
    assert waited_of(rows) == [
        Waited(cause, True, 2, Decimal("22.500000"), "EUR", timedelta(minutes=5)),
        Waited(cause, False, 1, Decimal("10.000000"), "PLN", None),
    ]


def test_what_is_opened_again_waits_anew() -> None:
    rows = [case("1", "open", 0), case("1", "resolved", 1), case("1", "open", 7)]
    released, waits = waited_of(rows)
    assert (released.is_released, released.longest) == (True, timedelta(minutes=1))
    assert (waits.is_released, waits.count, waits.amount) == (False, 1, 10)
    shown = printed(Result(waited=[released, waits]))
    assert "  released " in shown
    assert "60.0 s" in shown
    assert "  still waits " in shown


def test_an_exception_that_is_not_about_money_has_no_worth() -> None:
    (waits,) = waited_of([case("1", "open", 0, amount=None, currency=None)])
    assert (waits.amount, waits.currency) == (None, None)
    assert "still waits" in printed(Result(waited=[waits]))


def test_latency_is_of_changes_that_began_and_were_seen() -> None:
    began = dict.fromkeys(range(1, 22), NOON)
    seen = {number: NOON + timedelta(seconds=number) for number in range(2, 22)} | {99: NOON}
    found = latency_of(began, seen, "the commit")
    assert found == Latency("the commit", 11.0, 20.0, 20)
    assert latency_of({}, seen, "the commit") is None
    shown = printed(Result(latency=found))
    assert "11.000 s" in shown
    assert "From the commit" in shown


def test_a_change_of_a_database_began_with_its_commit_a_polled_one_as_it_was_read() -> None:
    rows = [{"source_position": 1_000_000, "source_at": NOON}]
    assert began_at(rows, is_database=True) == {1_000_000: NOON}
    assert began_at(rows, is_database=False) == {
        1_000_000: datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    }


def test_what_is_not_there_is_said() -> None:
    shown = printed(Result())
    for text in ("no margins", "no utilization", "no exceptions", "no latency"):
        assert text in shown


def everything() -> Result:
    """Long names, large amounts, several currencies, an unknown person, lines of others."""
    rows = [
        metric(currency=currency, period=period, revenue=Decimal("98765432.105000"))
        for currency in ("EUR", "PLN")
        for period in ("2026-09", "2026-10")
    ]
    detail = "you need a higher permission \x1b[31mfor\nthis page " * 9
    people = [Utilization(LONG, 3_600_000, Decimal("1234.50"), Decimal("-12.345678"))]
    return Result(
        margins=margins_of(rows, PROJECTS, ENGAGEMENTS, CUSTOMERS),
        weeks=("2026-W37", "2026-W42"),
        people=people,
        waited=waited_of([case("1", "open", 0, detail=detail, amount=Decimal("98765432.105"))]),
        dead_letters=[f"1 of src.psa.time_entries: {detail}"],
        latency=Latency("the commit in the database of a system", 0.1234, 12_345.6, 1_234),
    )


@pytest.mark.parametrize("width", [80, 200])
def test_nothing_is_wider_than_80_columns(width: int) -> None:
    lines = printed(everything(), width=width).splitlines()
    assert max(cell_len(line) for line in lines) <= 80
    assert not any("\x1b" in line for line in lines)
    assert sum("98,765,432.10 " in line for line in lines) == 5
    assert any("…" in line and "北方エネルギー株式会社" in line for line in lines)


def test_a_terminal_shows_the_same_as_a_pipe() -> None:
    shown = printed(everything(), is_terminal=True)
    for code in ("\x1b[1m", "\x1b[2m", "\x1b[0m"):
        shown = shown.replace(code, "")
    assert shown == printed(everything())


def test_numbers_are_whole_and_right_where_a_name_is_cut() -> None:
    header, *lines = (line.plain for line in table_lines(("who", "much"), [("n" * 99, "1" * 20)]))
    assert [cell_len(line) for line in (header, *lines)] == [80, 80]
    assert header.endswith("much")
    assert lines[0].endswith("n…  " + "1" * 20)


def test_a_picture_shows_the_end_and_fetches_nothing() -> None:
    drawn = picture(everything(), Audit({"t": 1}, []))
    root = ElementTree.fromstring(drawn)
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    shown = "\n".join(texts).replace("\xa0", " ")
    for text in ("98,765,432.10", "still waits", "all books agree"):
        assert text in shown
    assert re.findall(r"url\((?!#)|href|src:", drawn) == []
