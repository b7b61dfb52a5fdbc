"""Planted canaries: personal data and secrets turn up only where the catalogue says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.dispatch.commands import Outcome, Problem, Status, result_record
from connectors.dispatch.exceptions import open_record
from connectors.dispatch.refusals import Refusal
from runtime.secrets import forget, remember
from schemas.contracts import record_of, record_schema
from schemas.topics import CANONICAL, STATE_LOGS
from streams.engine import Effects, Failure
from streams.groups import make_groups
from tests.property.test_tables_convergence import won_deals
from tests.support.catalogue import BY_NAME, LANDSCAPE
from tests.support.firms import ONE_ERP
from tests.support.histories import (
    ADDRESSES,
    FIRST_DAY,
    PEOPLE,
    PSA_PROJECTS,
    RESOURCES,
    Change,
    Feeder,
)
from tests.support.sinks import make_command
from tests.support.source_events import FakeRegistry, chunk_of, mapping_of, published
from tests.support.topology import FixedRegistry, Topology

CANARY = "cAnary"
SECRET = "tokenCanary-77x"
PLACE = "schemas/topics.py"


def with_canaries(change: Change) -> Change:
    """The change with a canary in every text that the catalogue calls personal."""
    topic = BY_NAME[f"psa.{change.entity}"]
    assert topic.record is not None and change.record is not None
    fields: Any = record_schema(topic.record).parsed["fields"]
    texts = {field["name"] for field in fields if "string" in field["type"]}
    planted = {name: f"{CANARY} {name}" for name in topic.personal_data if name in texts}
    return replace(change, record={**change.record, **planted})


def people() -> list[Change]:
    """A person with leave and hours."""
    entry = {
        "project_ref": PSA_PROJECTS[0], "resource_id": ADDRESSES[0], "work_on": FIRST_DAY,
        "status": "approved", "is_billable": True, "currency": "EUR", "seconds": 3600,
    }  # fmt: skip
    return [
        Change("resource", PEOPLE[0], {
            "resource_id": RESOURCES[0], "address_id": ADDRESSES[0], "kind": "employee",
            "is_active": True, "starts_on": FIRST_DAY,
        }),
        Change("time_entry", "inhouse:time_entry:0", entry),
    ]  # fmt: skip


@pytest.mark.fault("D8", place=PLACE)
def test_d8_personal_data_reaches_no_field_that_is_not_called_personal() -> None:
    registry = FixedRegistry()
    topology = Topology(make_groups([], registry, LANDSCAPE), registry)
    feeder = Feeder(topology)
    for change in [*won_deals(ONE_ERP), *people()]:
        feeder.feed(with_canaries(change))
    topology.run()

    found = {
        (topic, name)
        for topic in topology.topics
        for _, record in topology.records(topic)
        for name, value in (record or {}).items()
        if CANARY in repr(value)
    }
    assert found >= {
        ("psa.command.netsuite", "payload"),
        ("psa.status.customer", "name"),
        ("psa.internal.customer_status", "tax_number"),
        ("psa.time_entry", "notes"),
    }
    assert [each for each in sorted(found) if each[1] not in BY_NAME[each[0]].personal_data] == []
    keys = {name for topic in topology.topics for name, _ in topology.records(topic)}
    assert not [key for key in keys if CANARY in key]

    logs = {name for (name, _), state in topology._state.items() if holds_canary(state)}
    assert "customer" in logs
    tagged = {topic.owner for topic in STATE_LOGS if "value" in topic.personal_data}
    assert logs <= tagged


def holds_canary(state: Any) -> bool:
    return any(CANARY.encode() in value for value in state.rows.values())


@pytest.mark.fault("D8", place=PLACE)
def test_d8_words_of_a_vendor_are_in_fields_that_are_called_personal() -> None:
    command = make_command(payload=f'{{"name": "{CANARY}"}}')
    problem = Problem("X", f"{CANARY} is not allowed")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    outcome = Outcome(Status.REJECTED, 1, problem=problem)
    records = {
        "psa.command_result": result_record(command, outcome, finished_at=now),
        "psa.exception": open_record(refusal(command, problem), {}),
    }
    for topic, record in records.items():
        names = {name for name, value in record.items() if CANARY in str(value)}
        assert names and names <= set(BY_NAME[topic].personal_data), topic


def refusal(command: Any, problem: Problem) -> Refusal:
    return Refusal("netsuite:x", command, problem, 1, 1, 0.0, 0.0, 0.0)


@pytest.mark.fault("D8", place=PLACE)
def test_d8_every_tag_names_a_field() -> None:
    for topic in BY_NAME.values():
        record = record_of(topic)
        if record is None:
            continue
        fields: Any = record.parsed["fields"]
        assert set(topic.personal_data) <= {field["name"] for field in fields}, topic.name
    assert any(topic.personal_data for topic in CANONICAL)


@pytest.mark.fault("D5", place="streams/agents/dead_letters.py")
def test_d5_no_reason_that_is_published_holds_a_secret() -> None:
    remember(SECRET)
    try:
        groups = make_groups([mapping_of("src.inhouse.time_entries")], FakeRegistry(), LANDSCAPE)
        chunk = chunk_of("psa.project", [b"\x00\xff"])
        for group in groups:
            assert group.dead_letters is not None
            letters = group.dead_letters(chunk, Failure("x", f"at {SECRET}", f"use {SECRET}"))
            (letter,) = published(Effects(outputs=[*letters]))
            assert SECRET not in str(letter.value)
            assert "at ***" in str(letter.value)
        problem = Problem("X", f"Bearer {SECRET} is invalid")
        outcome = Outcome(Status.REJECTED, 1, problem=problem)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        for record in (
            result_record(make_command(), outcome, finished_at=now),
            open_record(refusal(make_command(), problem), {}),
        ):
            assert SECRET not in str(record)
    finally:
        forget(SECRET)
