"""What waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.commands.options import DryRun, Json, Note, Yes
from psastream.exits import errors_as_exit_codes, settings_from_environment

app = typer.Typer(no_args_is_help=True, help="What waits for a person.")

Target = Annotated[str | None, typer.Option("--target", help="system that refuses")]
ReasonName = Annotated[
    str | None, typer.Option("--class", help="kind of cure: permission, closed, setting, …")
]


@app.command("list")
def exceptions_list(
    target: Target = None,
    reason: ReasonName = None,
    older_than: Annotated[str | None, typer.Option(help="least age: 30m, 2h, 7d")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print what is open, the most money first, and how many dead letters there are."""
    from psastream.exceptions import Filter, list_exceptions, parse_age, parse_reason

    with errors_as_exit_codes():
        wanted = Filter(
            target=target,
            reason=parse_reason(reason) if reason else None,
            older_than=parse_age(older_than) if older_than else None,
        )
        list_exceptions(settings_from_environment(), wanted, as_json=as_json)


@app.command("show")
def exceptions_show(
    exception_id: Annotated[str, typer.Argument(help="as `psastream exceptions list` prints it")],
    as_json: Json = False,
) -> None:
    """Print one: the command, what the target said, the attempts, what to do."""
    from psastream.exceptions import show_exception

    with errors_as_exit_codes():
        show_exception(settings_from_environment(), exception_id, as_json=as_json)


@app.command("retry")
def exceptions_retry(
    ids: Annotated[list[str] | None, typer.Argument(help="exceptions by id")] = None,
    target: Target = None,
    reason: ReasonName = None,
    note: Note = None,
    is_dry: DryRun = False,
) -> None:
    """Have refused commands tried again now: by id, by target or by class."""
    from psastream.exceptions import Filter, parse_reason, retry_exceptions

    with errors_as_exit_codes():
        wanted = Filter(
            ids=tuple(ids or ()), target=target, reason=parse_reason(reason) if reason else None
        )
        retry_exceptions(settings_from_environment(), wanted, note=note, is_dry=is_dry)


@app.command("release")
def exceptions_release(  # noqa: PLR0917 - each parameter is an option on the command line
    ids: Annotated[list[str] | None, typer.Argument(help="exceptions by id")] = None,
    target: Target = None,
    reason: ReasonName = None,
    note: Note = None,
    is_dry: DryRun = False,
    is_sure: Yes = False,
    despite_unread: Annotated[
        bool,
        typer.Option(
            "--despite-unread",
            help="also all of a target while workers have messages to read: half-read tables order"
            " what is wrong",
        ),
    ] = False,
) -> None:
    """Have commands sent that were held back, since the last of their kind were refused.

    Those of a whole target (TARGET:ledger) only once workers have read everything.
    """
    from psastream.exceptions import Filter, parse_reason
    from psastream.releases import release_exceptions

    with errors_as_exit_codes():
        wanted = Filter(
            ids=tuple(ids or ()), target=target, reason=parse_reason(reason) if reason else None
        )
        release_exceptions(
            settings_from_environment(),
            wanted,
            note=note,
            is_dry=is_dry,
            is_sure=is_sure,
            despite_unread=despite_unread,
        )
