"""What is published when it says something else, and whose rows are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.canonical_json import Payload
from tables.foundation.documents import Documents
from tables.foundation.effects import Emit, Outbox
from tables.foundation.facts import Employment
from tables.foundation.owners import move
from tables.foundation.told import remember, tell, tell_all
from tests.support.topology import MemoryState

A: Payload = {"is": "a"}
B: Payload = {"is": "b"}


def test_a_record_is_told_when_it_says_something_else() -> None:
    outbox = Outbox()
    told = tell(outbox, "t", "k", A, "")
    assert tell(outbox, "t", "k", A, told) == told
    other = tell(outbox, "t", "k", B, told, route="r")
    assert tell(outbox, "t", "k", None, other) == ""
    assert tell(outbox, "t", "k", None, "") == ""
    assert outbox.emits == [
        Emit("t", "k", "k", A),
        Emit("t", "k", "r", B),
        Emit("t", "k", "k", None),
    ]


def test_that_it_is_later_is_no_news() -> None:
    outbox = Outbox()
    told = tell(outbox, "t", "k", A, "", as_of_ms=1_000)
    assert tell(outbox, "t", "k", A, told, as_of_ms=2_000) == told
    assert tell(outbox, "t", "k", None, told, as_of_ms=3_000) == ""
    stamped = {**A, "as_of": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)}
    assert outbox.emits == [Emit("t", "k", "k", stamped), Emit("t", "k", "k", None)]


def test_of_several_what_is_gone_is_taken_back_first() -> None:
    told: dict[str, str] = {}
    outbox = Outbox()
    tell_all(outbox, "t", {"y": A, "x": A}, told)
    assert [emit.key for emit in outbox.emits] == ["y", "x"]
    outbox = Outbox()
    tell_all(outbox, "t", {"x": A, "z": B}, told, key="{}|c".format, route=str.upper)
    assert outbox.emits == [Emit("t", "y|c", "Y", None), Emit("t", "z|c", "Z", B)]
    assert told.keys() == {"x", "z"}
    tell_all(outbox, "t", {}, told)
    assert told == {}


def test_nothing_is_remembered_of_what_is_not_told() -> None:
    told = {"a": "1"}
    remember(told, "a", "")
    remember(told, "b", "")
    remember(told, "c", "2")
    assert told == {"c": "2"}


def test_a_row_that_moves_touches_its_former_owner_first() -> None:
    documents = Documents(MemoryState())
    assert move(documents, "k:1", None) == []
    assert documents.changes() == {}
    assert move(documents, "k:1", "a") == ["a"]
    assert move(documents, "k:1", "b") == ["a", "b"]
    assert documents.changes() == {b"k:1": b'{"of":"b"}'}
    assert move(documents, "k:1", None) == ["b"]
    assert documents.changes() == {b"k:1": None}
    assert move(documents, "k:1", "b") == ["b"]


@pytest.mark.parametrize("name", ["of", "customer_id", "engagement_id"])
def test_an_owner_that_stays_is_not_written_again(name: str) -> None:
    state = MemoryState()
    state.commit({b"k:1": f'{{"{name}":"a"}}'.encode()})
    documents = Documents(state)
    assert move(documents, "k:1", "a") == ["a"]
    assert documents.changes() == {}


def test_a_document_that_says_nothing_is_removed() -> None:
    documents = Documents(MemoryState())
    documents.keep("k", Employment(), Employment())
    assert documents.changes() == {b"k": None}
