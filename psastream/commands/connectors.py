"""Debezium connectors on Kafka Connect, and what people order of polled systems."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from psastream.commands.options import Config, DryRun, Json, Note, Sources, Yes
from psastream.exits import errors_as_exit_codes, settings_from_environment

app = typer.Typer(
    no_args_is_help=True, help="Debezium connectors on Kafka Connect; orders to polled systems."
)

System = Annotated[str, typer.Argument(help="a polled system")]
Names = Annotated[
    list[str],
    typer.Argument(help="names in their connector files, or a polled system and its objects"),
]
Objects = Annotated[list[str] | None, typer.Argument(help="its objects; none: all")]


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
        list[str] | None,
        typer.Argument(help="names in their connector files, or polled systems; none: all"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the state of connectors and their tasks, and what was ordered of polled systems.

    The exit code is 1 if one is not running, or if what is named could not be read.
    """
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


@app.command("pause")
def connectors_pause(names: Names, note: Note = None, is_dry: DryRun = False) -> None:
    """Have connectors capture nothing, or polled objects not be polled, until they are resumed."""
    from connectors.polled.orders import Action
    from psastream.connect import pause_connectors
    from psastream.source_orders import Wanted, is_polled, order

    with errors_as_exit_codes():
        settings = settings_from_environment()
        if is_polled(settings, names[0]):
            wanted = Wanted(Action.PAUSE, names[0], names[1:], note=note)
            order(settings, wanted, is_dry=is_dry, is_sure=True)
        else:
            raise typer.Exit(pause_connectors(settings, names, is_dry=is_dry))


@app.command("resume")
def connectors_resume(names: Names, note: Note = None, is_dry: DryRun = False) -> None:
    """Have connectors or polled objects go on that somebody paused or stopped."""
    from connectors.polled.orders import Action
    from psastream.connect import resume_connectors
    from psastream.source_orders import Wanted, is_polled, order

    with errors_as_exit_codes():
        settings = settings_from_environment()
        if is_polled(settings, names[0]):
            wanted = Wanted(Action.RESUME, names[0], names[1:], note=note)
            order(settings, wanted, is_dry=is_dry, is_sure=True)
        else:
            raise typer.Exit(resume_connectors(settings, names, is_dry=is_dry))


@app.command("sweep")
def connectors_sweep(
    system: System,
    objects: Objects = None,
    note: Note = None,
    is_dry: DryRun = False,
) -> None:
    """Have all rows of polled objects compared at the next poll, before that is due."""
    from connectors.polled.orders import Action
    from psastream.source_orders import Wanted, order

    with errors_as_exit_codes():
        wanted = Wanted(Action.SWEEP, system, objects or (), note=note)
        order(settings_from_environment(), wanted, is_dry=is_dry, is_sure=True)


@app.command("resync")
def connectors_resync(  # noqa: PLR0917 - each parameter is an option on the command line
    system: System,
    objects: Objects = None,
    since: Annotated[
        str | None, typer.Option(help="rows changed since: 2026-11-01T08:00Z; none: all")
    ] = None,
    note: Note = None,
    is_dry: DryRun = False,
    is_sure: Yes = False,
) -> None:
    """Have rows of polled objects read and published again, all or those changed since."""
    from connectors.polled.orders import Action
    from psastream.source_orders import Wanted, order, parse_since

    with errors_as_exit_codes():
        start = parse_since(since, datetime.now(UTC)) if since else None
        wanted = Wanted(Action.RESYNC, system, objects or (), start, note)
        order(settings_from_environment(), wanted, is_dry=is_dry, is_sure=is_sure)


@app.command("drift")
def connectors_drift(  # noqa: PLR0917 - each parameter is an option on the command line
    system: Annotated[str | None, typer.Argument(help="a polled system; none: all")] = None,
    objects: Objects = None,
    source: Sources = None,
    accepts: Annotated[bool, typer.Option("--accept", help="take it as it is from now on")] = False,
    note: Note = None,
    is_dry: DryRun = False,
    as_json: Json = False,
) -> None:
    """Print how what APIs describe of their objects differs from what was accepted.

    With --source the vendors of those files are asked now, else it is what pollers saw last. The
    exit code is 1 if something differs that is not accepted, or a vendor did not tell.
    """
    from psastream.drift import Accepting, Asked, print_drift

    with errors_as_exit_codes():
        asked = Asked(system, objects or (), source or ())
        accepting = Accepting(note, is_dry=is_dry) if accepts else None
        settings = settings_from_environment()
        raise typer.Exit(print_drift(settings, asked, accepting, as_json=as_json))
