"""Real Singer taps and other tools, each in an environment of its own, as a firm installs them.

`requirements/<kind>/<name>.lock` names the packages with their hashes. An environment is made once
for a lock, beside that of the product, which shares nothing with it.
"""

from __future__ import annotations

import fcntl
import shutil
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


def installed_packages(name: str, kind: str) -> Path:
    """Return a folder whose `node_modules` are those of a lock, installed if they were not.

    Raises CalledProcessError, and FileNotFoundError without npm.
    """
    locked = LOCKS / kind / name
    digest = blake2b((locked / "package-lock.json").read_bytes(), digest_size=6).hexdigest()
    folder = ENVIRONMENTS / f"{name}-{digest}"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.copytree(locked, folder, dirs_exist_ok=True)
            npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
            subprocess.run(npm, cwd=folder, check=True)
            (folder / "ready").touch()
    return folder


def _uv(*arguments: str) -> None:
    subprocess.run([str(_UV), *arguments, "--quiet"], check=True)
