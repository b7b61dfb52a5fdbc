"""Records that hold another one are never too large for their topic: the process would end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import (
    IDENTITY_MAX,
    PAYLOAD_BOUNDS,
    Command,
    Outcome,
    Problem,
    Status,
    result_record,
)
from connectors.dispatch.exceptions import open_record, read_refusal, resolved_record
from connectors.dispatch.journal import DeadLetter, KafkaJournal
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import Refusal
from runtime.kafka import MAX_MESSAGE_BYTES
from schemas.errors import DecodeError, InvalidEntityError
from tests.support.sinks import make_command

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HUGE = "x" * MAX_MESSAGE_BYTES
LONG = "x" * 100_000


def refusal_of(payload: str) -> Refusal:
    problem = Problem("E", LONG, field=LONG)
    return Refusal("e", make_command(payload=payload), problem, 1, 1, 0.0, 0.0, 0.0)


def texts(record: dict[str, Any]) -> int:
    return sum(len(value) for value in record.values() if isinstance(value, str | bytes))


@pytest.mark.fault("B1", place="connectors/dispatch/commands.py")
@pytest.mark.parametrize("payload", [f'{{"a":"{HUGE}"}}', "{}" + " " * MAX_MESSAGE_BYTES])
def test_b1_the_exception_of_a_huge_command_is_small_and_makes_nothing_of_a_part(
    payload: str,
) -> None:
    refusal = refusal_of(payload)
    record = open_record(refusal, {})
    assert texts(record) < 50_000
    assert texts(resolved_record("e", refusal.command, 1, at=NOW)) < 50_000
    outcome = Outcome(Status.REJECTED, 1, problem=refusal.problem)
    assert texts(result_record(refusal.command, outcome, finished_at=NOW)) < 50_000
    again = read_refusal(record)
    assert again is not None
    with pytest.raises(InvalidEntityError):
        again.command.content()


def test_a_payload_that_can_be_carried_out_is_kept_whole() -> None:
    payload = '{"a":"' + "x" * (PAYLOAD_BOUNDS.size_bytes - 8) + '"}'
    assert open_record(refusal_of(payload), {})["payload"] == payload


@pytest.mark.fault("B1", place="connectors/dispatch/commands.py")
@pytest.mark.parametrize("name", ["natural_key", "command_id", "origin_key", "correlation_id"])
def test_b1_a_command_with_a_huge_identity_is_none(name: str) -> None:
    sound = {field: getattr(make_command(), field) for field in Command.__slots__}
    assert Command.from_record(sound | {name: "x" * IDENTITY_MAX})
    with pytest.raises(InvalidEntityError, match=name):
        Command.from_record(sound | {name: "x" * (IDENTITY_MAX + 1)})


class Published:
    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    async def publish(self, topic: str, key: str, record: dict[str, Any]) -> None:
        self.records.append(record)


@pytest.mark.fault("B1", place="connectors/dispatch/journal.py")
@pytest.mark.parametrize("size", [10, MAX_MESSAGE_BYTES])
@pytest.mark.parametrize("key_size", [10, MAX_MESSAGE_BYTES])
def test_b1_a_dead_letter_fits_whatever_it_is_about(size: int, key_size: int) -> None:
    published: Any = Published()
    journal = KafkaJournal(published, {}, DispatchMetrics(CollectorRegistry()))
    letter = DeadLetter("t", 0, 1, b"k" * key_size, b"v" * size, DecodeError(LONG))
    asyncio.run(journal.bury(letter))
    [record] = published.records
    assert texts(record) < 50_000
    assert (record["value"] is None) == (max(size, key_size) > 10)
    assert (record["topic"], record["offset"]) == ("t", 1)
