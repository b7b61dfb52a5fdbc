"""What somebody who helps from afar needs to know."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from psastream.commands.options import Databases, Sinks, Sources
from psastream.exits import Exit, errors_as_exit_codes, settings_from_environment
from psastream.lines import say


def support_bundle(
    file: Annotated[
        Path | None,
        typer.Argument(help="of the bundle; else psastream-<time>.tar.gz", metavar="FILE"),
    ] = None,
    logs: Annotated[
        list[Path] | None,
        typer.Option("--logs", exists=True, help="log file, or folder of *.log; may be repeated"),
    ] = None,
    source: Sources = None,
    sink: Sinks = None,
    database: Databases = None,
) -> None:
    """Gather how everything is in one file, without records and secrets, for who helps from afar.

    Status, check, settings, topics, flows, metrics and probes of the processes, ends of logs.
    Exit code 1 if something could not be gathered: the bundle says what.
    """
    from psastream.check.files import Files
    from psastream.support_bundle import log_files, write_bundle

    with errors_as_exit_codes():
        settings = settings_from_environment()
        path = file or Path(f"psastream-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
        files = Files(source or (), sink or (), database or ())
        problems = write_bundle(path, settings, files, log_files(logs or ()), os.environ)
        for problem in problems:
            say(problem, "not gathered: ", is_error=True)
        say(str(path))
        raise typer.Exit(Exit.FAILED if problems else Exit.OK)
