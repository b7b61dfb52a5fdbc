"""A chunk of records that were written with several versions of the topic's contract."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec, load_schema
from schemas.contracts import record_schema
from schemas.keys import encode_keys
from streams.agents.records import RecordHandlers
from streams.engine import Accounting, Chunk
from tables.foundation.facts import Customer
from tests.support.catalogue import BY_NAME
from tests.support.source_events import FakeRegistry, MemoryState

TOPIC = "psa.customer"


def narrowed(node: Any) -> Any:
    """A schema with every plain long as an int: an older version, which the registry allows."""
    if isinstance(node, list):
        return [narrowed(item) for item in node]
    if isinstance(node, dict):
        is_logical = "logicalType" in node
        return {key: item if is_logical else narrowed(item) for key, item in node.items()}
    return "int" if node == "long" else node


@pytest.mark.fault("B6", place="streams/agents/records.py")
def test_b6_a_chunk_that_mixes_int_and_long_versions_of_a_field_is_applied() -> None:
    contract = BY_NAME[TOPIC].record
    assert contract is not None
    new = record_schema(contract)
    old = load_schema(narrowed(json.loads(new.text)))
    assert old != new
    registry = FakeRegistry()
    ids = {schema: registry.add(schema) for schema in (old, new)}
    seen: list[Customer | None] = []

    def apply(table: None, key: str, fact: Customer | None, timestamp_ms: int) -> None:
        seen.append(fact)

    handlers: RecordHandlers[None] = RecordHandlers("group", registry, lambda *_: None)
    row = {"id": "a:customer:1", "source_system": "a", "source_position": 5, "customer_id": "c"}
    values = [
        frame(ids[schema], RecordCodec(schema).encode(row)) for schema in (old, new, old, new)
    ]
    keys = encode_keys(1, ["a:customer:1"] * 4)
    chunk = Chunk(TOPIC, 0, 0, 4, range(4), [0] * 4, keys, values)
    effects = handlers(Customer, apply)(chunk, MemoryState())
    assert effects.accounting == Accounting(applied=4)
    assert [fact and fact.id for fact in seen] == ["a:customer:1"] * 4


def test_an_error_of_the_table_is_not_taken_for_the_records() -> None:
    """The engine applies nothing of a chunk that fails; a dead letter would keep half of it."""
    registry = FakeRegistry()
    contract = BY_NAME[TOPIC].record
    assert contract is not None
    schema = record_schema(contract)
    row = {"id": "a:customer:1", "source_system": "a", "source_position": 5, "customer_id": "c"}
    value = frame(registry.add(schema), RecordCodec(schema).encode(row))

    def apply(table: None, key: str, fact: Customer | None, timestamp_ms: int) -> None:
        Customer.model_validate({"id": 7})  # as a stored document that is damaged

    handlers: RecordHandlers[None] = RecordHandlers("group", registry, lambda *_: None)
    chunk = Chunk(TOPIC, 0, 0, 1, range(1), [0], encode_keys(1, ["a:customer:1"]), [value])
    with pytest.raises(ValidationError):
        handlers(Customer, apply)(chunk, MemoryState())
