"""What the landscape of a firm says, and what waits in it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer

from psastream.commands.options import Json
from psastream.exits import errors_as_exit_codes, settings_from_environment
from psastream.lines import say


def flows(
    mermaid: Annotated[bool, typer.Option("--mermaid", help="print a picture's text")] = False,
    as_json: Json = False,
) -> None:
    """Print who sends what to whom: rows that systems give, commands that they take."""
    from psastream.flows import as_mermaid, as_text, flows_of
    from psastream.landscape import ANY_ADDRESSES, read_firm
    from runtime.settings import Settings

    with errors_as_exit_codes():
        found = flows_of(read_firm(Settings.from_env({**ANY_ADDRESSES, **os.environ})))
        if as_json:
            typer.echo(json.dumps([asdict(each) for each in found], indent=2))
            return
        if mermaid:
            typer.echo("\n".join(as_mermaid(found)))
            return
        for line in as_text(found):
            say(line)


def waiting(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List rows of sources that wait for what they look up."""
    from psastream.waiting import show_waiting

    with errors_as_exit_codes():
        show_waiting(settings_from_environment(), as_json=as_json)
