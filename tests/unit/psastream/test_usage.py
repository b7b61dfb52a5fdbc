"""A command that is typed wrongly: what is said, in the words of every other error."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from psastream.cli import app


@pytest.mark.parametrize(
    ("typed", "said", "help_of"),
    [
        ("demo --seed x", "--seed takes a whole number", "demo"),
        ("demo --rate 0", "--rate takes 1 or more", "demo"),
        ("export --format xlsx files", "--format takes parquet, csv, not xlsx", "export"),
        ("poll --config /nope", "--config names what there is not: /nope", "poll"),
        ("poll --config /", "--config names what it does not take: /", "poll"),
        ("poll", "--config is missing", "poll"),
        ("exceptions show", "exception_id is missing", "exceptions show"),
        ("topics reed", "there is no command reed; did you mean read?", "topics"),
        ("nix", "there is no command nix", ""),
        ("sql --jsn", "there is no option --jsn; did you mean --csv, --json?", "sql"),
        ("status a", "got unexpected extra argument(s) (a)", "status"),
    ],
)
def test_a_wrong_command_is_told_in_a_line_with_its_help(
    typed: str, said: str, help_of: str
) -> None:
    shown = CliRunner().invoke(app, typed.split(), prog_name="psastream")
    assert (shown.exit_code, shown.stdout) == (2, "")
    command = f"psastream {help_of}".strip()
    told, hint, _ = shown.stderr.splitlines()
    assert (told, hint) == (f"psastream: {said}", f"  try: {command} -h")


@pytest.mark.parametrize("typed", ["", "topics", "-h", "sql --help"])
def test_help_is_help(typed: str) -> None:
    shown = CliRunner().invoke(app, typed.split(), prog_name="psastream")
    assert "Usage: psastream" in shown.output
    assert "try:" not in shown.output


def test_a_command_that_does_its_work_leaves_with_0() -> None:
    shown = CliRunner().invoke(app, ["--version"], prog_name="psastream")
    assert (shown.exit_code, shown.stdout.split()[0]) == (0, "psastream")
