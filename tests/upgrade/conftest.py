"""What all tests of upgrades share."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from tests.upgrade.releases import Release, ReleaseAbsentError, previous

CHECKED: Final[Counter[str]] = Counter()


@pytest.fixture(scope="session")
def checked() -> Counter[str]:
    """What a run has checked, for its last line."""
    return CHECKED


@pytest.fixture(scope="session")
def release() -> Release:
    """The previous release."""
    try:
        return previous()
    except ReleaseAbsentError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End with a line that says what was checked."""
    if CHECKED:
        print("checked: " + ", ".join(f"{count} {what}" for what, count in CHECKED.items()))
