"""What a demo tells to try next works as it is printed."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from psastream.check.databases import Address, address_of
from psastream.check.files import Files, read_configuration
from psastream.cli import app
from psastream.query.export import Format, write_files, write_manifest
from psastream.query.session import Session, dtypes_of
from psastream.query.views import packaged_views
from sandbox.demo.next_steps import ENDED, KEPT, print_kept, print_next, write_environment
from sandbox.demo.parts import variables_of
from sandbox.stack.settings import StackAddresses
from tests.support.blocks import REPOSITORY
from tests.support.catalogue import BY_NAME, CATALOGUE


@pytest.mark.parametrize("command", [*KEPT, *ENDED])
def test_commands_are_of_the_command_line(command: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command.replace("TABLES", str(tmp_path)))
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


def test_the_file_for_another_shell_has_what_connector_files_name(tmp_path: Path) -> None:
    """Those of the page on operations, which `psastream check` reads beside a kept demo."""
    credentials = {"FLOAT_URL": "http://127.0.0.1:5/float", "FLOAT_TOKEN": "t0 'ken'"}
    addresses = StackAddresses(
        bootstrap_servers="127.0.0.1:1",
        registry_url="http://127.0.0.1:2",
        connect_url="http://127.0.0.1:3",
        postgres_dsn="postgresql://postgres@127.0.0.1:4/postgres",
    )
    file = write_environment(tmp_path, {**credentials, **variables_of(addresses, {"worker": 6})})
    assert file.stat().st_mode & 0o777 == 0o600
    shell = subprocess.run(
        ["sh", "-c", f". {shlex.quote(str(file))}\nenv -0"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    environment = dict(each.split("=", 1) for each in shell.stdout.split("\0") if each)
    vendors = REPOSITORY / "connectors" / "vendors"
    databases = [vendors / "inhouse" / "connector.json"]
    files = Files([vendors / "float" / "source.json"], [vendors / "float" / "sink.json"], databases)
    read = read_configuration(files, environment, needs_addresses=True)
    assert read.is_sound, read.findings
    address = address_of(read.databases[0], environment)
    assert isinstance(address, Address), "variables of the database are missing"
    assert (address.host, address.port) == ("127.0.0.1", "4")


def test_what_a_demo_has_left_is_asked_as_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the same shell, which has no variables and no psastream on its path."""
    program = Path(sys.executable).with_name("psastream")
    (tmp_path / ".venv").symlink_to(program.parents[1])
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    session = Session(CATALOGUE, packaged_views(), load_example, is_locked=False)
    session.load(list(session.topics))
    tables = tmp_path / ".psastream" / "demo" / "tables"
    files = write_files(session, tables, Format.PARQUET)
    write_manifest(tables, files, [], Format.PARQUET)
    printed = io.StringIO()
    print_next(Console(file=printed, width=80), tables)
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "#" not in printed.getvalue()  # zsh takes a comment for arguments
    commands = lines[1:-1]
    assert [line.split()[0] for line in commands if "sql" in line] == [".venv/bin/psastream"] * 3
    shell = subprocess.run(
        ["sh", "-e", "-c", "\n".join(commands)],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    for said in ("2026-09   12.50  EUR", "give it a tax code", "utilization_by_person_week"):
        assert said in shell.stdout
    assert shell.stdout.endswith("psastream sql --from .psastream/demo/tables --shell\n")


def load_example(names: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """A margin and an exception."""
    rows = {
        "psa.metric.project_margin": {"period": "2026-09", "currency": "EUR", "margin": "12.50"},
        "psa.exception": {"status": "open", "hint": "give it a tax code"},
    }
    for name in rows.keys() & set(names):
        dtypes = dtypes_of(BY_NAME[name])
        row = pl.DataFrame(rows[name]).select(
            pl.col(column).cast(dtypes[column]) for column in rows[name]
        )
        yield name, pl.concat([pl.DataFrame(schema=dtypes), row], how="diagonal")
