"""Records that could not be processed."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.exits import Exit, errors_as_exit_codes, settings_from_environment

app = typer.Typer(no_args_is_help=True, help="Dead letters: records that cannot be processed.")


@app.command("list")
def dlq_list(
    topic: Annotated[str | None, typer.Option("--topic", help="topic of the record")] = None,
    code: Annotated[str | None, typer.Option("--code", help="code, such as record.decode")] = None,
    limit: Annotated[int, typer.Option(min=1, help="print so many at most")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the dead letters that are kept, newest first, and how many there are of what."""
    from psastream.letter_list import Chosen, list_letters

    with errors_as_exit_codes():
        chosen = Chosen(topic, code)
        is_whole = list_letters(settings_from_environment(), chosen, limit=limit, as_json=as_json)
        raise typer.Exit(Exit.OK if is_whole else Exit.FAILED)


@app.command("show")
def dlq_show(
    place: Annotated[str, typer.Argument(help="topic|partition|offset, as `dlq list` prints it")],
) -> None:
    """Print one: which record, why, what to do, and the record itself."""
    from psastream.letter_list import show_letter

    with errors_as_exit_codes():
        show_letter(settings_from_environment(), place)
