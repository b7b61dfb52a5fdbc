"""What tables have ordered in other systems."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.commands.options import DryRun, Json, Note, Yes
from psastream.exits import Exit, errors_as_exit_codes, settings_from_environment

app = typer.Typer(no_args_is_help=True, help="What tables have ordered in other systems.")

Target = Annotated[str, typer.Argument(help="system that is to act")]
Keys = Annotated[list[str], typer.Argument(help="as `psastream commands list` prints them")]
Kind = Annotated[
    str | None, typer.Option("--kind", help="upsert_time_bill, …; all of them by default")
]


@app.command("list")
def commands_list(
    target: Annotated[str | None, typer.Option("--target", help="system that is to act")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="upsert_time_bill, …")] = None,
    state: Annotated[
        str | None, typer.Option("--state", help="waiting, attempted, refused, held, succeeded, …")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="print so many at most")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print what would be written: the commands that have not ended, newest first.

    Without dispatchers that is a dry run: tables order, and nobody carries it out.
    """
    from psastream.command_states import Wanted, list_commands, parse_state

    with errors_as_exit_codes():
        wanted = Wanted(target, kind, parse_state(state) if state else None)
        is_whole = list_commands(settings_from_environment(), wanted, limit=limit, as_json=as_json)
        raise typer.Exit(Exit.OK if is_whole else Exit.FAILED)


@app.command("show")
def commands_show(
    natural_key: Annotated[str, typer.Argument(help="as `psastream commands list` prints it")],
    as_json: Json = False,
) -> None:
    """Print one: what it says, how far it is, what stands against it."""
    from psastream.command_states import show_command

    with errors_as_exit_codes():
        show_command(settings_from_environment(), natural_key, as_json=as_json)


@app.command("stop")
def commands_stop(
    target: Target,
    note: Annotated[str, typer.Option("--note", help="why, for the audit trail")],
    kind: Kind = None,
    is_dry: DryRun = False,
) -> None:
    """Have no command of a target sent, or of one kind of it: at once, until it is started.

    Commands wait in their order, and none is lost.
    """
    from psastream.command_decisions import stop_commands

    with errors_as_exit_codes():
        stop_commands(settings_from_environment(), target, kind, note=note, is_dry=is_dry)


@app.command("start")
def commands_start(
    target: Target,
    kind: Kind = None,
    note: Note = None,
    is_dry: DryRun = False,
    is_sure: Yes = False,
) -> None:
    """Have the commands sent that were stopped, those that wait first."""
    from psastream.command_decisions import start_commands

    with errors_as_exit_codes():
        start_commands(
            settings_from_environment(), target, kind, note=note, is_dry=is_dry, is_sure=is_sure
        )


@app.command("approve")
def commands_approve(
    natural_keys: Keys, note: Note = None, is_dry: DryRun = False, is_sure: Yes = False
) -> None:
    """Have commands sent that wait for an approval, as they are now and no others."""
    from connectors.dispatch.decisions import Verb
    from psastream.command_approvals import decide

    with errors_as_exit_codes():
        decide(
            settings_from_environment(), Verb.APPROVED, natural_keys,
            note=note, is_dry=is_dry, is_sure=is_sure,
        )  # fmt: skip


@app.command("refuse")
def commands_refuse(
    natural_keys: Keys,
    note: Annotated[str, typer.Option("--note", help="why, for the audit trail")],
    is_dry: DryRun = False,
    is_sure: Yes = False,
) -> None:
    """Have commands that wait for an approval never sent as they are; newer ones ask anew."""
    from connectors.dispatch.decisions import Verb
    from psastream.command_approvals import decide

    with errors_as_exit_codes():
        decide(
            settings_from_environment(), Verb.REFUSED, natural_keys,
            note=note, is_dry=is_dry, is_sure=is_sure,
        )  # fmt: skip
