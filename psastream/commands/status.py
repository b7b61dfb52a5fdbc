"""How all that runs is."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.exits import errors_as_exit_codes, settings_from_environment


def status(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="show it again until Ctrl-C")] = False,
    every: Annotated[int, typer.Option(min=1, help="with --watch: seconds between")] = 5,
) -> None:
    """Print how processes, sources, targets and numbers are; exit code 1 if a part fails."""
    from psastream.status.run import show_status

    with errors_as_exit_codes():
        raise typer.Exit(
            show_status(
                settings_from_environment(), as_json=as_json, every_s=every if watch else None
            )
        )
