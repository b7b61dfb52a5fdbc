"""Virtual environments of peers whose dependencies clash with the project's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def pinned(name: str, package: str) -> str:
    """Return the version of `package` in `requirements/<name>.txt`."""
    for line in _requirements(name).read_text().splitlines():
        found, _, version = line.partition("==")
        if found == package:
            return version
    raise LookupError(f"{package} is not pinned for {name}")


def python_of(cache: Path, name: str) -> str:
    """Return the interpreter of the environment that `make` makes."""
    return str(cache / f"{name}-venv" / "bin" / "python")


def make(cache: Path, name: str, python: str = sys.executable) -> None:
    """Make the environment of `requirements/<name>.txt`, unless it is there as pinned."""
    requirements = _requirements(name)
    made = cache / f"{name}-venv" / "made-of.txt"
    if made.exists() and made.read_text() == requirements.read_text():
        return
    uv = Path(sys.executable).with_name("uv")
    folder = made.parent
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, folder], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", python_of(cache, name)]
    subprocess.run([*install, "--requirement", requirements], check=True)
    made.write_text(requirements.read_text())


def program(name: str) -> str:
    """Return the path of `programs/<name>_program.py`."""
    return str(HERE / "programs" / f"{name}_program.py")


def _requirements(name: str) -> Path:
    return HERE / "requirements" / f"{name}.txt"
