"""Which exceptions an outcome ends in the topics of the journal."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import (
    OpenException,
    Outcome,
    Status,
    intent_record,
    result_record,
)
from connectors.dispatch.exceptions import exception_id, warning_id
from connectors.dispatch.journal import EXCEPTIONS, KafkaJournal, memory_of
from connectors.dispatch.ledger import Ledger, Look
from connectors.dispatch.metrics import DispatchMetrics
from tests.support.sinks import make_command

pytestmark = pytest.mark.asyncio

AT = datetime(2026, 3, 2, tzinfo=UTC)
COMMAND = make_command()
REFUSED, LEFT = exception_id(COMMAND), warning_id(COMMAND)


class Published:
    """What was written, in order."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, Mapping[str, Any]]] = []

    async def publish(self, topic: str, key: str, record: Mapping[str, Any]) -> None:
        self.records.append((topic, key, record))


@pytest.mark.fault("A1", place="connectors/dispatch/journal.py")
@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (Status.SUCCEEDED, {REFUSED, LEFT}),
        (Status.ADOPTED, {REFUSED, LEFT}),
        (Status.WITHDRAWN, {REFUSED}),
        (Status.REJECTED, set()),
        (Status.SUPERSEDED, set()),
    ],
)
async def test_a1_an_outcome_ends_the_exceptions_whose_cause_it_ends(
    status: Status, ended: set[str]
) -> None:
    published: Any = Published()
    waiting = OpenException(COMMAND.target, COMMAND.natural_key, None, None)
    metrics = DispatchMetrics(CollectorRegistry())
    journal = KafkaJournal(published, {REFUSED: waiting, LEFT: waiting}, metrics)

    await journal.settle(COMMAND, Outcome(status, 1))

    told = {key: row["status"] for topic, key, row in published.records if topic == EXCEPTIONS}
    assert told == dict.fromkeys(ended, "resolved")


@pytest.mark.fault("A5", place="connectors/dispatch/journal.py")
async def test_a5_an_intent_that_comes_late_does_not_hide_its_heirs() -> None:
    """A client without a broker delivers for minutes: long after others have taken over."""
    newer = make_command(revision=2)
    rows = [
        intent_record(COMMAND, 2, started_at=AT),
        intent_record(newer, 1, started_at=AT),
        intent_record(COMMAND, 1, started_at=AT),  # of the process that was cut off
    ]
    settled = result_record(COMMAND, Outcome(Status.SUCCEEDED, 2), finished_at=AT)

    memory = memory_of([settled], rows, [])

    ledger = Ledger(memory.settled, memory.intents)
    assert ledger.deliver(newer)
    assert isinstance(ledger.next(newer.natural_key), Look), "its attempt may have landed"
