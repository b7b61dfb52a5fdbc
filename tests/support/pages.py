"""The files and commands that a page of docs/ shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.support.catalogue_pages import DOCS

BLOCK: Final = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def write_files(page: str, folder: Path) -> list[str]:
    """Write every file that a page names; return the lines of its commands."""
    commands: list[str] = []
    for kind, name, text in BLOCK.findall((DOCS / page).read_text()):
        if kind == "sh":
            commands += text.splitlines()
        elif name:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return commands
