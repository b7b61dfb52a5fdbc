"""Changes that are written as columns are the bytes that are written one by one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.polled.bookmark import Batch, Bookmark, Change
from connectors.polled.events import EventColumns
from connectors.polled.kafka_log import KafkaLog
from runtime.kafka import KafkaSettings
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.codec.columnar import FEW_RECORDS
from schemas.contracts import record_of
from schemas.errors import InvalidEntityError
from tests.support.catalogue import BY_NAME, SOURCES
from tests.support.polled import START, make_config
from tests.support.topology import FixedRegistry

SERDE = Serde(cast(Registry, FixedRegistry()), SOURCES)
TOPIC = "src.salesforce.opportunity"
MANY = FEW_RECORDS + 8

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "string": texts,
    "boolean": st.none() | st.booleans(),
    "decimal": st.none() | st.decimals(-(10**14) + 1, 10**14 - 1, places=4),
    "date": st.none() | st.dates(),
}


def kind_of(field: Any) -> str:
    [branch] = [each for each in field["type"] if each != "null"]
    return branch if isinstance(branch, str) else str(branch["logicalType"])


def fields_of(topic: str) -> list[Any]:
    record = record_of(BY_NAME[topic])
    assert record is not None
    return cast(list[Any], record.parsed["fields"])


ROWS = st.fixed_dictionaries({field["name"]: VALUES[kind_of(field)] for field in fields_of(TOPIC)})


def log_of(system: str, obj: str) -> KafkaLog:
    config = make_config(**{"topic.prefix": f"src.{system}", "object.include.list": obj})
    return KafkaLog(KafkaSettings(bootstrap_servers="nowhere:1"), SERDE, config)


def one_by_one(log: KafkaLog, batch: Batch) -> list[Any]:
    """The messages of a batch's changes, each written by itself."""
    return [log.messages(Batch(batch.obj, batch.bookmark, [each]))[0] for each in batch.changes]


def changes_of(rows: list[dict[str, Any]], ops: str = "rcu") -> list[Change]:
    return [
        Change(f"é{place}", ops[place % len(ops)], None, row, 7 + place,
               START + timedelta(microseconds=place // 3))
        for place, row in enumerate(rows)
    ]  # fmt: skip


@given(st.lists(ROWS, min_size=3, max_size=5))
def test_rows_as_columns_are_the_bytes_of_each_by_itself(rows: list[dict[str, Any]]) -> None:
    log = log_of("salesforce", "opportunity")
    changes = changes_of([rows[place % len(rows)] for place in range(MANY)])
    batch = Batch("opportunity", Bookmark(), changes)
    assert EventColumns(SERDE).values(TOPIC, changes, lambda _: {}, lambda _: {}) is None
    assert log._events.values(TOPIC, changes, _source, _beside) is not None
    assert log.messages(batch)[:-1] == one_by_one(log, batch)


def _source(change: Change) -> Mapping[str, object]:
    names = ("version", "connector", "name", "snapshot", "db", "table")
    return {**dict.fromkeys(names, change.op), "ts_ms": 1, "schema": None}


def _beside(change: Change) -> Mapping[str, object]:
    return {"transaction": None, "op": change.op, "ts_ms": 1}


DEAL = {
    **dict.fromkeys(field["name"] for field in fields_of(TOPIC)),
    "Id": "006", "Name": "Müller", "Amount": Decimal("1.5000"), "CloseDate": date(2026, 3, 1),
}  # fmt: skip


def test_deletes_are_written_among_many() -> None:
    log = log_of("salesforce", "opportunity")
    changes = changes_of([DEAL] * MANY)
    changes[3] = Change("é3", "d", DEAL, None, 10, START)
    batch = Batch("opportunity", Bookmark(), changes)
    assert log.messages(batch)[:-1] == one_by_one(log, batch)


@pytest.mark.parametrize(
    "wrong",
    [{"Amount": "much"}, {"Name": 7}, {"IsWon": "yes"}, {"CloseDate": "2026"}, {"Color": "red"}],
)
def test_a_row_that_breaks_its_contract_is_refused_among_many(wrong: dict[str, object]) -> None:
    log = log_of("salesforce", "opportunity")
    changes = changes_of([DEAL] * MANY + [DEAL | wrong])
    with pytest.raises(InvalidEntityError):
        log.messages(Batch("opportunity", Bookmark(), changes))


@pytest.mark.parametrize(
    "topic", [topic for topic in SOURCES if topic.contract], ids=lambda topic: topic.name
)
def test_rows_of_every_contract_are_written_whether_they_are_columns_or_not(topic: Any) -> None:
    _, system, obj = topic.name.split(".")
    log = log_of(system, obj)
    row = dict.fromkeys(field["name"] for field in fields_of(topic.name))
    batch = Batch(obj, Bookmark(), changes_of([row] * MANY))
    assert log.messages(batch)[:-1] == one_by_one(log, batch)
