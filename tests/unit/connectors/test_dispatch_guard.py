"""A ledger that is not the one of its target: nothing is written until a person says so."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import inf
from unittest.mock import ANY

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from connectors.dispatch.commands import Intent, Payload, Settled, Status
from connectors.dispatch.exceptions import OPEN, RESOLVED
from connectors.dispatch.executor import TargetExecutor
from connectors.dispatch.guard import ADOPTED_FOR_S, TABLES_ANEW, Guard, Hold, announced, read_hold
from connectors.dispatch.journal import Memory, memory_of
from connectors.dispatch.ledger import Ledger
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import RetryRequest
from connectors.toolkit.faults import Fault, VendorRejectedError
from tests.support.sinks import FakeTarget, MemoryJournal, make_command, not_available
from tests.unit.connectors.test_dispatch_executor import (
    AT_ONCE,
    DEADLINE_S,
    LONG_AGO,
    Bench,
    reached,
)
from tests.unit.connectors.test_dispatch_session import delivery, session

pytestmark = pytest.mark.asyncio

HOLD = "netsuite:ledger"
KEYS = [f"netsuite:project:{number:02}" for number in range(4)]
BUDGET = make_command("netsuite:project_budget:00", kind="update_project_budget")
ANEW = {"error_code": TABLES_ANEW, "payload": '{"newest": ["netsuite:project:07"]}'}
MADE = {KEYS[0]: Intent("c", 1, 1, LONG_AGO)}


class Guarded(Bench):
    """An executor that has not compared its ledger with its target."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        guard: Guard,
        intents: dict[str, Intent],
        recall: Callable[[], Memory],
    ) -> None:
        ledger = Ledger({}, intents)
        super().__init__(group, ledger, AT_ONCE)
        self.executor = TargetExecutor(
            "netsuite",
            self.target,
            self.journal,
            ledger,
            policy=AT_ONCE,
            max_in_flight=2,
            metrics=DispatchMetrics(registry := CollectorRegistry()),
            spawn=group.create_task,
            guard=guard,
            recall=recall,
        )
        self.registry = registry


@asynccontextmanager
async def guarded(
    *shown: str,
    guard: Guard | None = None,
    intents: dict[str, Intent] | None = None,
    recall: Callable[[], Memory] = Memory,
) -> AsyncIterator[Guarded]:
    """`shown`: numbers of projects that the target holds, the newest first."""
    async with asyncio.TaskGroup() as group:
        guard = guard or Guard("netsuite")
        it = Guarded(group, guard, intents or {}, recall)
        it.target.shown = {"customer": [], "project": list(shown)}
        yield it
        await it.executor.drain(DEADLINE_S)


async def test_a_first_start_at_a_target_without_records_of_ours_sends_all() -> None:
    async with guarded() as it:
        it.submit(*(make_command(key) for key in KEYS), BUDGET)
        await it.settled()

    assert {key for key, _ in it.target.effects} == {*KEYS, BUDGET.natural_key}
    assert it.target.looks == [] and it.journal.holds == []


async def test_i8_nothing_is_sent_where_the_target_holds_what_no_ledger_knows_of() -> None:
    async with guarded("07") as it:
        with capture_logs() as logs:
            it.submit(BUDGET, *(make_command(key) for key in KEYS))
            await reached(lambda: bool(it.journal.holds))

        assert it.metric("psastream_target_paused") == 1
    assert it.target.calls == 0 and it.journal.intents == [] and it.finished == []
    [record] = it.journal.holds
    assert (record["exception_id"], record["status"], record["is_held"]) == (HOLD, OPEN, True)
    assert f"exceptions release {HOLD}" in record["hint"]
    assert "netsuite:project:07" in record["detail"]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "dispatch.ledger_lost"
    ]


async def test_i8_the_ledger_of_an_older_day_is_found_out_by_the_newest_record() -> None:
    async with guarded("07", "00", intents=MADE) as it:
        it.submit(make_command(KEYS[1]))
        await reached(lambda: bool(it.journal.holds))

    assert it.target.calls == 0


async def test_what_the_ledger_has_announced_is_no_trace_whatever_was_made_before_it() -> None:
    async with guarded("00", "07", intents=MADE) as it:
        it.submit(make_command(KEYS[1]))
        await it.settled()

    assert it.journal.holds == []


async def test_what_another_process_has_announced_since_is_no_trace() -> None:
    async with guarded("00", recall=lambda: Memory(intents=MADE)) as it:
        it.submit(make_command(KEYS[1]))
        await it.settled()

    assert it.journal.holds == []


async def test_a_journal_that_does_not_answer_keeps_no_process_from_ending() -> None:
    readers: list[threading.Thread] = []

    def recall() -> Memory:
        readers.append(threading.current_thread())
        return Memory(intents=MADE)

    async with guarded("00", recall=recall) as it:
        it.submit(make_command(KEYS[1]))
        await it.settled()

    assert [reader.daemon for reader in readers] == [True]


async def test_a_result_alone_tells_of_a_record_where_it_was_carried_out() -> None:
    for status, is_known in ((Status.ADOPTED, True), (Status.SUPERSEDED, False)):
        assert announced({"a": Settled(1, 0, None, status)}, {})("a") is is_known
    for attempts, target_id, is_known in ((1, None, True), (0, "7", True), (0, None, False)):
        assert Ledger({"a": Settled(1, attempts, target_id)}, {}).knows_of_record("a") is is_known


