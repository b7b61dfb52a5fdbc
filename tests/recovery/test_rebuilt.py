"""Groups computed anew while dispatchers run, as nobody should: what they order waits."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from tests.recovery.firm import HELD, NUMBERS, Firm, release

pytestmark = pytest.mark.stack

GROUPS: Final = ("normalize", "customer", "engagement", "project")
"""Those that order something, or that others order by."""


def test_what_half_read_tables_order_is_not_sent(firm: Firm) -> None:
    with firm.writes() as written:
        firm.stop("dispatcher", "worker")
        for group in GROUPS:
            firm.ask("rebuild", group)
        for identity in HELD:
            assert firm.says("exceptions", "release", identity, "--yes") == 1
        firm.start("dispatcher", "worker")
        firm.wait_for_books(of=NUMBERS)
        assert written() == Counter()
        firm.wait_until_read()
        assert release(firm) == HELD
        firm.wait_for_books()
        operations = {operation for _, _, operation in written()}
        assert operations <= {"update"}  # budgets are set anew; nothing is made again or deleted
