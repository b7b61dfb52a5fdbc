"""Errors of the command line: one form, fixed exit codes, and a page that explains each code."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from psastream.cli import app
from psastream.exits import Exit, errors_as_exit_codes
from runtime.settings import PREFIX, Settings
from schemas.errors import (
    BrokerUnavailableError,
    ConfigError,
    DecodeError,
    FatalError,
    PsaStreamError,
    RecordError,
    TransientError,
)
from tests.support.catalogue_pages import DOCS

PAGE = (DOCS / "errors.md").read_text()
BARE = {f"{PREFIX}{name.upper()}": None for name in Settings.model_fields}
ASK_NOTHING = {"demo", "up", "docs", "flows", "check", "sql", "topics list", "schemas export"}
"""Commands that need no addresses, or tell what they find of them as findings."""


def told(error: PsaStreamError, capfd: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    with pytest.raises(typer.Exit) as left, errors_as_exit_codes():
        raise error
    return left.value.exit_code, capfd.readouterr().err.splitlines()


def test_an_error_says_what_is_wrong_what_to_do_and_where_it_is_explained(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert told(BrokerUnavailableError("no answer", hint="start it"), capfd) == (
        Exit.FAILED,
        [
            "psastream: no answer",
            "  try: start it",
            "  see: psastream explain transient.broker_unavailable",
        ],
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TransientError("t"), Exit.FAILED),
        (DecodeError("d"), Exit.FAILED),
        (FatalError("f"), Exit.FAILED),
        (ConfigError("c"), Exit.CONFIG),
    ],
)
def test_the_exit_code_follows_from_the_class(
    error: PsaStreamError, code: Exit, capfd: pytest.CaptureFixture[str]
) -> None:
    assert told(error, capfd)[0] == code


def test_every_exit_code_is_documented() -> None:
    listed = re.findall(r"^\| (\d) \| ", PAGE, re.MULTILINE)
    assert listed == [str(int(code)) for code in Exit]


def test_the_page_has_a_place_for_every_code() -> None:
    def below(error: type[PsaStreamError]) -> set[type[PsaStreamError]]:
        return {error, *(each for child in error.__subclasses__() for each in below(child))}

    found = {each for base in (TransientError, RecordError, FatalError) for each in below(base)}
    product = {each.code for each in found if not each.__module__.startswith(("tests", "bench"))}
    places = re.findall(r'<a id="([a-z_.]+)"></a>', PAGE)
    assert product <= set(places)
    assert len(set(places)) == len(places)


def commands() -> list[str]:
    """Every command that can be run without an argument."""

    def walk(command: Any, path: tuple[str, ...]) -> list[tuple[str, Any]]:
        below = getattr(command, "commands", {})
        if not below:
            return [(" ".join(path), command)]
        return [each for name in below for each in walk(below[name], (*path, name))]

    found = walk(typer.main.get_command(app), ())
    return [
        name
        for name, command in found
        if name not in ASK_NOTHING and not any(each.required for each in command.params)
    ]


@pytest.mark.parametrize("command", commands())
def test_without_addresses_a_command_says_so_in_one_form(command: str) -> None:
    shown = CliRunner().invoke(app, command.split(), env=BARE)
    assert (shown.exit_code, shown.stdout) == (Exit.CONFIG, "")
    said, remedy, place = shown.stderr.splitlines()
    assert said.startswith("psastream: ") and "PSASTREAM_BOOTSTRAP_SERVERS: is not set" in said
    assert remedy.startswith("  try: ")
    assert place == "  see: psastream explain fatal.config"
