"""Which exceptions an outcome ends in the topics of the journal."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import (
    Command,
    OpenException,
    Outcome,
    Problem,
    Settled,
    Status,
    intent_record,
    result_record,
)
from connectors.dispatch.exceptions import (
    exception_id,
    open_record,
    resolved_record,
    warning_id,
)
from connectors.dispatch.journal import (
    EXCEPTIONS,
    LETTER_ROOM_BYTES,
    RESULTS,
    DeadLetter,
    KafkaJournal,
    last_exceptions,
    memory_of,
)
from connectors.dispatch.ledger import Ledger, Look
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.session import doubtful
from connectors.toolkit.faults import Reason
from runtime.kafka import MAX_MESSAGE_BYTES
from schemas.codec.record import RecordCodec
from schemas.contracts import value_schema
from schemas.errors import DecodeError
from tests.support.catalogue import BY_NAME
from tests.support.sinks import make_command
from tests.support.steps import calls_of

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
@pytest.mark.asyncio
async def test_a1_an_outcome_ends_the_exceptions_whose_cause_it_ends(
    status: Status, ended: set[str]
) -> None:
    published: Any = Published()
    waiting = OpenException(COMMAND.target, COMMAND.natural_key, None, None, AT)
    metrics = DispatchMetrics(CollectorRegistry())
    journal = KafkaJournal(published, {REFUSED: waiting, LEFT: waiting}, metrics)

    await journal.settle(COMMAND, Outcome(status, 1))

    told = {key: row["status"] for topic, key, row in published.records if topic == EXCEPTIONS}
    assert told == dict.fromkeys(ended, "resolved")


@pytest.mark.fault("A5", place="connectors/dispatch/journal.py")
@pytest.mark.asyncio
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


def refused(command: Command, attempts: int) -> Refusal:
    problem = Problem("X", "no", reason=Reason.VALIDATION)
    return Refusal(exception_id(command), command, problem, attempts, 1, 0.0, 0.0, 9.0)


LATE = [
    pytest.param(COMMAND, Outcome(Status.SUCCEEDED, 2), id="attempted again"),
    pytest.param(COMMAND, Outcome(Status.ADOPTED, 1), id="mended by hand"),
    pytest.param(COMMAND, Outcome(Status.WITHDRAWN, 1), id="withdrawn"),
    pytest.param(make_command(revision=2), Outcome(Status.SUCCEEDED, 1), id="a newer one"),
]


@pytest.mark.fault("A6", place="connectors/dispatch/journal.py")
@pytest.mark.parametrize("is_known", [True, False], ids=["refused before", "refused first"])
@pytest.mark.parametrize(("command", "outcome"), LATE)
@pytest.mark.asyncio
async def test_a6_a_refusal_told_late_does_not_open_what_its_heir_has_settled(
    command: Command, outcome: Outcome, is_known: bool
) -> None:
    """The heir knows of the attempt by its intent alone, or of an earlier refusal."""
    late = open_record(refused(COMMAND, 1), {})
    before = [(b"e", open_record(refused(COMMAND, 0), {}))] if is_known else []
    intents = [intent_record(COMMAND, 1, started_at=AT)]
    published: Any = Published()
    metrics = DispatchMetrics(CollectorRegistry())
    memory = memory_of([], intents, before)
    heir = KafkaJournal(published, memory.exceptions, metrics, doubtful=doubtful(memory))

    await heir.settle(command, outcome)

    told = [(b"e", row) for topic, key, row in published.records if key == REFUSED]
    results = [row for topic, _, row in published.records if topic == RESULTS]
    after = memory_of(results, intents, [*before, *told, (b"e", late)])
    assert (after.exceptions, after.refusals) == ({}, ())
    assert [row["status"] for row in after.overtaken] == ["resolved"]
    assert memory_of([], [], [*told, (b"e", late), *told]).overtaken == (), "it was told again"


@pytest.mark.fault("A6", place="connectors/dispatch/journal.py")
@pytest.mark.asyncio
async def test_a6_what_is_told_again_outlives_compaction() -> None:
    resolved = resolved_record(REFUSED, COMMAND, 2, at=AT)
    late = open_record(refused(COMMAND, 1), {})
    [row] = memory_of([], [], [(b"e", resolved), (b"e", late)]).overtaken
    published: Any = Published()
    codec = RecordCodec(value_schema(BY_NAME[EXCEPTIONS]))

    await KafkaJournal(published, {}, DispatchMetrics(CollectorRegistry())).tell_again(
        [codec.decode(codec.encode(row))]
    )

    [(topic, key, again)] = published.records
    assert (topic, key) == (EXCEPTIONS, REFUSED)
    assert memory_of([], [], [(b"e", late), (b"e", again)]).exceptions == {}


@pytest.mark.fault("A6", place="connectors/dispatch/exceptions.py")
@given(
    orders=st.permutations(
        [
            open_record(refused(COMMAND, 1), {}),
            open_record(refused(COMMAND, 2), {}),
            resolved_record(REFUSED, COMMAND, 2, at=AT),
            open_record(refused(make_command(revision=2), 1), {}),
        ]
    ),
    count=st.integers(1, 4),
)
def test_a6_the_last_word_is_the_same_in_whatever_order_it_was_told(
    orders: list[dict[str, Any]], count: int
) -> None:
    told = orders[:count]
    memory = memory_of([], [], [(b"e", row) for row in told])

    last = max(told, key=lambda row: (row["revision"], row["attempts"], row["status"]))
    assert set(memory.exceptions) == ({REFUSED} if last["status"] == "open" else set())
    assert [each.command.revision for each in memory.refusals] == (
        [last["revision"]] if last["status"] == "open" else []
    )
    assert memory.overtaken == (() if told[-1] is last else (last,))


@pytest.mark.asyncio
async def test_what_settles_with_nothing_open_and_nothing_in_doubt_tells_its_result_alone() -> None:
    published: Any = Published()
    journal = KafkaJournal(
        published, {}, DispatchMetrics(CollectorRegistry()), doubtful=[COMMAND.natural_key]
    )
    for _ in range(2):
        await journal.settle(COMMAND, Outcome(Status.SUCCEEDED, 1))
    await journal.settle(make_command("netsuite:project:b"), Outcome(Status.SUCCEEDED, 1))

    topics = [topic for topic, _, _ in published.records]
    assert topics == [RESULTS, EXCEPTIONS, EXCEPTIONS, RESULTS, RESULTS]


@pytest.mark.asyncio
async def test_a_finding_of_a_table_and_a_tombstone_count_as_they_come() -> None:
    finding = {"exception_id": "billing:p", "command_id": None, "revision": None, "status": "open"}
    row = open_record(refused(COMMAND, 1), {})

    assert last_exceptions([(b"f", finding), (b"f", {**finding, "status": "resolved"})]) == (
        [{**finding, "status": "resolved"}],
        [],
    )
    assert last_exceptions([(b"e", row), (b"e", None)]) == ([], [])
    unmarked = {**row, "status": "resolved", "revision": None}  # as versions before this one wrote
    assert last_exceptions([(b"e", row), (b"e", unmarked), (b"e", row)]) == ([row], [])


@pytest.mark.asyncio
async def test_refusals_are_written_and_counted_before_the_result() -> None:
    published: Any = Published()
    registry = CollectorRegistry()
    journal = KafkaJournal(published, {}, DispatchMetrics(registry))

    def count() -> float | None:
        return registry.get_sample_value("psastream_exceptions_open", {"system": "netsuite"})

    await journal.settle(COMMAND, Outcome(Status.REJECTED, 1), [refused(COMMAND, 1)])
    assert [topic for topic, _, _ in published.records] == [EXCEPTIONS, RESULTS]
    assert published.records[0][2]["status"] == "open"
    assert count() == 1
    await journal.settle(COMMAND, Outcome(Status.SUCCEEDED, 2))
    assert not count()


def test_of_results_and_intents_as_far_as_each_other_the_last_written_counts() -> None:
    """A look may find another id; an attempt that was begun twice is waited for from the second."""
    results = [
        result_record(COMMAND, Outcome(Status.SUCCEEDED, 1, target_id=name), finished_at=AT)
        for name in ("7", "8")
    ]
    later = AT + timedelta(minutes=1)
    intents = [intent_record(COMMAND, 1, started_at=at) for at in (AT, later)]

    memory = memory_of(results, intents, [])

    assert memory.settled == {COMMAND.natural_key: Settled(1, 1, "8", Status.SUCCEEDED)}
    assert memory.intents[COMMAND.natural_key].started_at == later
    [unmarked] = memory_of([{**results[0], "attempts": None}], [], []).settled.values()
    assert unmarked == Settled(1, 0, "7", Status.SUCCEEDED)
    [unknown] = memory_of([{**results[0], "status": "of a newer version"}], [], []).settled.values()
    assert unknown == Settled(1, 1, "7", None)


@pytest.mark.fault("B1", place="connectors/dispatch/journal.py")
@pytest.mark.parametrize(("more", "is_kept"), [(0, True), (1, False)])
def test_b1_a_dead_letter_holds_its_record_as_long_as_there_is_room(
    more: int, is_kept: bool
) -> None:
    published: Any = Published()
    journal = KafkaJournal(published, {}, DispatchMetrics(CollectorRegistry()))
    value = b"v" * (MAX_MESSAGE_BYTES - LETTER_ROOM_BYTES - 1 + more)

    asyncio.run(journal.bury(DeadLetter("t", 0, 1, b"k", value, DecodeError("no Avro"))))

    [(_, key, record)] = published.records
    assert key == "t|0|1"
    assert (record["key"], record["value"]) == ((b"k", value) if is_kept else (None, None))


STEPS = [
    open_record(refused(COMMAND, 0), {}),  # held back
    open_record(refused(COMMAND, 1), {}),
    open_record(refused(COMMAND, 2), {}),
    resolved_record(REFUSED, COMMAND, 2, at=AT),
    open_record(refused(make_command(revision=2), 0), {}),
]


@pytest.mark.fault("A6", place="connectors/dispatch/exceptions.py")
@pytest.mark.parametrize("step", range(len(STEPS) - 1))
def test_a6_each_step_of_an_exception_overtakes_the_one_before(step: int) -> None:
    older, newer = STEPS[step : step + 2]
    assert last_exceptions([(b"e", newer), (b"e", older)]) == ([newer], [newer])
    assert last_exceptions([(b"e", older), (b"e", newer)]) == ([newer], [])
    assert last_exceptions([(b"e", newer), (b"e", newer)]) == ([newer], [])


def settled_as(status: Status, command: Command = COMMAND, attempts: int = 1) -> dict[str, Any]:
    return result_record(command, Outcome(status, attempts, target_id="7"), finished_at=AT)


@pytest.mark.fault("A6", place="connectors/dispatch/exceptions.py")
@pytest.mark.parametrize("told_attempts", [0, 1, 2])
@pytest.mark.parametrize("status", Status)
def test_a6_what_its_result_has_ended_is_open_for_nobody_though_no_attempt_tells_of_it(
    status: Status, told_attempts: int
) -> None:
    """Held back by a process that was cut off, and told once its heir had settled it."""
    told = [(b"e", open_record(refused(COMMAND, told_attempts), {}))]
    is_ended = status in (Status.SUCCEEDED, Status.ADOPTED, Status.WITHDRAWN)

    memory = memory_of([settled_as(status)], [], told)

    is_open = not is_ended or told_attempts > 1
    assert (list(memory.exceptions), len(memory.refusals)) == ([REFUSED] * is_open, is_open)
    again = [(REFUSED.encode(), row) for row in memory.overtaken]
    assert [row["status"] for _, row in again] == [] if is_open else ["resolved"]
    assert bool(memory_of([], [], [(REFUSED.encode(), told[0][1]), *again]).exceptions) is is_open


@pytest.mark.fault("A6", place="connectors/dispatch/exceptions.py")
@pytest.mark.parametrize(
    ("status", "revision", "is_open"),
    [
        (Status.SUCCEEDED, 1, True),
        (Status.SUCCEEDED, 2, False),
        (Status.ADOPTED, 2, False),
        (Status.REJECTED, 2, True),
        (Status.WITHDRAWN, 2, True),
    ],
)
def test_a6_what_is_left_over_is_open_until_a_newer_one_is_carried_out(
    status: Status, revision: int, is_open: bool
) -> None:
    left = Refusal(LEFT, COMMAND, Problem("TWO", "two"), 1, 1, 0.0, 0.0, 9.0)

    result = settled_as(status, make_command(revision=revision))
    assert (
        list(memory_of([result], [], [(b"w", open_record(left, {}))]).exceptions)
        == [LEFT] * is_open
    )
    assert list(memory_of([], [], [(b"w", open_record(left, {}))]).exceptions) == [LEFT]


@pytest.mark.fault("A6", place="connectors/dispatch/journal.py")
@pytest.mark.parametrize("ended", [Status.SUCCEEDED, Status.ADOPTED, Status.WITHDRAWN])
def test_a6_a_rejection_told_late_does_not_hide_that_a_look_found_it_done(ended: Status) -> None:
    for rows in ([ended, Status.REJECTED], [Status.REJECTED, ended]):
        [last] = memory_of([settled_as(row) for row in rows], [], []).settled.values()
        assert last.status is ended
    later = settled_as(Status.REJECTED, attempts=2)
    [last] = memory_of([settled_as(ended), later], [], []).settled.values()
    assert last.status is Status.REJECTED


@pytest.mark.fault("A1", place="connectors/dispatch/journal.py")
@pytest.mark.parametrize("lasting", range(3))
@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.ADOPTED, Status.WITHDRAWN])
@pytest.mark.asyncio
async def test_a1_a_crash_while_a_trial_is_recorded_loses_no_desire(
    status: Status, lasting: int
) -> None:
    """Whatever of its records lasts: it is tried again, or its result says that it is over."""
    published: Any = Published()
    before = [(REFUSED.encode(), open_record(refused(COMMAND, 1), {}))]
    waiting = OpenException(COMMAND.target, COMMAND.natural_key, None, None, AT)
    journal = KafkaJournal(published, {REFUSED: waiting}, DispatchMetrics(CollectorRegistry()))

    await journal.settle(COMMAND, Outcome(status, 2))

    records = published.records[:lasting]
    results = [row for topic, _, row in records if topic == RESULTS]
    told = [(key.encode(), row) for topic, key, row in records if topic == EXCEPTIONS]
    memory = memory_of([settled_as(Status.REJECTED), *results], [], [*before, *told])
    assert memory.settled[COMMAND.natural_key].status is (status if lasting else Status.REJECTED)
    assert len(memory.refusals) == (1 if lasting == 0 else 0)


def told(journal: KafkaJournal, published: Any, at_s: float) -> datetime:
    """Tell of an exception; return since when it is said to be open."""
    asyncio.run(journal.tell(replace(refused(COMMAND, 1), raised_at_s=at_s)))
    raised_at: datetime = published.records[-1][2]["raised_at"]
    return raised_at


@pytest.mark.fault("A2", place="connectors/dispatch/journal.py")
@pytest.mark.parametrize("is_restarted", [True, False])
def test_a2_an_exception_is_as_old_as_when_it_was_first_told_whoever_tells_it_again(
    is_restarted: bool,
) -> None:
    published: Any = Published()
    journal = KafkaJournal(published, {}, DispatchMetrics(CollectorRegistry()))
    first = told(journal, published, 1_000.0)
    assert first.timestamp() == 1_000.0
    if is_restarted:
        memory = memory_of([], [], [(key.encode(), row) for _, key, row in published.records])
        journal = KafkaJournal(published, memory.exceptions, DispatchMetrics(CollectorRegistry()))

    assert told(journal, published, 90_000.0) == first
    assert told(journal, published, 95_000.0) == first
    assert told(journal, published, 900.0).timestamp() == 900.0, "a clock was ahead"
    asyncio.run(journal.settle(COMMAND, Outcome(Status.SUCCEEDED, 1)))
    assert told(journal, published, 99_000.0).timestamp() == 99_000.0, "it is another one"


def calls_to_tell_of(count: int) -> int:
    """How many functions are called until so many exceptions are told, and ended again."""
    published: Any = Published()
    registry = CollectorRegistry()
    journal = KafkaJournal(published, {}, DispatchMetrics(registry))
    commands = [
        replace(make_command(f"netsuite:project:{number}"), amount=Decimal(3), currency="EUR")
        for number in range(count)
    ]

    async def tell() -> None:
        for command in commands:
            await journal.tell(refused(command, 1))
        assert shown(registry) == (count, 3 * count)
        for command in commands:
            await journal.settle(command, Outcome(Status.SUCCEEDED, 1))
        assert set(shown(registry)) <= {0, None}

    return calls_of(lambda: asyncio.run(tell()))


def shown(registry: CollectorRegistry) -> tuple[float | None, float | None]:
    """The gauges of open exceptions: how many, and how much money in euros."""
    system = {"system": "netsuite"}
    return (
        registry.get_sample_value("psastream_exceptions_open", system),
        registry.get_sample_value("psastream_exceptions_open_money", system | {"currency": "EUR"}),
    )


@pytest.mark.fault("A1", place="connectors/dispatch/metrics.py")
def test_a1_to_tell_of_one_more_costs_the_same_however_many_are_open() -> None:
    assert calls_to_tell_of(500) <= 12 * calls_to_tell_of(50)
