"""A folder begun from a real database."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import yaml
from typer.testing import CliRunner

from psastream.cli import app
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

TABLES = """
DROP SCHEMA IF EXISTS atelier CASCADE;
CREATE SCHEMA atelier;
CREATE TYPE atelier.state AS ENUM ('open', 'done');
CREATE DOMAIN atelier.share AS numeric(5, 2);
CREATE TABLE atelier.session (
    id bigint PRIMARY KEY,
    worked interval,
    day date,
    state atelier.state,
    rate numeric(12, 3),
    weight numeric,
    tags text[],
    worker_email varchar(80),
    begun_at timestamptz,
    shown_at timestamp,
    until time(0),
    share atelier.share
);
CREATE TABLE atelier.pair (a integer, b integer, PRIMARY KEY (a, b));
CREATE TABLE atelier.loose (a integer);
CREATE TABLE atelier.whole (id uuid PRIMARY KEY, note text);
ALTER TABLE atelier.whole REPLICA IDENTITY FULL;
CREATE VIEW atelier.seen AS SELECT * FROM atelier.session;
"""


def test_a_database_that_nobody_here_designed_begins_as_a_sound_system(
    stack: RunningStack, tmp_path: Path
) -> None:
    dsn = stack.addresses.postgres_dsn
    with psycopg.connect(dsn, autocommit=True) as database:
        database.execute(TABLES)
    arguments = ["system", "init", dsn, "--schema", "atelier", "--to", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    mapping = yaml.safe_load((tmp_path / "atelier" / "mapping.yaml").read_text())
    assert mapping["objects"] == {
        "session": {
            "kind": "session",
            "key": "id",
            "personal_data": ["worker_email"],
            "columns": {
                "id": "long",
                "worked": "interval",
                "day": "date",
                "state": "text",
                "rate": "decimal(12,3)",
                "weight": "text",
                "worker_email": "text",
                "begun_at": "timestamptz",
                "shown_at": "timestamp",
                "until": "time(0)",
                "share": "decimal(5,2)",
            },
        },
        "pair": {"kind": "pair", "key": ["a", "b"], "columns": {"a": "int", "b": "int"}},
        "whole": {"kind": "whole", "key": "id", "columns": {"id": "text", "note": "text"}},
    }
    for note in (
        "session.weight has numbers of any scale, as text",
        "session.tags is left out: no mapping reads the type _text",
        "loose is left out: it has no primary key",
        "session: a long text that does not change is not sent",
    ):
        assert note in result.output
    assert "whole:" not in result.output, "its rows are logged whole"
    checked = CliRunner().invoke(app, ["system", "check", str(tmp_path / "atelier")])
    assert checked.exit_code == 0, checked.output
    assert "session: src.atelier.session makes nothing: it is captured only" in checked.output
