"""The package as a user gets it: built from the checkout, used without it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
UV: Final = str(Path(sys.executable).with_name("uv"))
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PACKAGES: Final[list[str]] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def build_wheel(to: Path) -> Path:
    """Build the wheel into a folder. Returns its file."""
    command = [UV, "build", "--quiet", "--wheel", "--out-dir", str(to), str(REPOSITORY)]
    subprocess.run(command, check=True)
    (wheel,) = to.glob("*.whl")
    return wheel
