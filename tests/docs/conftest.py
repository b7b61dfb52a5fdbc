"""Fixtures of the tests of what pages show."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.blocks import REPOSITORY, needing
from tests.support.kept_demo import KeptDemo, keeping

DATA = REPOSITORY / ".psastream" / "demo"


@pytest.fixture(scope="module")
def first_hour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptDemo]:
    """The demo as its tutorial starts it, which stays up; pages of other modules start their own
    in the same folder."""
    (block,) = needing("kept")
    (command,) = block.commands
    log = tmp_path_factory.mktemp("demo") / "demo.log"
    with keeping(shlex.split(command), REPOSITORY, log, DATA) as demo:
        yield demo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder that has connectors, environment and local data of the checkout."""
    for name in ("connectors", ".psastream", ".venv"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    return tmp_path
