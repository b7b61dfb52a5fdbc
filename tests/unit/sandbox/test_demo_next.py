"""What a demo tells to try next works as it is printed."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from psastream.cli import app
from sandbox.demo.next_steps import ENDED, KEPT, print_kept, print_next, write_environment


@pytest.mark.parametrize("command", [*KEPT, *ENDED])
def test_commands_are_of_the_command_line(command: str) -> None:
    program, *arguments = shlex.split(command)
    shown = CliRunner().invoke(app, [*arguments, "--help"])
    assert (program, shown.exit_code) == ("psastream", 0), shown.output


def test_the_file_for_another_shell_finds_psastream_and_what_stays_up(tmp_path: Path) -> None:
    directory = tmp_path / "it's a folder"
    directory.mkdir()
    file = write_environment(directory, {"PSASTREAM_LANDSCAPE": "a 'b' $c"})
    printed = io.StringIO()
    print_kept(Console(file=printed, width=80), file, {"kafka": "127.0.0.1:1"})
    assert max(len(line) for line in printed.getvalue().splitlines() if "env.sh" not in line) <= 80
    [read] = [line for line in printed.getvalue().splitlines() if line.startswith("  . ")]
    asked = 'printf "%s|%s" "$(command -v psastream)" "$PSASTREAM_LANDSCAPE"'
    shell = subprocess.run(
        ["sh", "-c", f"{read}\n{asked}"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == f"{Path(sys.executable).with_name('psastream')}|a 'b' $c"


def test_what_needs_nothing_to_run_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Path(sys.executable).with_name("psastream")
    monkeypatch.chdir(program.parents[2])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    printed = io.StringIO()
    print_next(Console(file=printed, width=80))
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split("#")[0].split() == [".venv/bin/psastream", "demo", "--keep"]
