"""What the tests of the images share: each is built once."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from tests.image.engine import Engine, Image, engine, missing_tools
from tests.support.wheel import REPOSITORY

CHECKED: Final[Counter[str]] = Counter()
"""What was checked, and how often."""


@pytest.fixture(scope="session")
def builder() -> Iterator[Engine]:
    if missing := missing_tools():
        told = f"images cannot be built here: {', '.join(missing)} missing"
        if os.environ.get("PSASTREAM_TEST_REQUIRE_REAL") == "1":
            pytest.fail(told)
        pytest.skip(told)
    with engine() as found:
        yield found


@pytest.fixture(scope="session")
def revision() -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.check_output(command, cwd=REPOSITORY, text=True).strip()


@pytest.fixture(scope="session")
def image(builder: Engine, revision: str) -> Iterator[Image]:
    """The image that runs in production."""
    with builder.opened(builder.build("psastream", revision)) as opened:
        yield opened


@pytest.fixture(scope="session")
def checked() -> Counter[str]:
    return CHECKED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End with a line that says what was checked."""
    if CHECKED:
        print("checked: " + ", ".join(f"{count:,} {what}" for what, count in CHECKED.items()))
