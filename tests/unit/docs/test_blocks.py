"""Every block of commands that a page shows is run by a test, or listed with the reason why not."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from psastream.cli import app
from tests.support.blocks import (
    NEEDS,
    REPOSITORY,
    SHELL,
    Block,
    blocks,
    fences,
    needing,
    not_executed,
    pages,
    write_files,
)

BLOCKS = blocks()
LIKE_A_SHELL = ("bash", "shell", "console", "zsh", "shell-session")
PROGRAMS = ("psastream ", "make ", "docker ", "export ", "uv ", "uvx ", "$ ")
MAKEFILE = (REPOSITORY / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\$\(([A-Z_]+)\)", MAKEFILE))
PAGES = sorted({block.page for block in needing("")})


def test_no_block_escapes() -> None:
    unknown = [str(each) for each in BLOCKS if each.need not in NEEDS]
    assert unknown == [], "what they need is not among NEEDS of tests/support/blocks.py"
    assert len(BLOCKS) >= 40
    for page in pages():
        for line, language, _, text in fences(page):
            where = f"{page.relative_to(REPOSITORY)}:{line}"
            assert language not in LIKE_A_SHELL, f"{where}: blocks of commands are {SHELL}"
            if language in ("", "text"):
                assert not text.startswith(PROGRAMS), f"{where}: commands in a block of text"


def test_every_need_is_met_by_the_test_that_is_named() -> None:
    for need in {each.need for each in BLOCKS}:
        assert f'needing("{need}")' in (REPOSITORY / NEEDS[need]).read_text(), need


def test_what_is_not_executed_is_there_and_has_a_reason() -> None:
    shown = {(block.page, block.commands[0]) for block in BLOCKS}
    excused = not_executed()
    assert [each for each in excused if each not in shown] == []
    assert all(len(reason.split()) > 3 for reason in excused.values())
    assert len(excused) < len(BLOCKS) / 2


def commands_of(program: str) -> list[Any]:
    return [
        pytest.param(command, id=f"{block} {' '.join(command.split())}")
        for block in BLOCKS
        for command in block.commands
        if re.match(rf"{program}\b", command)
    ]


@pytest.mark.parametrize("command", commands_of("psastream"))
def test_a_command_of_psastream_is_one_with_its_options(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    for page in {block.page for block in BLOCKS if command in block.commands}:
        write_files(page, tmp_path)
    for folder in ("connectors", "deploy", "docs"):
        (tmp_path / folder).symlink_to(REPOSITORY / folder)
    monkeypatch.chdir(tmp_path)
    found: Any = typer.main.get_command(app)
    name, *rest = words
    while hasattr(found, "commands") and rest and not rest[0].startswith("-"):
        name, found, rest = rest[0], found.commands[rest[0]], rest[1:]
    if {"--version", "-h", "--help"}.isdisjoint(rest):
        found.make_context(name, rest)  # raises where an option or an argument is not one


@pytest.mark.parametrize("command", commands_of("make"))
def test_a_target_of_make_is_one(command: str) -> None:
    """Not by a dry run, which runs a line all the same that may call make again."""
    words = shlex.split(command, comments=True)[1:]
    wanted = {word for word in words if "=" not in word}
    assert wanted <= TARGETS
    assert {word.partition("=")[0] for word in words} - wanted <= VARIABLES


@cache
def said(page: str, folder: Path) -> list[str]:
    """Run what a page shows that needs nothing, one after the other; what each command said."""
    environment: dict[str, str] = {}
    answers: list[str] = []
    with contextlib.chdir(folder):
        for block in needing(""):
            for command in block.commands if block.page == page else ():
                words = shlex.split(command.replace("\\\n", " "), comments=True)
                if words[0] == "export":
                    environment |= dict(word.split("=", 1) for word in words[1:])
                    continue
                assert words[0] == "psastream", command
                answer = CliRunner().invoke(app, words[1:], env={**os.environ, **environment})
                assert answer.exit_code == 0, f"$ {command}\n{answer.output}"
                answers.append(answer.output)
    return answers


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """For each page a folder with every file that it names."""
    made = {}
    for page in PAGES:
        made[page] = tmp_path_factory.mktemp("page")
        write_files(page, made[page])
        (made[page] / "connectors").symlink_to(REPOSITORY / "connectors")
    yield made


@pytest.mark.parametrize("page", PAGES)
def test_blocks_that_need_nothing_run(page: str, folders: dict[str, Path]) -> None:
    answers = said(page, folders[page])
    shown = [
        text
        for _, language, name, text in fences(REPOSITORY / page)
        if (language, name) == ("text", "")
    ]
    assert [text for text in shown if text not in answers] == []


@pytest.mark.parametrize("page", ["docs/database-tutorial.md", "docs/rest-tutorial.md"])
def test_a_tutorial_tells_what_its_row_becomes(page: str, folders: dict[str, Path]) -> None:
    tried, flows = said(page, folders[page])[-2:]
    below = (REPOSITORY / page).read_text().partition("## Check it")[2]
    told = re.findall(r"`(\w+=[\w:.]+)`", below)
    assert "project_ref" in " ".join(told)
    assert [each for each in told if each not in tried.split()] == []
    system = Path(page).name.partition("-")[0]
    assert {"database": "noi (psa) gives project", "rest": "worklog (psa) gives"}[system] in flows


def test_a_command_goes_on_behind_a_backslash() -> None:
    block = Block("a.md", 1, "", "# why\npsastream check \\\n  --json\n\nmake demo  # all\n")
    assert block.commands == ["psastream check \\\n  --json", "make demo  # all"]
