"""The page of SQL: every query it shows can be asked, every word of its views is a column's."""

from __future__ import annotations

import re

import pytest

from psastream.query.session import Session
from psastream.query.views import packaged_views
from tests.support.catalogue import CATALOGUE
from tests.support.catalogue_pages import DOCS

PAGE = (DOCS / "sql.md").read_text()
SHOWN = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TYPED = re.findall(r'^psastream sql "([^"]+)"', PAGE, re.MULTILINE)
QUERIES = [*TYPED, *(each for block in SHOWN for each in block.split(";\n") if each.strip())]


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(CATALOGUE, packaged_views(), lambda _: ())


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_page_can_be_asked(session: Session, query: str) -> None:
    assert list(session.ask(query).rows) == []


def test_queries_were_found() -> None:
    assert len(TYPED) >= 1
    assert len(QUERIES) >= 5


def test_what_meanings_put_in_marks_are_columns_of_their_view() -> None:
    for view in packaged_views():
        names = {column.name for column in view.columns}
        said = " ".join(column.meaning for column in view.columns)
        words = set(re.findall(r"`(\w+)`", said))
        states = {"invoiced", "credited"}
        assert words - states <= names, view.name
