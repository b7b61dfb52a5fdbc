"""When what a target says it has carried out counts as lost."""

from __future__ import annotations

import pytest

from tables.documents import Documents
from tables.unshown import PATIENCE_MS, UnshownOrders
from tests.support.topology import MemoryState

MADE_MS = 1_000_000
KEY = "netsuite:project:eng-1-de"


@pytest.mark.fault("A1", place="tables/unshown.py")
@pytest.mark.parametrize(
    ("row", "after_ms", "is_lost"),
    [
        pytest.param("netsuite:project:9", PATIENCE_MS, True, id="long after"),
        pytest.param("netsuite:project:9", PATIENCE_MS - 1, False, id="too soon"),
        pytest.param("float:project:9", 2 * PATIENCE_MS, False, id="another system"),
    ],
)
def test_a1_news_of_the_same_target_prove_a_loss(row: str, after_ms: int, *, is_lost: bool) -> None:
    state = MemoryState()
    first = Documents(state)
    UnshownOrders(first).carried_out(KEY, 7, MADE_MS)
    state.commit(first.changes())

    later = Documents(state)
    orders = UnshownOrders(later)
    assert orders.take_overdue() == [], "nothing has shown"
    orders.shown(row, MADE_MS + after_ms)
    orders.shown(row, MADE_MS)  # a former row comes later: the clock of a chunk does not go back
    assert orders.take_overdue() == ([(KEY, 7)] if is_lost else [])
    state.commit(later.changes())
    assert bool(state.rows) is not is_lost, "what counts as lost is awaited no more"
