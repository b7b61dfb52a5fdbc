"""Everything that can be checked before anything starts."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.commands.options import Databases, Sinks, Sources
from psastream.exits import errors_as_exit_codes


def check(
    source: Sources = None,
    sink: Sinks = None,
    database: Databases = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Check files, variables, broker, topics, contracts, connectors, databases, read model,
    sign-in, clocks.

    Starts nothing and changes nothing. Exit code 1 if a part fails, 2 if the configuration is
    wrong.
    """
    from psastream.check.files import Files
    from psastream.check.run import check_all
    from runtime.logs import configure_logs

    configure_logs(json=False, level="ERROR")  # what is found is printed
    with errors_as_exit_codes():
        files = Files(source or (), sink or (), database or ())
        raise typer.Exit(check_all(files, as_json=as_json))
