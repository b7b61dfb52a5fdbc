"""What the dashboards make of a firm's numbers. The views are those of `psastream sql`."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from deploy.grafana.parts import CURRENCIES
from psastream.query.session import Session
from psastream.query.views import packaged_views
from tests.support.catalogue import CATALOGUE
from tests.support.dashboards import FILES, as_views, sql_queries
from tests.support.firm_rows import ROWS, Rows, load

ASKED = {
    f"{path.stem.removeprefix('psastream-')}: {each.panel}": each
    for path in FILES
    for each in sql_queries(path)
}


ANSWERS = {
    "executives: Revenue": [(1500,)],
    "executives: Margin": [(300,)],
    "executives: Margin ratio": [(0.2,)],
    "executives: Utilization": [(0.8,)],
    "executives: To be invoiced": [(120,)],
    "executives: Waits for a person": [(Decimal("48100.50"),)],
    "executives: Margin by month": [
        (datetime.fromisoformat("2026-01-01"), 400, 1000),
        (datetime.fromisoformat("2026-02-01"), -100, 500),
    ],
    "executives: Utilization by week": [(datetime.fromisoformat("2026-01-05"), 0.8)],
    "executives: Customers": [("Abel [Ltd]", 1500, 300, 0.2)],
    "executives: Pipeline": [("won", 2, 900, 900)],
    "executives: Waits for a person, by cause": [
        ("netsuite", "tax_code", "EUR", 2, Decimal("48100.50")),
        ("netsuite", "other", None, 1, None),
    ],
    "executives: Work without a known margin": [("no_budget", 1, 1, 0)],
    "executives: Weeks without utilization": [("unknown_hours", 1, 1)],
    "delivery: Utilization by role": [
        (datetime.fromisoformat("2026-01-05"), "Consultant", 0.75),
        (datetime.fromisoformat("2026-01-05"), "no role", 1),
    ],
    "delivery: Utilization by person": [
        ("Ada", "Consultant", 30, 40, 40, 0.75),
        ("Bo", None, 10, 10, 10, 1),
    ],
    "delivery: Hours against the plan": [("Move DE", "Abel [Ltd]", 30, 15, 0.5)],
    "delivery: Projects by status": [("active", None, 2), ("no deal", None, 1)],
    "delivery: Planned work by status": [("approved", 1, 80), ("waiting_rate", 1, 8)],
    "finance: To be invoiced": [(120,)],
    "finance: Blocked": [(100,)],
    "finance: Owed": [(250,)],
    "finance: Written off": [(0,)],
    "finance: Invoiced beyond approved time": [(0,)],
    "finance: Waits for a person": [(Decimal("48100.50"),)],
    "finance: Billing by state": [
        ("invoiced", 3, 300),
        ("blocked", 1, 100),
        ("ready", 0.2, 20),
        ("credited", -0.5, -50),
    ],
    "finance: To be invoiced, by project": [
        ("Move DE", "Abel [Ltd]", "blocked", 1, 100),
        ("Move DE", "Abel [Ltd]", "ready", 0.2, 20),
    ],
    "finance: Margin by project": [("Move DE", "Abel [Ltd]", 1500, 1200, 300, 0.2)],
    "finance: Revenue and cost by month": [
        (datetime.fromisoformat("2026-01-01"), 1000, 600),
        (datetime.fromisoformat("2026-02-01"), 500, 600),
    ],
}


@pytest.fixture(scope="module")
def firm() -> Session:
    return session(ROWS)


def session(rows: Rows) -> Session:
    return Session(CATALOGUE, packaged_views(), lambda names: load(names, rows))


def answers(session: Session, query: str) -> list[tuple[Any, ...]]:
    return list(session.ask(as_views(query)).rows)


@pytest.mark.parametrize("name", ASKED)
def test_a_panel_shows_what_the_views_hold(firm: Session, name: str) -> None:
    found = answers(firm, ASKED[name].text)

    assert name == "finance: Open exceptions" or found == ANSWERS[name]


def test_open_exceptions_say_what_to_do_the_most_money_first(firm: Session) -> None:
    found = answers(firm, ASKED["finance: Open exceptions"].text)

    assert [(row[0], row[3]) for row in found] == [
        (Decimal("48000.50"), "tax_code"),
        (Decimal(100), "tax_code"),
        (None, "other"),
    ]


def test_a_number_is_a_number_before_there_is_any_row() -> None:
    nothing = session({})
    for asked in ASKED.values():
        if asked.is_number:
            [(value,)] = answers(nothing, asked.text)
            assert value == 0, asked.panel


def test_currencies_to_choose_from_are_those_of_the_firm(firm: Session) -> None:
    assert answers(firm, CURRENCIES) == [("EUR",), ("USD",)]
