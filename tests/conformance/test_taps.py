"""Folders of Singer taps: held to the clauses; each fault breaks the clause that is about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from psastream.cli import app
from psastream.conformance.clauses import OF_TAPS_TOO, TAP_CLAUSES
from psastream.conformance.suite import conform
from tests.conformance.bad_tap import subject_with, write_visits
from tests.support.blocks import write_files

FAULTS: Final = {
    "reads another column": "whole list",
    "shows no deletes": "deletes",
    "absent is null": "missing columns",
    "skips ties": "ties",
    "sweeps the news": "silent changes",
    "hides failures": "failed runs",
    "takes states early": "restarted runs",
    "passes over broken output": "broken output",
    "claims its stream": "lost stream",
    "takes any stream": "other messages",
    "drops what it cannot read": "broken rows",
}
"""Fault of the folder or the code and the clause that is broken by it."""
DOCUMENTED: Final = """\
connector: ../worklog.json
objects:
  entry:
    id: id
    vary: worker_email
    changed_at: {paths: [changed_at]}
    order: oldest
    nullable: [rate, currency]
    lists: [{table: entries}]
"""


def test_a_folder_of_a_tap_holds_to_every_clause(tmp_path: Path) -> None:
    found = conform(subject_with("", tmp_path))
    assert {each.clause: each.broken for each in found if each.broken} == {}
    assert {each.clause for each in found} == {*OF_TAPS_TOO, *TAP_CLAUSES}
    assert all(each.holds for each in found)


@pytest.mark.parametrize(("fault", "clause"), FAULTS.items())
def test_a_fault_breaks_the_clause_that_is_about_it(
    tmp_path: Path, fault: str, clause: str
) -> None:
    [finding] = conform(subject_with(fault, tmp_path), clauses=[clause])
    assert finding.broken


def test_every_clause_of_taps_is_broken_by_some_fault() -> None:
    assert TAP_CLAUSES.keys() - {*FAULTS.values()} == set()


def test_the_command_judges_a_folder_of_a_tap(tmp_path: Path) -> None:
    folder = write_visits(tmp_path, name="Quay")
    result = CliRunner().invoke(app, ["system", "conform", str(folder), "--clause", "samples"])
    assert result.exit_code == 1
    assert "project.name is 'Harbour', not 'Quay'" in result.output


def test_the_folder_of_the_page_is_judged(tmp_path: Path) -> None:
    write_files("docs/singer.md", tmp_path)
    folder = tmp_path / "worklog"
    (folder / "conformance.yaml").write_text(DOCUMENTED)
    (folder / "samples").mkdir()
    [row] = json.loads((tmp_path / "entries.json").read_text())
    sample = {"row": row, "makes": {"time_entry": {"seconds": 3000, "currency": "EUR"}}}
    (folder / "samples" / "entry.json").write_text(json.dumps([sample]))
    clauses = ["whole list", "deletes", "samples", "failed runs"]
    words = [word for clause in clauses for word in ("--clause", clause)]
    result = CliRunner().invoke(app, ["system", "conform", str(folder), *words])
    assert result.output.splitlines()[-1] == "worklog: 4 hold, 0 broken"
