"""Rows that wait for what they look up, as a state log tells them."""

from __future__ import annotations

import pytest

from psastream.waiting import Waiting, waiting_of
from tables.lookups import LookupTable, Reason, Seeker, Wait
from tests.support.topology import MemoryState


def kept(row: str, wait: Wait | None) -> list[tuple[int, bytes, bytes | None]]:
    """What the log holds of a row."""
    table = LookupTable(MemoryState())
    table.keep(row, Seeker(), Seeker(1, {"header": "ledger:header:5"}, wait, b"event"))
    return [(0, key, value) for key, value in table.changes().items()]


def test_rows_that_wait_are_listed_by_their_last_record() -> None:
    missing = Wait("header", Reason.MISSING, "ledger:header:5")
    log = [
        *kept("ledger:line:2", missing),
        *kept("ledger:line:1", missing),
        *kept("ledger:line:3", missing),
        *kept("ledger:line:4", None),
        *kept("ledger:line:3", None),
        *kept("ledger:line:1", Wait("root", Reason.CYCLE, "ledger:task:1")),
        (1, b"lookr|ledger:line:2", None),
        (0, b"ledger:line:9", b"another family"),
        *kept("ledger:line:0", missing),
    ]
    assert waiting_of(log) == [
        Waiting("ledger:line:0", "header", Reason.MISSING, "ledger:header:5"),
        Waiting("ledger:line:1", "root", Reason.CYCLE, "ledger:task:1"),
    ]


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_told_with_its_row(reason: Reason) -> None:
    told = str(Waiting("ledger:line:1", "up", reason, "detail"))
    assert told.startswith("ledger:line:1 waits. ")
    assert "detail" in told
    assert ("up: " in told) is (reason is not Reason.UNFIT)
