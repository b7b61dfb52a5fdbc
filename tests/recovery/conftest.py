"""A firm for the rehearsals of a file, and what was rehearsed in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recovery.firm import Firm, firm_at_work


@pytest.fixture(scope="module")
def firm() -> Iterator[Firm]:
    """A firm whose story has been told; what is lost of it comes back, but not all of it.

    A cluster that was lost without a copy leaves targets whose commands wait for a person.
    """
    with firm_at_work() as firm:
        yield firm


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was lost and came back, as the tests are called."""
    passed = [
        report.nodeid.rpartition("::test_")[2].replace("_", " ")
        for report in terminalreporter.stats.get("passed", ())
        if "tests/recovery/" in report.nodeid
    ]
    if passed:
        terminalreporter.write_line(f"rehearsed: {'; '.join(passed)}")
