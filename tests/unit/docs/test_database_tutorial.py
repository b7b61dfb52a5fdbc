"""The tutorial of databases, as far as it needs none: its files written, its commands run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from psastream.cli import app
from tests.support.catalogue_pages import DOCS
from tests.support.pages import BLOCK, write_files

PAGE: Final = (DOCS / "database-tutorial.md").read_text()


def test_the_commands_say_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files("database-tutorial.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    environment: dict[str, str] = {}
    said: list[str] = []
    for kind, name, text in BLOCK.findall(PAGE):
        for line in text.splitlines() if kind == "sh" and name != "database" else ():
            words = shlex.split(line)[1:]
            if line.startswith("export "):
                environment |= dict(word.split("=", 1) for word in words)
                continue
            result = CliRunner().invoke(app, words, env=environment)
            assert result.exit_code == 0, result.output
            said.append(result.output)
        if kind == "text":
            assert said[-1] == text
    tried, flows = said[-2:]
    for word in re.findall(r"`(\w+=[\w:.]+)`", PAGE.partition("## Check it")[2]):
        assert word in tried.split()
    assert "noi (psa) gives project, resource, time_entry" in flows
