"""Queries of dashboards and pages, asked of a read model: its answers are those of the views."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from deploy.grafana.parts import CURRENCIES
from psastream.query.session import Session
from psastream.query.views import packaged_views
from psastream.read_model.landing import landing_tables
from psastream.read_model.store import Store
from tests.support.bi_pages import ON_THE_READ_MODEL, statements
from tests.support.catalogue import CATALOGUE
from tests.support.dashboards import FILES, as_views, sql_queries
from tests.support.firm_rows import ROWS, load
from tests.support.read_model import load as fill
from tests.support.read_model import own_database
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

QUESTIONS = {
    "currencies": CURRENCIES,
    **{f"{path.stem}: {asked.panel}": asked.text for path in FILES for asked in sql_queries(path)},
    **{
        f"{page} {number}": query
        for page in ON_THE_READ_MODEL
        for number, query in enumerate(statements(page))
    },
}


@pytest.fixture(scope="module")
def read_model(stack: RunningStack) -> Iterator[psycopg.Connection[Any]]:
    tables = landing_tables(CATALOGUE)
    with own_database(stack.addresses.postgres_dsn) as url, closing(Store(url)) as store:
        store.migrate()
        generation = store.begin(tables, "any")
        fill(store, generation, ROWS)
        store.go_live(generation, tables)
        yield store.connection


@pytest.fixture(scope="module")
def views() -> Session:
    return Session(CATALOGUE, packaged_views(), load)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_the_answer_of_the_views(
    read_model: psycopg.Connection[Any], views: Session, name: str
) -> None:
    found = read_model.execute(QUESTIONS[name]).fetchall()

    assert found
    assert comparable(found) == comparable(views.ask(as_views(QUESTIONS[name])).rows)


def comparable(rows: Any) -> list[list[Any]]:
    """Rows whose numbers are equal where they are to nine digits: ratios are not exact in both."""
    return [[_value(value) for value in row] for row in rows]


def _value(value: Any) -> Any:
    match value:
        case float() | Decimal() | int():
            return round(float(value), 9)
        case datetime():
            return value.timestamp() if value.tzinfo else value
        case date():
            return value.isoformat()
        case _:
            return value
