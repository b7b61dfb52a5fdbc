"""The README's blocks: commands that exist, and an `up` that its own variables satisfy."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from psastream.check.files import Configuration, Files, read_configuration
from psastream.cli import app
from psastream.verdict import Verdict
from sandbox.demo.options import Disruption, StoryLandscape
from tests.support.blocks import blocks
from tests.support.catalogue_pages import DOCS

REPOSITORY = DOCS.parent
LINES = [
    command.replace("\\\n", " ")
    for block in blocks()
    if block.page == "README.md"
    for command in block.commands
]
EXPORTS = dict(
    word.split("=", 1)
    for line in LINES
    if line.startswith("export ")
    for word in shlex.split(line)[1:]
)
VARIABLES = {name: value for name, value in EXPORTS.items() if name != "PATH"}
RUNNER = CliRunner()


def paths_after(option: str) -> list[Path]:
    """The files an option of `psastream up` names."""
    (up,) = [shlex.split(line) for line in LINES if line.startswith("psastream up")]
    return [REPOSITORY / up[at + 1] for at, word in enumerate(up) if word == option]


def configuration(variables: dict[str, str]) -> Configuration:
    files = Files(paths_after("--source"), paths_after("--sink"), paths_after("--database"))
    return read_configuration(files, variables, needs_addresses=False)


def test_the_block_of_up_names_every_variable_its_files_need() -> None:
    assert paths_after("--source") and paths_after("--sink") and paths_after("--database")
    read = configuration(VARIABLES)
    assert read.is_sound and read.settings is not None
    assert read.settings.bootstrap_servers == VARIABLES["PSASTREAM_BOOTSTRAP_SERVERS"]
    named = set(re.findall(r"\$\{env:(\w+)\}", "".join(
        path.read_text() for path in paths_after("--database")
    )))  # fmt: skip
    assert named <= VARIABLES.keys()


def test_without_one_of_them_up_says_which_before_anything_starts() -> None:
    for name in ("FLOAT_URL", "FLOAT_TOKEN"):
        read = configuration({key: value for key, value in VARIABLES.items() if key != name})
        failing = [each.detail for each in read.findings if each.verdict is Verdict.FAIL]
        assert failing and all(name in detail for detail in failing)


@pytest.mark.parametrize("page", ["README.md", "docs/demo.md"])
def test_what_a_page_gives_the_demo_is_taken(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    landscapes = re.findall(r"--landscape ([a-z_,]+)", text)
    disruptions = re.findall(r"--kill ([a-z@:0-9]+)", text)
    assert disruptions
    for name in landscapes:
        StoryLandscape.parse(name)
    for each in disruptions:
        Disruption.parse(each)


def test_options_of_the_demo_that_its_page_names_exist() -> None:
    page = (DOCS / "demo.md").read_text()
    shown = RUNNER.invoke(app, ["demo", "-h"], env=dict(os.environ) | {"COLUMNS": "200"}).output
    named = re.findall(r"^\| `(--[a-z-]+)", page, re.MULTILINE)
    assert "--keep" in named
    assert [option for option in named if option not in shown] == []


def all_commands() -> list[tuple[str, ...]]:
    def walk(command: object, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        below = getattr(command, "commands", {})
        return [path, *(each for name in below for each in walk(below[name], (*path, name)))]

    return walk(typer.main.get_command(app), ())


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    for option in ("-h", "--help"):
        shown = RUNNER.invoke(app, [*command, option], env=dict(os.environ) | {"COLUMNS": "200"})
        assert shown.exit_code == 0, shown.output
        assert "Usage" in shown.output


def test_the_version_is_told() -> None:
    shown = RUNNER.invoke(app, ["--version"])
    assert re.fullmatch(r"psastream \d+\.\d+\.\d+\S*\n", shown.output)
