"""The command line, assembled."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from psastream.commands import (
    check,
    commands,
    connectors,
    dlq,
    docs,
    exceptions,
    firm,
    keys,
    processes,
    prove,
    query,
    readmodel,
    schemas,
    state,
    status,
    support,
    system,
    topics,
)
from psastream.usage import Group

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Change-data-capture streaming for professional-services firms.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"psastream {version('psastream')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="print the version"),
    ] = False,
) -> None:
    pass


for command in (
    processes.demo,
    processes.up,
    processes.worker,
    status.status,
    check.check,
    support.support_bundle,
    state.reread,
    state.rebuild,
    keys.erase,
    processes.poll,
    processes.dispatch,
    firm.flows,
    firm.waiting,
    query.sql,
    query.export,
    docs.docs,
    docs.explain,
):
    app.command()(command)
for name, noun in (
    ("topics", topics),
    ("system", system),
    ("schemas", schemas),
    ("connectors", connectors),
    ("prove", prove),
    ("exceptions", exceptions),
    ("dlq", dlq),
    ("commands", commands),
    ("readmodel", readmodel),
    ("keys", keys),
):
    app.add_typer(noun.app, name=name)


if __name__ == "__main__":
    app()
