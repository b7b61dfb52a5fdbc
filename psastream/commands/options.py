"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    list[Path], typer.Option("--config", exists=True, dir_okay=False, help="connector file")
]
