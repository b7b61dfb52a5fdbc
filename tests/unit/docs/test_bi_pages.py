"""The pages on tools for business intelligence: every query they show is asked and finds rows."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from psastream.query.export import Format, write_files
from psastream.query.session import Session
from psastream.query.views import packaged_views
from tests.support.bi_pages import BI, ON_THE_READ_MODEL, blocks, statements
from tests.support.catalogue import CATALOGUE
from tests.support.dashboards import as_views
from tests.support.firm_rows import load


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `exported` is what `psastream export --format parquet exported` has written."""
    session = Session(CATALOGUE, packaged_views(), load, is_locked=False)
    session.load([topic.name for topic in session.topics.values()])
    folder = tmp_path_factory.mktemp("bi")
    write_files(session, folder / "exported", Format.PARQUET)
    return folder


def test_duckdb_answers_the_queries_of_its_page_from_the_files(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported)
    with duckdb.connect() as database:
        for query in statements("duckdb.md"):
            assert database.execute(query).fetchall(), query
        first = database.execute(statements("duckdb.md")[0]).fetchall()
    assert [(row[1], row[2], round(row[4], 4)) for row in first] == [
        ("2025-12", "EUR", 0.9999),
        ("2026-01", "EUR", 0.4),
        ("2026-01", "USD", 0.9999),
        ("2026-02", "EUR", -0.2),
    ]


def test_python_of_the_page_of_duckdb_runs_as_it_is_printed(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported)
    [program] = blocks("duckdb.md", "python")
    names: dict[str, duckdb.DuckDBPyRelation] = {}
    exec(program, names)
    assert names["utilization"].fetchall() == [("Ada", 0.75), ("Bo", 1.0)]


@pytest.mark.parametrize("page", ON_THE_READ_MODEL)
def test_the_views_answer_the_queries_of_a_page_on_the_read_model(page: str) -> None:
    """`integration/test_read_model_questions.py` asks the read model itself."""
    session = Session(CATALOGUE, packaged_views(), load)
    assert statements(page)
    for query in statements(page):
        assert list(session.ask(as_views(query)).rows), query


def test_the_first_page_leads_to_all_of_them() -> None:
    linked = set(re.findall(r"\(([\w-]+\.md)\)", (BI / "README.md").read_text()))
    assert linked == {page.name for page in BI.glob("*.md")} - {"README.md"}