async def test_a_target_that_does_not_tell_is_asked_again_before_anything_is_sent() -> None:
    refused = VendorRejectedError(403, [Fault("NO_RIGHT", "no")], context={})
    async with guarded("07") as it:
        it.target.shown_errors.extend([not_available(), refused])
        it.submit(make_command())
        await reached(lambda: bool(it.journal.holds))

    assert it.target.calls == 0


async def test_a_person_lets_them_be_sent_and_what_the_target_holds_is_not_written_again() -> None:
    async with guarded("07", "00") as it:
        commands = [make_command(key) for key in KEYS]
        it.target.held = {commands[0].natural_key: commands[0].payload}
        it.submit(*commands)
        await reached(lambda: bool(it.journal.holds))
        it.executor.retry(RetryRequest(target="netsuite"))
        it.executor.retry(RetryRequest("netsuite:netsuite:project:00"))
        it.executor.retry(RetryRequest(HOLD, tried_before_s=0.0))
        assert it.metric("psastream_target_paused") == 1

        it.executor.retry(RetryRequest(HOLD))
        await it.settled()

    assert {key for key, _ in it.target.effects} == set(KEYS[1:])
    assert it.journal.statuses()[commands[0].command_id] == "adopted"
    assert it.metric("psastream_target_paused") == 0
    last = told(it.journal.holds[-1])
    assert last.seen == {"netsuite:project:07", "netsuite:project:00"} and not last.is_open


async def test_what_a_person_has_seen_is_no_trace_in_later_sessions() -> None:
    word = Hold(7.0, False, frozenset({"netsuite:project:07"}))
    for newest, held in (("07", 0), ("08", 1)):
        guard = Guard("netsuite", told=word, now_s=8.0 + ADOPTED_FOR_S)
        async with guarded(newest, "07", guard=guard) as it:
            it.submit(make_command())
            await reached(lambda it=it: bool(it.journal.holds or it.journal.outcomes))  # type: ignore[misc]

        assert len(it.journal.holds) == held and len(it.target.effects) == 1 - held


async def test_a_persons_word_is_about_what_is_there_at_the_next_look() -> None:
    guard = Guard("netsuite", told=Hold(7.0, False), now_s=8.0)
    async with guarded("07", guard=guard) as it:
        it.submit(make_command())
        await it.settled()

    [record] = it.journal.holds
    assert told(record) == Hold(7.0, False, frozenset({"netsuite:project:07"}))


async def test_a_ledger_is_compared_after_the_word_that_tables_have_read_their_topics() -> None:
    seen = frozenset({"netsuite:project:07"})
    for newest, holds in (("07", [RESOLVED]), ("08", [RESOLVED, OPEN])):
        guard = Guard("netsuite", told=told({"status": OPEN, **ANEW}))
        async with guarded(newest, guard=guard) as it:
            it.submit(make_command())
            it.executor.retry(RetryRequest(HOLD))
            await reached(lambda it=it: bool(it.journal.outcomes or it.journal.holds[1:]))  # type: ignore[misc]

        assert [record["status"] for record in it.journal.holds] == holds
        assert told(it.journal.holds[0]) == Hold(ANY, False, seen)


async def test_a_hold_outlives_its_session_and_look_ups_after_a_word_last_a_day() -> None:
    assert told({"status": OPEN}) == Hold(7.0, True)
    assert Guard("netsuite", told=Hold(7.0, True)).is_held
    for age_s, adopts in ((0.0, True), (ADOPTED_FOR_S, False)):
        guard = Guard("netsuite", told=Hold(7.0, False), now_s=7.0 + age_s)
        assert not guard.is_held
        assert guard.adopts is adopts


async def test_a_held_session_sends_nothing_before_it_is_released() -> None:
    async with guarded(guard=Guard("netsuite", told=Hold(7.0, True))) as it:
        it.submit(make_command())
        it.executor.retry(RetryRequest(HOLD, tried_before_s=6.0))
        assert it.metric("psastream_target_paused") == 1
        it.executor.retry(RetryRequest(HOLD, tried_before_s=8.0))
        await it.settled()

    assert len(it.target.effects) == 1


async def test_a_word_that_another_process_records_counts_for_one_that_has_not_looked() -> None:
    async with guarded("07") as it:
        it.executor.retry(RetryRequest(HOLD, tried_before_s=inf))
        it.submit(make_command())
        await it.settled()

    assert len(it.target.effects) == 1


async def test_a_session_knows_what_its_memory_announces() -> None:
    for intents, effects in ((MADE, 1), ({}, 0)):
        sink, journal = FakeTarget(), MemoryJournal()
        sink.shown = {"project": ["00"]}
        async with session({"netsuite": sink}, journal, Memory(intents=intents)) as it:
            it.accept(delivery("netsuite", 0, make_command("netsuite:project:new")))
            await reached(lambda journal=journal: bool(journal.outcomes or journal.holds))  # type: ignore[misc]
        assert len(sink.effects) == effects


def told(record: Payload) -> Hold:
    """The record as the next session reads it."""
    whole = {
        "exception_id": HOLD,
        "system": "netsuite",
        "status": RESOLVED,
        "payload": None,
        "command_id": None,
        "revision": None,
        "raised_at": datetime.fromtimestamp(7.0, UTC),
        **record,
    }
    assert memory_of((), (), [(b"", whole)]).holds == {"netsuite": read_hold(whole)}
    return read_hold(whole)
