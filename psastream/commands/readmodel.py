"""The read model in PostgreSQL."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.exits import errors_as_exit_codes, settings_from_environment
from psastream.lines import say

app = typer.Typer(no_args_is_help=True, help="The read model in PostgreSQL, for BI.")


@app.command()
def run() -> None:
    """Keep the read model: migrate it, fill it, write what comes; what is away is waited for."""
    from psastream.read_model.process import run_read_model

    with errors_as_exit_codes():
        raise typer.Exit(run_read_model(settings_from_environment()))


@app.command()
def migrate() -> None:
    """Bring schemas, roles and views up to date; `run` does it, too."""
    from psastream.read_model.process import migrate as migrate_all

    with errors_as_exit_codes():
        done = migrate_all(settings_from_environment())
        say(f"applied: {', '.join(done)}" if done else "up to date")


@app.command()
def rebuild() -> None:
    """Fill it anew beside the old one, from the topics, and change over once it is whole.

    Queries and `run` go on meanwhile.
    """
    from psastream.read_model.process import rebuild as rebuild_all

    with errors_as_exit_codes():
        told = rebuild_all(
            settings_from_environment(), lambda rows: say(f"{rows:,} rows", is_error=True)
        )
        say(f"generation {told.number} is live")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print rows, what is not in yet, and what could not be taken; exit code 1 unless all is in."""
    from psastream.read_model.status import print_status, read_status

    with errors_as_exit_codes():
        found = read_status(settings_from_environment())
        print_status(found, as_json=as_json)
        raise typer.Exit(found.exit)
