"""What to try once a demo is over: commands to copy, which work as they are printed."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console

ENVIRONMENT_FILE: Final = "env.sh"
STAYS_UP: Final = "everything stays up; Ctrl-C ends it"
KEPT: Final = {
    'psastream sql "SELECT project, month, margin, currency\n'
    '                 FROM margin_by_project_month"': "the margins above",
    "psastream exceptions list": "what waits for a person",
    "psastream status": "how all that runs is",
}
"""What works in another shell while everything stays up, with `ENVIRONMENT_FILE` read."""
ENDED: Final = {
    "psastream demo --keep": "stays up: ask it in SQL",
    "psastream flows": "who sends what to whom",
    "psastream topics list": "every topic and its owner",
}
"""What works without anything that runs."""


def write_environment(directory: Path, variables: Mapping[str, str]) -> Path:
    """Write a file for `.` of a shell: it finds `psastream`, and that finds what stays up.

    Credentials are among the variables: the file is for its owner alone.
    """
    scripts = shlex.quote(str(Path(sys.executable).parent))
    lines = [f'export PATH={scripts}:"$PATH"']
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    path = directory / ENVIRONMENT_FILE
    path.unlink(missing_ok=True)  # the mode counts only for a file that is created
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return path


def print_next(console: Console) -> None:
    """Print three commands that need nothing to run."""
    _print(console, "Try next:")
    for line, what in ENDED.items():
        _print(console, f"  {line.replace('psastream', _command(), 1)}", what)


def _command() -> str:
    """Return how this program is called from here."""
    command = Path(sys.executable).with_name("psastream")
    if shutil.which("psastream") == str(command):
        return "psastream"
    here = Path.cwd()
    return shlex.quote(str(command.relative_to(here) if command.is_relative_to(here) else command))


def print_kept(console: Console, environment: Path, addresses: Mapping[str, str]) -> None:
    """Print three commands for another shell, and where everything is."""
    _print(console, STAYS_UP)
    _print(console, "Try next, in another shell:")
    _print(console, f"  . {shlex.quote(str(environment))}")
    for command, what in KEPT.items():
        *lines, last = command.splitlines()
        for line in lines:
            _print(console, f"  {line}")
        _print(console, f"  {last}", what)
    _print(console, "Addresses:")
    for name, address in addresses.items():
        _print(console, f"  {name:<20}{address}")


def _print(console: Console, line: str, what: str = "") -> None:
    """Print a line as it is, without breaks: to be copied. What it does comes as a comment."""
    text = f"{line:<51}# {what}" if what else line
    console.print(text, markup=False, highlight=False, soft_wrap=True)
