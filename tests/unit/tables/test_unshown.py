"""When what a target says it has carried out counts as lost."""

from __future__ import annotations

import pytest

from tables.engagement.unshown import PATIENCE_MS, UnshownOrders, tell_unshown
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.ledger import LedgerEntry
from tests.support.topology import MemoryState

MADE_MS = 1_000_000
KEY = "netsuite:project:eng-1-de"


@pytest.mark.fault("A1", place="tables/engagement/unshown.py")
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
    UnshownOrders(first).carried_out(KEY, 7, MADE_MS, losses=0)
    state.commit(first.changes())

    later = Documents(state)
    orders = UnshownOrders(later)
    assert orders.take_overdue() == [], "nothing has shown"
    orders.shown(row, MADE_MS + after_ms)
    orders.shown(row, MADE_MS)  # a former row comes later: the clock of a chunk does not go back
    assert orders.take_overdue() == ([(KEY, 7)] if is_lost else [])
    state.commit(later.changes())
    assert bool(state.rows) is not is_lost, "what counts as lost is awaited no more"


@pytest.mark.fault("A1", place="tables/engagement/unshown.py")
@pytest.mark.parametrize(("losses", "days"), [(1, 2), (2, 4), (5, 32), (6, 32)])
def test_a1_each_loss_in_a_row_is_waited_for_longer_up_to_a_month(losses: int, days: int) -> None:
    documents = Documents(MemoryState())
    orders = UnshownOrders(documents)
    orders.carried_out(KEY, 7, MADE_MS, losses=losses)
    orders.shown("netsuite:project:9", MADE_MS + days * PATIENCE_MS - 1)
    assert orders.take_overdue() == []
    orders.shown("netsuite:project:9", MADE_MS + days * PATIENCE_MS)
    assert orders.take_overdue() == [(KEY, 7)]


LOST = LedgerEntry(revision=7, ordered="a", losses=3)


def statuses(entry: LedgerEntry | None, told: dict[str, str]) -> list[tuple[object, object]]:
    """What is published when the ledger says so."""
    outbox = Outbox()
    tell_unshown({} if entry is None else {KEY: entry}, told, "salesforce", outbox, 10)
    return [(emit.key, (emit.record or {})["status"]) for emit in outbox.emits]


@pytest.mark.fault("A1", place="tables/engagement/unshown.py")
def test_a1_a_person_is_told_of_the_third_loss_and_of_each_later_one() -> None:
    told: dict[str, str] = {}
    assert statuses(LOST.model_copy(update={"losses": 2}), told) == []
    assert statuses(LOST, told) == [(f"unshown:{KEY}", "open")]
    assert statuses(LOST, told) == []
    assert statuses(LOST.model_copy(update={"losses": 4}), told) == [(f"unshown:{KEY}", "open")]


@pytest.mark.fault("A1", place="tables/engagement/unshown.py")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"observed": "a", "is_confirmed": True}, id="it shows"),
        pytest.param({"is_confirmed": True}, id="it has shown"),
        pytest.param({"observed": "b"}, id="something else shows"),
        pytest.param({"ordered": ""}, id="nobody wants it"),
        pytest.param({"ordered": "gone"}, id="it is to go"),
        pytest.param(None, id="nothing is known of it"),
    ],
)
def test_a1_what_is_told_is_resolved_once_it_is_awaited_no_more(
    changes: dict[str, object] | None,
) -> None:
    told: dict[str, str] = {}
    statuses(LOST, told)
    after = None if changes is None else LOST.model_copy(update=changes)
    assert statuses(after, told) == [(f"unshown:{KEY}", "resolved")]
    assert statuses(after, told) == []
