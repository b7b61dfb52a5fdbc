"""The Avro contracts."""

from __future__ import annotations

import typer

from psastream.exits import errors_as_exit_codes, settings_from_environment

app = typer.Typer(no_args_is_help=True, help="The Avro contracts.")


@app.command("register")
def schemas_register() -> None:
    """Register every contract; fails where one is incompatible with what is registered."""
    from psastream.landscape import read_firm
    from runtime.registry import Registry

    with errors_as_exit_codes():
        settings = settings_from_environment()
        topics = read_firm(settings).topics
        count = Registry(settings.registry_url).register_catalogue(topics)
        typer.echo(f"{count} subjects registered")
