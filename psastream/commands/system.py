"""Folders that declare a system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psastream.exits import errors_as_exit_codes
from psastream.lines import say

app = typer.Typer(no_args_is_help=True, help="Folders that declare a system.")

Folder = Annotated[Path, typer.Argument(help="folder of the system")]
Beside = Annotated[
    list[Path] | None,
    typer.Option(
        envvar="PSASTREAM_SYSTEMS", help="folder of another system, to whose rows it refers"
    ),
]


@app.command("init")
def system_init(
    source: Annotated[
        str, typer.Argument(help="a database, as a libpq URI, or the file of an OpenAPI document")
    ],
    schema: Annotated[str, typer.Option(help="schema of the database to declare")] = "",
    to: Annotated[Path, typer.Option(help="folder to make the system's folder in")] = Path(),
    system: Annotated[str, typer.Option(help="name of the system, where not the schema's")] = "",
    tables: Annotated[str, typer.Option(help="tables to declare, a,b,c; none: all")] = "",
) -> None:
    """Write a folder to begin with from a PostgreSQL database, or from the description of an API.

    From a database: tables, columns, connector file. From an OpenAPI document: lists, columns,
    pages, how to sign in.
    """
    from psastream.starter import read_tables, starter_of, write_starter
    from psastream.starter_openapi import is_document, read_document, starter_of_api
    from psastream.starter_openapi import write_api_starter as write_api
    from runtime.secrets import remember_url
    from schemas.errors import ConfigError

    with errors_as_exit_codes():
        name = system or schema
        if is_document(source):
            api = starter_of_api(name, read_document(Path(source)))
            files, warnings = write_api(api, to / name), api.warnings
        elif not schema:
            raise ConfigError(
                "--schema is missing: which schema of the database?",
                hint="the file of an OpenAPI document ends in .json, .yaml or .yml",
            )
        else:
            remember_url(source)
            only = [each.strip() for each in tables.split(",") if each.strip()]
            starter = starter_of(schema, read_tables(source, schema), system=name, only=only)
            files, warnings = write_starter(starter, to / name), starter.warnings
        for file in files:
            say(f"{file} written")
        for warning in warnings:
            say(warning, "note: ")
        say("next: give objects targets in mapping.yaml; psastream system check says more")


@app.command("check")
def system_check(
    folder: Folder,
    beside: Beside = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Check a folder whole, offline: print what follows from it, or each problem on a line."""
    from psastream.exits import Exit
    from psastream.system import check_system

    with errors_as_exit_codes():
        is_sound = check_system(folder, beside or (), as_json=as_json)
        raise typer.Exit(Exit.OK if is_sound else Exit.CONFIG)


@app.command("try")
def system_try(
    folder: Folder,
    obj: Annotated[str, typer.Argument(help="object whose rows they are")],
    rows: Annotated[Path, typer.Option(help="source rows: JSON, a list or one a line")],
    beside: Beside = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print what is made of source rows, or why they are refused; exit code 1 if one is."""
    from psastream.exits import Exit
    from psastream.system import try_rows

    with errors_as_exit_codes():
        is_sound = try_rows(folder, obj, rows, beside or (), as_json=as_json)
        raise typer.Exit(Exit.OK if is_sound else Exit.FAILED)


@app.command("conform")
def system_conform(
    folder: Folder,
    objects: Annotated[
        list[str] | None, typer.Option("--object", help="only this object; may be repeated")
    ] = None,
    clauses: Annotated[
        list[str] | None, typer.Option("--clause", help="only this clause; may be repeated")
    ] = None,
    beside: Beside = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Run a folder's source against its vendor's documented API, hostile answers included."""
    from psastream.conform import conform_system
    from psastream.exits import Exit

    with errors_as_exit_codes():
        is_sound = conform_system(
            folder,
            beside or (),
            objects=objects or (),
            clauses=clauses or (),
            as_json=as_json,
        )
        raise typer.Exit(Exit.OK if is_sound else Exit.FAILED)
