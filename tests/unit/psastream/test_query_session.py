"""What a session takes, refuses and loads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

from psastream.query.session import Session, dtypes_of
from psastream.query.syntax import read_tree
from psastream.query.views import View, packaged_views
from schemas.errors import ConfigError
from schemas.topics import PRODUCT_TOPICS
from tables.measures.own import load_measure
from tests.support.catalogue import BY_NAME, CATALOGUE

MEASURE = """-- name: spent
-- key: currency
-- sums: amount
-- unit: currency
-- period: none
SELECT currency, SUM(amount) AS amount FROM expense GROUP BY currency
"""
STAGES = pl.DataFrame({"stage": ["won", "lost"]})


class Topics:
    """Holds two rows of the pipeline, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    def __call__(self, names: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
        self.asked.append(list(names))
        if "psa.metric.pipeline_health" in names:
            columns = dtypes_of(BY_NAME["psa.metric.pipeline_health"])
            empty = pl.DataFrame(schema=columns)
            yield "psa.metric.pipeline_health", pl.concat([empty, STAGES], how="diagonal")


@pytest.fixture(scope="module")
def topics() -> Topics:
    return Topics()


@pytest.fixture(scope="module")
def session(topics: Topics) -> Session:
    return Session(CATALOGUE, packaged_views(), topics)


@pytest.mark.parametrize(
    ("query", "needed"),
    [
        ("SELECT 1", []),
        ("SHOW TABLES", []),
        ("DESCRIBE pipeline", []),
        ("DESCRIBE SELECT * FROM psa.role", []),
        ("FROM pipeline", ["psa.metric.pipeline_health"]),
        ("FROM Memory.Main.Pipeline", ["psa.metric.pipeline_health"]),
        ("FROM PSA.Role JOIN psa.main.resource USING (id)", ["psa.resource", "psa.role"]),
        ("FROM people", ["psa.resource", "psa.role"]),
        ("SELECT (SELECT count(*) FROM psa.dlq) + 1", ["psa.dlq"]),
        ("WITH x AS (FROM psa.role) FROM x WHERE EXISTS (FROM psa.task)", ["psa.role", "psa.task"]),
        ("SUMMARIZE pipeline", ["psa.metric.pipeline_health"]),
        (
            "FROM (PIVOT pipeline ON stage IN ('won') USING count(*))",
            ["psa.metric.pipeline_health"],
        ),
        (
            "FROM margin_by_project_month",
            [
                "psa.metric.project_margin",
                "psa.project",
                "psa.status.customer",
                "psa.status.project",
            ],
        ),
        ("FROM all_commands", ["psa.command.float", "psa.command.netsuite"]),
    ],
)
def test_the_topics_that_a_query_needs_are_loaded_and_no_others(
    session: Session, topics: Topics, query: str, needed: list[str]
) -> None:
    list(session.ask(query).rows)
    assert topics.asked[-1] == needed


def test_a_query_is_answered_from_the_rows_of_now(session: Session) -> None:
    answer = session.ask("SELECT stage, amount, amount FROM pipeline ORDER BY stage DESC")
    assert [name for name, _ in answer.columns] == ["stage", "amount", "amount_1"]
    assert list(answer.rows) == [("won", None, None), ("lost", None, None)]


def test_what_can_be_asked_is_shown_as_tables_are() -> None:
    session = Session(CATALOGUE, packaged_views(), lambda _: ())
    shown = dict(session.ask("show tables;").rows)
    assert shown["margin_by_project_month"] == "view"
    assert shown["psa.time_entry"] == "topic"
    assert not any(name.startswith(("psa.internal.", "src.")) for name in shown)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("margins", "margin_by_project_month"),
        ("psa.margin", "margin_by_project_month"),
        ("project_margin", "margin_by_project_month"),
        ("psa.project_margins", "margin_by_project_month"),
        ("project", "projects"),
        ("expenses", "psa.expense"),
        ("dlq", "psa.dlq"),
    ],
)
def test_a_view_is_meant_before_a_topic(session: Session, name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as raised:
        session.ask(f"FROM {name}")
    assert f"{name}; did you mean {meant}?" in raised.value.detail


@pytest.mark.parametrize(
    ("condition", "hint"),
    [
        ('stage = "won"', "texts stand in single quotes, 'won'"),
        ("stage BETWEEN 2026 AND 2027", "months and weeks are texts"),
        ("stage = 'O'Brien'", "'O''Brien'"),
        ("stage = 'won' GROUP BY amount", "GROUP BY ALL"),
        ("stage = 1 ORDER", "WHERE condition"),
        ("nix = 1", "DESCRIBE view"),
        ("currency = EUR", "a text stands in single quotes: 'EUR'"),
        ("currency IN (EUR, USD)", "a text stands in single quotes: 'EUR'"),
        ("sumx(amount) > 1", "functions are DuckDB's"),
    ],
)
def test_an_error_says_what_helps(session: Session, condition: str, hint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        list(session.ask(f"FROM pipeline SELECT stage WHERE {condition}").rows)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("query", "names_no_columns"),
    [
        ("FROM pipeline", True),
        ("SELECT * FROM pipeline WHERE stage = 'won' ORDER BY stage", True),
        ("SELECT stage FROM (FROM pipeline)", False),
        ("SELECT *, 1 AS one FROM pipeline", False),
        ("SELECT count(*) FROM pipeline", False),
    ],
)
def test_whether_a_query_names_columns_is_known(
    session: Session, query: str, names_no_columns: bool
) -> None:
    assert session.ask(query).names_no_columns is names_no_columns


def test_a_view_that_is_asked_whole_says_what_people_look_for(session: Session) -> None:
    view = session.views["pipeline"]
    assert session.ask("FROM pipeline WHERE stage = 'won'").first == view.first
    assert session.ask("FROM pipeline JOIN projects USING (currency)").first == ()
    assert session.ask("SELECT stage FROM pipeline").first == ()


@pytest.mark.parametrize("view", packaged_views(), ids=lambda view: view.name)
def test_what_people_look_for_are_columns_with_currencies_beside_amounts(view: View) -> None:
    columns = {column.name: column.unit for column in view.columns}
    assert len(set(view.first)) == len(view.first) > 2
    assert set(view.first) <= columns.keys()
    is_money = any(columns[name] == "currency" for name in view.first)
    assert ("currency" in view.first) is is_money


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "there is no query"),
        ("-- only words", "there is no query"),
        ("SELECT 1; SELECT 2", "one query at a time: 2"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("FROM margin_by_project_mont", "; did you mean margin_by_project_month?"),
        ("FROM psa.metric.utilisation", "; did you mean psa.metric.utilization?"),
        (
            "WITH x AS (SELECT 1) FROM x, pipelin",
            "no view or table pipelin; did you mean pipeline?",
        ),
        ("FROM src.inhouse.projects", "src.inhouse.projects holds changes"),
        (
            "SELECT stag FROM pipeline",
            "there is no column stag; did you mean stage?",
        ),
        ("SELECT p.stag FROM pipeline AS p", "there is no column stag; did you mean stage?"),
        ("FROM pipeline JOIN psa.opportunity USING (stages)", "no column stages; did you mean"),
        ("FROM pipeline WHERE currency = EUR", "there is no column EUR"),
        ("FROM psa.internal.calendar", "psa.internal.calendar is internal"),
        ("SELECT summ(amount) FROM pipeline", 'Did you mean "sum"'),
        ("SELECT amount + stage FROM pipeline", "no function matches"),
        ("INSERT INTO psa.role SELECT * FROM psa.role", "topics are only read"),
        ("DROP TABLE psa.role", "topics are only read"),
        ("SET threads = 1", "topics are only read"),
        ("ATTACH '/tmp/x.db'", "topics are only read"),
        ("COPY pipeline TO '/tmp/pipeline.csv'", "topics are only read"),
        ("PIVOT pipeline ON stage USING count(*)", "topics are only read"),
        ("FROM query_table('pipeline')", "query_table hides"),
        ("FROM query('FROM pipeline')", "query hides"),
        ("FROM read_csv('https://127.0.0.1/x.csv')", "disabled"),
        ("FROM glob('/etc/*')", "disabled"),
    ],
)
def test_what_is_no_query_of_what_there_is_is_refused_in_a_line(
    session: Session, query: str, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        list(session.ask(query).rows)
    assert said in raised.value.detail
    assert "\n" not in raised.value.detail + raised.value.hint
    assert raised.value.hint


def test_a_query_whose_tables_are_not_known_is_refused() -> None:
    said = '{"error":true,"error_type":"not implemented","error_message":"not so"}'
    with pytest.raises(ConfigError, match="not clear: not so"):
        read_tree(said)


def test_no_file_is_read(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    for source in (f"'{file}'", f"read_csv('{file}')", f"read_text('{file}')"):
        with pytest.raises(ConfigError):
            session.ask(f"FROM {source}")


def test_variables_of_the_program_are_no_tables_and_nothing_spills_to_a_disk(
    session: Session,
) -> None:
    names = "python_enable_replacements", "temp_directory", "lock_configuration", "TimeZone"
    asked = ", ".join(f"current_setting('{name}')" for name in names)
    assert list(session.ask(f"SELECT {asked}").rows) == [(False, "", True, "UTC")]


def test_a_refused_query_leaves_the_session_as_it_was(session: Session) -> None:
    with pytest.raises(ConfigError):
        session.ask("FROM nowhere")
    assert list(session.ask("SELECT count(*) FROM pipeline").rows) == [(2,)]


def test_what_loads_may_fail_and_the_next_query_loads_again() -> None:
    class Failing(Topics):
        def __call__(self, names: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
            if not self.asked:
                self.asked.append(names)
                raise ConfigError("the broker is away")
            yield from super().__call__(names)

    session = Session(CATALOGUE, packaged_views(), Failing())
    with pytest.raises(ConfigError, match="the broker is away"):
        session.ask("FROM pipeline")
    assert len(list(session.ask("FROM pipeline").rows)) == 2


def test_a_measure_of_the_firms_own_is_a_table_and_has_its_name() -> None:
    own = load_measure(MEASURE, "spent.sql").topic
    session = Session([*CATALOGUE, own], packaged_views(), lambda _: ())
    assert session.columns_of("spent") == session.columns_of("psa.metric.spent")
    assert dict(session.columns_of("spent"))["amount"].startswith("DECIMAL(38,")


@pytest.mark.parametrize("name", ["order", "pipeline", "all_commands"])
def test_whatever_a_measure_is_called_its_topic_is_a_table(name: str) -> None:
    own = load_measure(MEASURE.replace("spent", name), f"{name}.sql").topic
    session = Session([*CATALOGUE, own], packaged_views(), lambda _: ())
    assert list(session.ask(f'SELECT amount FROM psa.metric."{name}"').rows) == []
    assert ("stage" in dict(session.columns_of("pipeline"))) is True


def test_a_firm_without_targets_has_commands_too() -> None:
    session = Session(PRODUCT_TOPICS, packaged_views(), lambda _: ())
    assert list(session.ask("FROM commands").rows) == []
