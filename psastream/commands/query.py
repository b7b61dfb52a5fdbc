"""Questions in SQL over the topics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from psastream.exits import errors_as_exit_codes, settings_from_environment
from schemas.errors import ConfigError


def sql(
    query: Annotated[
        str | None, typer.Argument(help="one query; without it, what can be asked is listed")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--from", file_okay=False, help="folder of an export to ask, not the topics"),
    ] = None,
    as_shell: Annotated[bool, typer.Option("--shell", help="take one query after another")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print a line of JSON a row")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
) -> None:
    """Ask the topics as they stand now, or an export, in DuckDB's SQL.

    Nothing is changed, and a query reaches neither the disk nor the network.
    """
    from psastream.landscape import ANY_ADDRESSES
    from psastream.query.asking import ask, list_relations, shell
    from psastream.query.shown import Form
    from runtime.settings import Settings

    form = Form.JSON if as_json else Form.CSV if as_csv else Form.TABLE
    with errors_as_exit_codes():
        if as_json and as_csv:
            raise ConfigError("an answer is JSON or CSV", hint="--json or --csv")
        if as_shell:
            shell(export or settings_from_environment(), form)
        elif query is not None:
            ask(export or settings_from_environment(), query, form)
        else:
            list_relations(export or Settings.from_env({**ANY_ADDRESSES, **os.environ}))


def export(
    directory: Annotated[Path, typer.Argument(file_okay=False, help="folder of the files")],
    form: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="of the files")
    ] = "parquet",
) -> None:
    """Write every view and public topic to a file each, and to manifest.json what they hold.

    Files take their names when all are written. Amounts stay exact decimals in Parquet.
    """
    from psastream.query.asking import export as export_all
    from psastream.query.export import Format

    with errors_as_exit_codes():
        export_all(settings_from_environment(), directory, Format(form))
