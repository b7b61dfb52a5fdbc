"""Keys that records are encrypted with, and forgetting people."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.commands.options import DryRun, Json, Yes
from psastream.exits import errors_as_exit_codes, settings_from_environment
from psastream.lines import say

app = typer.Typer(no_args_is_help=True, help="Keys that records are encrypted with.")


@app.command("new")
def keys_new(
    version: Annotated[str, typer.Argument(help="a name that no key has had, such as 2026-03")],
) -> None:
    """Print a new master key: a line for the file that PSASTREAM_MASTER_KEYS_FILE names."""
    from runtime.master_keys import new_line

    with errors_as_exit_codes():
        typer.echo(new_line(version))


@app.command("list")
def keys_list(as_json: Json = False) -> None:
    """Print how many data keys there are, under which master keys, and how many were forgotten."""
    from psastream.data_keys import show_keys

    with errors_as_exit_codes():
        show_keys(settings_from_environment(), as_json=as_json)


@app.command("rotate")
def keys_rotate() -> None:
    """Make a new data key for everybody; processes use it within half a minute.

    What was encrypted before is read with its key as ever.
    """
    from psastream.data_keys import data_keys

    with errors_as_exit_codes():
        count = data_keys(settings_from_environment()).rotate()
        say(f"{count} new data keys")


@app.command("rewrap")
def keys_rewrap() -> None:
    """Keep all data keys under the newest master key, so that the others can be taken away."""
    from psastream.data_keys import data_keys

    with errors_as_exit_codes():
        count = data_keys(settings_from_environment()).rewrap()
        say(f"{count} data keys kept under the newest master key")


def erase(
    ids: Annotated[
        list[str], typer.Argument(help="an id of the person: id, resource_id or address_id")
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(help="what names them in dead letters, too, such as an e-mail address"),
    ] = None,
    is_dry: DryRun = False,
    is_sure: Yes = False,
) -> None:
    """Forget a person: destroy the keys of what names them. For good.

    Erase them at the source first. What their work cost stays, under their ids.
    """
    from psastream.erasure import erase as forget

    with errors_as_exit_codes():
        forget(settings_from_environment(), ids, text or (), is_dry=is_dry, is_sure=is_sure)
