"""`psastream sql` and `export` as they are typed, where no broker is needed."""

from __future__ import annotations

import json
import re
import sys
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from psastream.cli import app
from psastream.landscape import ANY_ADDRESSES
from psastream.query.asking import HELP
from psastream.query.views import packaged_views

RUNNER: Final = CliRunner()


def run(*arguments: str, typed: str | None = None) -> Result:
    return RUNNER.invoke(app, arguments, env=ANY_ADDRESSES, input=typed)


def test_without_a_query_what_can_be_asked_is_listed() -> None:
    shown = RUNNER.invoke(app, ["sql"], env=dict.fromkeys(ANY_ADDRESSES))
    assert shown.exit_code == 0, shown.output
    for view in packaged_views():
        assert f"\n{view.name} " in f"\n{shown.stdout}"


def test_what_needs_no_topic_needs_no_broker() -> None:
    shown = run("sql", "--json", "SELECT 1.50 AS amount, [DATE '2026-03-02'] AS days")
    assert (shown.exit_code, json.loads(shown.stdout)) == (
        0,
        {"amount": "1.50", "days": ["2026-03-02"]},
    )
    shown = run("sql", "--csv", "SELECT column_name FROM (DESCRIBE pipeline) LIMIT 2")
    assert shown.stdout == "column_name\nstage\ncurrency\n"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("FROM pipelin", "psastream: there is no view or table pipelin; did you mean pipeline?\n"),
        ("SELECT nix FROM pipeline", "psastream: there is no column nix"),
        ("DROP VIEW pipeline", "psastream: topics are only read"),
    ],
)
def test_a_wrong_query_is_told_before_a_broker_is_asked(query: str, said: str) -> None:
    shown = run("sql", query)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert said in shown.stderr
    assert "\n  try: " in shown.stderr
    assert len(shown.stderr.splitlines()) == 3


def test_the_shell_answers_one_after_the_other_and_goes_on_after_an_error() -> None:
    typed = "SELECT 1 AS a,\n  2 AS b;\n\nFROM nix;\n.views\nSELECT 'x;' AS c"
    shown = run("sql", "--shell", "--csv", typed=typed)
    assert shown.exit_code == 1
    assert shown.stdout.startswith("a,b\n1,2\n")
    assert "margin_by_project_month" in shown.stdout
    assert shown.stdout.endswith("c\nx;\n")
    assert "there is no view or table nix" in shown.stderr


@pytest.mark.parametrize("word", [".quit", "quit", "exit;", ".EXIT"])
def test_words_of_other_shells_leave_and_help(word: str) -> None:
    typed = f"help;\nSELECT 1 AS a;\n{word}\nFROM nix;\n"
    shown = run("sql", "--shell", "--csv", typed=typed)
    assert (shown.exit_code, shown.stdout) == (0, f"{HELP}\na\n1\n")


def test_a_query_may_begin_with_a_comment() -> None:
    shown = run("sql", "-- margin of each customer\nSELECT nix FROM pipeline")
    assert shown.exit_code == 2
    assert shown.stderr.startswith("psastream: there is no column nix")


def test_an_answer_is_json_or_csv() -> None:
    shown = run("sql", "SELECT 1", "--json", "--csv")
    assert shown.exit_code == 2
    assert "psastream: an answer is JSON or CSV" in shown.stderr


@pytest.mark.parametrize(
    "arguments",
    [("sql", "SELECT 1"), ("export", "unused"), ("topics", "read", "psa.role", "--where", "true")],
)
def test_without_duckdb_the_error_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    shown = run(*arguments)
    assert shown.exit_code == 2, shown.output
    assert re.search(r'try: pip install "dist/psastream-[\w.-]+\.whl\[sql\]"', shown.stderr)


def test_what_can_be_asked_comes_with_what_asking_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "DuckDB" not in run("sql").stdout
    monkeypatch.setitem(sys.modules, "duckdb", None)
    shown = run("sql")
    assert shown.exit_code == 0
    assert "SQL over topics needs DuckDB, which is not installed\n  try: " in shown.stdout
