"""The topic catalogue."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from psastream.exits import Exit, errors_as_exit_codes, settings_from_environment

app = typer.Typer(no_args_is_help=True, help="The topic catalogue.")


@app.command("list")
def topics_list(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the catalogue."""
    from psastream.catalogue import catalogue_json, print_catalogue
    from psastream.landscape import ANY_ADDRESSES, read_firm
    from runtime.settings import Settings

    with errors_as_exit_codes():
        firm = read_firm(Settings.from_env({**ANY_ADDRESSES, **os.environ}))
        if as_json:
            typer.echo(catalogue_json(firm.topics))
        else:
            print_catalogue(firm.topics)


@app.command("apply")
def topics_apply() -> None:
    """Create the topics that are missing; refuse where one has another partition count."""
    from psastream.landscape import read_firm
    from runtime.kafka import create_topics

    with errors_as_exit_codes():
        settings = settings_from_environment()
        topics = read_firm(settings).topics
        created = create_topics(
            settings.kafka, topics, replication_factor=settings.replication_factor
        )
        typer.echo(f"{len(created)} topics created, {len(topics) - len(created)} were there")


@app.command("read")
def topics_read(topic: Annotated[str, typer.Argument(help="topic, as in topics list")]) -> None:
    """Print the last value of every key of a topic, as a line of JSON each.

    What cannot be decoded is told on standard error, and the exit code is 1.
    """
    from psastream.topic_rows import Unreadable, rows_of

    with errors_as_exit_codes():
        unreadable = 0
        for row in rows_of(settings_from_environment(), topic):
            typer.echo(row, err=isinstance(row, Unreadable))
            unreadable += isinstance(row, Unreadable)
        if unreadable:
            typer.echo(f"{unreadable} rows cannot be decoded", err=True)
            raise typer.Exit(Exit.FAILED)
