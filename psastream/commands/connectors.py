"""Debezium connectors on Kafka Connect."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.commands.options import Config, DryRun
from psastream.exits import errors_as_exit_codes, settings_from_environment

app = typer.Typer(no_args_is_help=True, help="Debezium connectors on Kafka Connect.")


@app.command("apply")
def connectors_apply(config: Config) -> None:
    """Register Debezium connectors, or update them."""
    from psastream.connect import apply_connectors

    with errors_as_exit_codes():
        apply_connectors(settings_from_environment(), config)


@app.command("watch")
def connectors_watch(config: Config) -> None:
    """Watch Debezium connectors: states as metrics, restarts of what has failed."""
    from psastream.connect import watch_connectors

    with errors_as_exit_codes():
        raise typer.Exit(watch_connectors(settings_from_environment(), config))


@app.command("status")
def connectors_status(
    names: Annotated[
        list[str] | None, typer.Argument(help="names in their connector files; none: all")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the state of connectors and their tasks; exit code 1 if one is not running."""
    from psastream.connect import print_status

    with errors_as_exit_codes():
        settings = settings_from_environment()
        raise typer.Exit(print_status(settings, names or (), as_json=as_json))


@app.command("restart")
def connectors_restart(
    names: Annotated[list[str], typer.Argument(help="names in their connector files")],
) -> None:
    """Restart what has failed of connectors, and leave alone what runs."""
    from psastream.connect import restart_connectors

    with errors_as_exit_codes():
        raise typer.Exit(restart_connectors(settings_from_environment(), names))


@app.command("resume")
def connectors_resume(
    names: Annotated[list[str], typer.Argument(help="names in their connector files")],
    is_dry: DryRun = False,
) -> None:
    """Have connectors go on that somebody paused or stopped."""
    from psastream.connect import resume_connectors

    with errors_as_exit_codes():
        raise typer.Exit(resume_connectors(settings_from_environment(), names, is_dry=is_dry))
