"""Real Singer taps, each in an environment of its own, as a firm would install them.

`requirements/taps/<name>.lock` names the packages with their hashes. An environment is made once
for a lock, beside that of the product, which shares nothing with it.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Final

LOCKS: Final = Path(__file__).parents[2] / "requirements"
ENVIRONMENTS: Final = Path(sys.prefix) / "taps"
_UV: Final = Path(sys.executable).with_name("uv")


def installed(name: str, kind: str = "taps") -> Path:
    """Return the executable of a tap, or of a tool of another kind, installed if it was not.

    Raises CalledProcessError.
    """
    lock = LOCKS / kind / f"{name}.lock"
    digest = blake2b(lock.read_bytes(), digest_size=6).hexdigest()
    folder = ENVIRONMENTS / f"{name}-{digest}"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # the groups of the tests run side by side
        if not (folder / "ready").exists():
            _uv("venv", "--clear", "--python", sys.executable, str(folder))
            _uv(
                "pip", "install", "--require-hashes", "--no-deps",
                "--python", str(folder / "bin" / "python"), "--requirement", str(lock),
            )  # fmt: skip
            (folder / "ready").touch()
    return folder / "bin" / name


def _uv(*arguments: str) -> None:
    subprocess.run([str(_UV), *arguments, "--quiet"], check=True)
