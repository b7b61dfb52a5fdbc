"""What all tests of the deployment share."""

import pytest

from tests.deploy.chart import CHECKED
from tests.deploy.tools import ToolAbsentError


def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """A tool that is absent is told as that, without a trace."""
    if call.excinfo is not None and call.excinfo.errisinstance(ToolAbsentError):
        pytest.exit(f"absent: {call.excinfo.value}", returncode=2)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End with a line that says what was checked."""
    if CHECKED:
        print("checked: " + ", ".join(f"{count} {what}" for what, count in CHECKED.items()))
