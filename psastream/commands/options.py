"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    list[Path], typer.Option("--config", exists=True, dir_okay=False, help="connector file")
]
Sources = Annotated[list[Path] | None, typer.Option("--source", help="polled source file")]
Sinks = Annotated[list[Path] | None, typer.Option("--sink", help="command sink file")]
Databases = Annotated[list[Path] | None, typer.Option("--database", help="Debezium connector file")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do it without asking")]
Note = Annotated[str | None, typer.Option("--note", help="why, for the audit trail")]
