"""How this program is called from here, for commands that are printed to be copied."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def called() -> str:
    """Return how a shell in this folder calls this program: its name, where the path has it."""
    command = Path(sys.executable).with_name("psastream")
    return "psastream" if shutil.which("psastream") == str(command) else from_here(command)


def from_here(path: Path) -> str:
    """Return a path as a shell in this folder takes it: without the folder's own, where in it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
