"""Records that could not be processed."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.commands.options import DryRun, Json, Note, Yes
from psastream.exits import Exit, errors_as_exit_codes, settings_from_environment

app = typer.Typer(no_args_is_help=True, help="Dead letters: records that cannot be processed.")

TopicName = Annotated[str | None, typer.Option("--topic", help="topic of the record")]
Code = Annotated[str | None, typer.Option("--code", help="code, such as record.decode")]
Places = Annotated[list[str] | None, typer.Argument(help="as `dlq list` prints them")]


@app.command("list")
def dlq_list(
    topic: TopicName = None,
    code: Code = None,
    limit: Annotated[int, typer.Option(min=1, help="print so many at most")] = 200,
    is_whole: Annotated[
        bool, typer.Option("--all", help="those that were released or discarded, too")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the dead letters that are kept, newest first, and how many there are of what."""
    from psastream.letter_list import Chosen, list_letters

    with errors_as_exit_codes():
        chosen = Chosen(topic, code)
        is_read = list_letters(
            settings_from_environment(), chosen, limit=limit, as_json=as_json, is_whole=is_whole
        )
        raise typer.Exit(Exit.OK if is_read else Exit.FAILED)


@app.command("show")
def dlq_show(
    place: Annotated[str, typer.Argument(help="topic|partition|offset, as `dlq list` prints it")],
    as_json: Json = False,
) -> None:
    """Print one: which record, why, what to do, and the record itself."""
    from psastream.letter_list import show_letter

    with errors_as_exit_codes():
        show_letter(settings_from_environment(), place, as_json=as_json)


@app.command("release")
def dlq_release(  # noqa: PLR0917 - each parameter is an option on the command line
    places: Places = None,
    topic: TopicName = None,
    code: Code = None,
    note: Note = None,
    is_dry: DryRun = False,
    is_sure: Yes = False,
) -> None:
    """Publish records again, where they stood: once what was wrong with them is put right.

    What has changed since is stale and changes nothing; what still cannot be processed is a dead
    letter again. Each is released once.
    """
    from psastream.letter_decisions import Decision, Meant, decide

    with errors_as_exit_codes():
        decide(
            settings_from_environment(),
            Decision.RELEASED,
            Meant(places or (), topic, code),
            note=note,
            is_dry=is_dry,
            is_sure=is_sure,
        )


@app.command("discard")
def dlq_discard(  # noqa: PLR0917 - each parameter is an option on the command line
    places: Places = None,
    topic: TopicName = None,
    code: Code = None,
    note: Note = None,
    is_dry: DryRun = False,
    is_sure: Yes = False,
) -> None:
    """Set dead letters aside: nobody need look at them any more. They are kept as others are."""
    from psastream.letter_decisions import Decision, Meant, decide

    with errors_as_exit_codes():
        decide(
            settings_from_environment(),
            Decision.DISCARDED,
            Meant(places or (), topic, code),
            note=note,
            is_dry=is_dry,
            is_sure=is_sure,
        )
