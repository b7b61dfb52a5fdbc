"""The topic catalogue."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from psastream.exits import Exit, errors_as_exit_codes, settings_from_environment
from psastream.lines import say

app = typer.Typer(no_args_is_help=True, help="The topic catalogue.")


@app.command("list")
def topics_list(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the catalogue."""
    from psastream.catalogue import catalogue_json, print_catalogue
    from psastream.landscape import ANY_ADDRESSES, read_firm
    from psastream.lines import terminal_width
    from runtime.settings import Settings

    with errors_as_exit_codes():
        firm = read_firm(Settings.from_env({**ANY_ADDRESSES, **os.environ}))
        if as_json:
            typer.echo(catalogue_json(firm.topics))
        else:
            print_catalogue(firm.topics, terminal_width())


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
        say(f"{len(created)} topics created, {len(topics) - len(created)} were there")


@app.command("save")
def topics_save(
    folder: Annotated[Path, typer.Argument(help="folder to make, for one copy")],
) -> None:
    """Write what no source can tell again to files: commands' ledger, exceptions, dead letters."""
    from psastream.topic_files import save_topics

    with errors_as_exit_codes():
        for name, count in save_topics(settings_from_environment(), folder).items():
            say(f"{name}: {count:,} records")


@app.command("load")
def topics_load(
    folder: Annotated[Path, typer.Argument(help="folder that `topics save` has made")],
) -> None:
    """Publish what `topics save` wrote, to topics that are empty; commands wait for a person then.

    After `topics apply` and `schemas register`, before any process starts.
    """
    from psastream.topic_files import load_topics

    with errors_as_exit_codes():
        loaded = load_topics(settings_from_environment(), folder)
        for name, count in loaded.records.items():
            say(f"{name}: {count:,} records")
        for identity in loaded.holds:
            say(f"no command is sent until: psastream exceptions release {identity}")


@app.command("read")
def topics_read(
    topic: Annotated[str, typer.Argument(help="topic, as in topics list")],
    start: Annotated[
        str | None,
        typer.Option("--from", help="records since: beginning, end, 30m, 2h, 7d, or an instant"),
    ] = None,
    is_followed: Annotated[
        bool, typer.Option("--follow", help="go on with records as they come, until Ctrl-C")
    ] = False,
    where: Annotated[
        str | None, typer.Option("--where", help="SQL condition over the columns of the value")
    ] = None,
) -> None:
    """Print the last value of every key of a topic, as a line of JSON each.

    With --from or --follow, each record instead: partition, offset, time, key and value, null where
    it deletes its key. What cannot be decoded is told on standard error, and the exit code is 1.
    """
    from psastream.query.where import Where
    from psastream.topic_rows import BEGINNING, END, TopicReader, Unreadable, parse_start

    with errors_as_exit_codes():
        since = parse_start(start or (END if is_followed else BEGINNING), datetime.now(UTC))
        condition = None if where is None else Where(where)
        reader = TopicReader(settings_from_environment(), topic, condition)
        is_records = is_followed or start is not None
        rows = reader.records(since, is_followed=is_followed) if is_records else reader.rows()
        unreadable = 0
        with suppress(KeyboardInterrupt):
            for row in rows:
                if isinstance(row, Unreadable):
                    say(str(row), is_error=True)
                    unreadable += 1
                else:
                    typer.echo(row)
        if unreadable:
            say(f"{unreadable} rows cannot be decoded", is_error=True)
            raise typer.Exit(Exit.FAILED)
