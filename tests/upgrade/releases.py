"""Releases as they are handed out: a wheel beside the packages that its lock names.

That of an earlier commit is built once and kept in the user's cache folder. One of another commit
than `release.toml` names is taken with `PSASTREAM_TEST_RELEASE`.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.stack.settings import cache_dir_from
from tests.support.wheel import REPOSITORY, UV

NAMED: Final = Path(__file__).with_name("release.toml")
GIVEN: Final = "PSASTREAM_TEST_RELEASE"
BUILT: Final = "built"


class ReleaseAbsentError(Exception):
    """The release cannot be built here; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """What can be run: `name` for messages, `psastream` the command of its environment."""

    name: str
    psastream: Path


PRESENT: Final = Release("this one", Path(sys.executable).with_name("psastream"))


def previous() -> Release:
    """Return the previous release, built where it is not yet. Raises ReleaseAbsentError."""
    commit = os.environ.get(GIVEN) or str(tomllib.loads(NAMED.read_text())["commit"])
    whole = _whole(commit)
    home = cache_dir_from(os.environ).resolve() / "releases" / whole
    if not (home / BUILT).exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        _build(whole, home)
        (home / BUILT).touch()
    return Release(f"the release {whole[:7]}", home / "bin" / "psastream")


def _whole(commit: str) -> str:
    asked = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-parse", "--verify", f"{commit}^{{commit}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        raise ReleaseAbsentError(
            f"upgrades are not tried: this checkout has no commit {commit} of the previous"
            " release; `git fetch --unshallow` brings it where the clone is a shallow one"
        )
    return asked.stdout.strip()


def _build(commit: str, home: Path) -> None:
    """Make the environment of a commit with its own lock, then the package without its checkout."""
    with tempfile.TemporaryDirectory(prefix="psastream-release-") as folder:
        archive = subprocess.run(
            ["git", "-C", str(REPOSITORY), "archive", commit], capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        python = home / "bin" / "python"
        install = [UV, "pip", "install", "--quiet", "--python", str(python)]
        for command in (
            [UV, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(home)],
            [*install, "--require-hashes", "-r", f"{folder}/requirements/all.lock"],
            [*install, "--no-deps", folder],
        ):
            subprocess.run(command, check=True)
