"""Every system that can be had holds to the clauses, or stands here with the reason why not."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from connectors.systems import Systems
from psastream.cli import app
from psastream.conformance.documented import FILE
from psastream.conformance.suite import (
    clauses_of,
    conform,
    conform_sink,
    read_sink_subject,
    read_subject,
)
from psastream.system import read_system
from tests.support.examples import TIMES
from tests.support.folders import folder_of

VENDORS: Final = Path(str(files("connectors.vendors")))
READERS: Final = {"netsuite": "invoice"}
"""Systems with a second reader, and what it reads: all clauses of `LINES` are about it, too."""
LINES: Final = ("deletes", "emptied list", "late rows", "moving pages", "ties", "whole list")
MANY: Final = frozenset(
    {
        "business_central",
        "certinia",
        "coupa",
        "finance_operations",
        "gusto",
        "kantata",
        "netsuite",
        "runn",
    }
)
"""Systems whose objects and kinds of commands are so many, or ask so often, that `make test` holds
the first alone to all clauses, and the others to `OFTEN`. In `make properties` and by the command
all are held to all, as the objects of every other system are here.
"""
OFTEN: Final = ("samples", "nulls", "one effect")
QUEUED: Final = {
    "adp": (
        "samples", "nulls", "exact values", "whole list", "changes", "kept message",
        "gone message", "odd messages",
    )
}  # fmt: skip
"""Systems whose rows are each a request, and the clauses that `make test` holds them to; the others
are those of `MANY`, for `make properties` and the command.
"""
BROKEN: Final[dict[tuple[str, str, str], str]] = {}
"""System, object and clause that it does not meet, each with the reason."""


def folders() -> dict[str, Path]:
    """Folders of all systems that can be had: the product's, and those that the firm names."""
    own = [Path(each) for each in os.environ.get("PSASTREAM_SYSTEMS", "").split(":") if each]
    packaged = {name: VENDORS / name for name in Systems().names()}
    return packaged | {folder.resolve().name: folder for folder in own}


def is_database(folder: Path) -> bool:
    """Whether Debezium captures it: `test_databases.py` judges it then."""
    return "capture: debezium" in (folder / "mapping.yaml").read_text()


JUDGED: Final = {name: folder for name, folder in folders().items() if not is_database(folder)}


def test_every_system_is_judged() -> None:
    assert [name for name, folder in folders().items() if not (folder / FILE).is_file()] == []


@pytest.mark.parametrize("name", JUDGED)
def test_a_source_holds_to_every_clause(name: str) -> None:
    system, vendor = read_system(JUDGED[name])
    subject = read_subject(JUDGED[name], system, vendor)
    assert subject is not None
    assert subject.samples.keys() == system.topics.keys()
    first, *others = subject.samples
    is_drawn = name in MANY and TIMES == 1
    brief = QUEUED.get(name, ()) if TIMES == 1 else ()
    found = conform(subject, [first] if is_drawn else (), brief)
    if is_drawn:
        found += conform(subject, others, OFTEN)
    if name in READERS and is_drawn:
        found += conform(subject, [READERS[name]], LINES)
    broken = {(name, each.obj, each.clause): each.broken for each in found if each.broken}
    assert broken.keys() == {key for key in BROKEN if key[0] == name}, broken
    assert {each.clause for each in found} == ({*brief} or clauses_of(subject).keys())


SINKS: Final = [name for name in JUDGED if Systems().vendor(name).sink is not None]


@pytest.mark.parametrize("name", SINKS)
def test_a_sink_holds_to_every_clause(name: str) -> None:
    system, vendor = read_system(JUDGED[name])
    subject = read_sink_subject(JUDGED[name], system, vendor)
    assert subject is not None
    first, *others = (order.kind for order in subject.orders)
    is_drawn = name in MANY and TIMES == 1
    found = conform_sink(subject, [first] if is_drawn else ())
    if others and is_drawn:
        found += conform_sink(subject, others, OFTEN)
    assert {(each.obj, each.clause): each.broken for each in found if each.broken} == {}
    assert {each.obj for each in found} == {kind.kind for kind in vendor.commands}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["system", "conform", *arguments])
    return result.exit_code, result.output


def test_the_command_tells_each_clause() -> None:
    code, output = run(str(VENDORS / "hubspot"), "--object", "company", "--clause", "samples")
    assert (code, output.splitlines()) == (
        0,
        ["company: samples: holds", "hubspot: 1 hold, 0 broken"],
    )


def test_the_command_tells_machines_what_is_broken(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "harvest_eu", "harvest")
    for name, old, new in (
        ("mapping.yaml", "vendor: harvest\nvendor: rest\n", "vendor: rest\n"),
        ("samples/project.json", '"status": "active"', '"status": "closed"'),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    code, output = run(str(folder), "--object", "project", "--clause", "samples", "--json")
    said: dict[str, Any] = json.loads(output)
    [finding] = said["findings"]
    assert code == 1
    assert finding["broken"] == "sample 1: project.status is 'active', not 'closed'"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--clause", "politeness"], "there is no clause politeness"),
        (["--object", "ticket"], "documents no object ticket"),
    ],
)
def test_what_there_is_not_is_an_error(arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(app, ["system", "conform", str(VENDORS / "hubspot"), *arguments])
    assert result.exit_code == 2
    assert problem in result.output


def test_what_judges_nothing_is_no_success() -> None:
    code, output = run(str(VENDORS / "hubspot"), "--object", "company", "--clause", "one effect")
    assert (code, output.splitlines()[-1]) == (1, "nothing was judged")


def test_a_source_that_nothing_describes_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "harvest_eu", "harvest")
    for name, old, new in (
        ("mapping.yaml", "vendor: harvest\nvendor: rest\n", "vendor: rest\n"),
        ("source.json", "src.harvest", "src.harvest_eu"),
    ):
        (folder / name).write_text((folder / name).read_text().replace(old, new))
    text = (folder / "conformance.yaml").read_text()
    begin, end = text.index("  user:"), text.index("  expense:")
    (folder / "conformance.yaml").write_text(text[:begin] + text[end:])
    _, output = run(str(folder), "--clause", "samples")
    assert "user: all clauses: not judged: conformance.yaml does not document it" in output
    (folder / "conformance.yaml").write_text("headers: {}\n")
    result = CliRunner().invoke(app, ["system", "conform", str(folder)])
    assert result.exit_code == 2
    assert "says nothing of what is read" in result.output


def test_a_folder_without_a_documented_api_says_what_it_lacks(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "inhouse_eu", "inhouse")
    (folder / "mapping.yaml").write_text(
        (folder / "mapping.yaml").read_text().replace("vendor: inhouse\n", "")
    )
    (folder / FILE).unlink()
    result = CliRunner().invoke(app, ["system", "conform", str(folder)])
    assert result.exit_code == 2
    assert "inhouse_eu/conformance.yaml cannot be read" in result.output


def test_a_database_is_judged_by_clauses_of_its_own() -> None:
    code, output = run(str(VENDORS / "inhouse"), "--object", "tasks", "--clause", "sampled rows")
    assert (code, output.splitlines()) == (
        0,
        ["tasks: sampled rows: holds", "inhouse: 1 hold, 0 broken"],
    )
