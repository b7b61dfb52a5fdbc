"""The Avro contracts."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from psastream.exits import errors_as_exit_codes, settings_from_environment
from psastream.lines import say

app = typer.Typer(no_args_is_help=True, help="The Avro contracts.")


@app.command("register")
def schemas_register() -> None:
    """Register every contract; fails where one is incompatible with what is registered."""
    from psastream.landscape import read_firm
    from runtime.registry import Registry

    with errors_as_exit_codes():
        settings = settings_from_environment()
        topics = read_firm(settings).topics
        count = Registry(settings.registry).register_catalogue(topics)
        say(f"{count} subjects registered")


@app.command("export")
def schemas_export(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="TOPIC", help="topics, '*' for any text; else the public ones"),
    ] = None,
    form: Annotated[
        Literal["asyncapi", "odcs"], typer.Option("--format", help="of the document")
    ] = "asyncapi",
) -> None:
    """Print topics and their contracts as one document, in YAML, for other organisations' tools.

    asyncapi: AsyncAPI 3.1; odcs: Open Data Contract Standard 3.1. No broker is asked.
    """
    import yaml

    from psastream.governance.asyncapi import asyncapi_document
    from psastream.governance.odcs import odcs_document
    from psastream.governance.published import published
    from psastream.landscape import ANY_ADDRESSES, read_firm
    from runtime.settings import Settings

    with errors_as_exit_codes():
        firm = read_firm(Settings.from_env({**ANY_ADDRESSES, **os.environ}))
        topics = published(firm.topics, patterns or ())
        document = asyncapi_document(topics) if form == "asyncapi" else odcs_document(topics)
        typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
