"""A ledger that remembers little: what it may do, and that nothing is written where it was lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from connectors.dispatch.commands import Intent, Settled, Status
from connectors.dispatch.exceptions import OPEN, RESOLVED
from connectors.dispatch.executor import TargetExecutor
from connectors.dispatch.first_commands import CONFIRMED_FOR_S, FEW, FirstCommands, Hold
from connectors.dispatch.journal import Memory, memory_of
from connectors.dispatch.ledger import Ledger
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import RetryRequest
from connectors.dispatch.sink import Applied
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
KEYS = [f"netsuite:project:{number:02}" for number in range(FEW + 5)]


class Young(Bench):
    """An executor whose ledger remembers little."""

    def __init__(self, group: asyncio.TaskGroup, first: FirstCommands, ledger: Ledger) -> None:
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
            first=first,
        )
        self.registry = registry


@asynccontextmanager
async def young(
    first: FirstCommands | None = None, ledger: Ledger | None = None
) -> AsyncIterator[Young]:
    async with asyncio.TaskGroup() as group:
        first = first or FirstCommands("netsuite", carried_out=0)
        it = Young(group, first, ledger or Ledger({}, {}))
        yield it
        await it.executor.drain(DEADLINE_S)


async def test_a_first_start_looks_a_few_commands_up_and_sends_them_all() -> None:
    async with young() as it:
        it.submit(*(make_command(key) for key in KEYS))
        await it.settled()

    assert {key for key, _ in it.target.effects} == set(KEYS)
    assert FEW <= len(it.target.looks) < len(KEYS)
    assert it.journal.holds == []


async def test_i8_nothing_is_sent_where_the_target_holds_what_no_ledger_knows_of() -> None:
    async with young() as it:
        commands = [make_command(key) for key in KEYS]
        it.target.held = {command.natural_key: command.payload for command in commands}
        with capture_logs() as logs:
            it.submit(*commands)
            await reached(lambda: bool(it.journal.holds))

        assert it.metric("psastream_target_paused") == 1
    assert it.target.effects == [] and it.finished == []
    record = it.journal.holds[0]
    assert (record["exception_id"], record["status"], record["is_held"]) == (HOLD, OPEN, True)
    assert f"exceptions release {HOLD}" in record["hint"]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "dispatch.ledger_lost"
    ]


async def test_i8_another_content_of_its_record_is_a_trace_of_the_lost_ledger_too() -> None:
    class Edited(FakeTarget):
        async def look(self, *_: object) -> Applied | None:
            return Applied("1", differs=True)

    async with young() as it:
        it.executor._sink = Edited()
        it.submit(make_command())
        await reached(lambda: bool(it.journal.holds))

    assert it.target.effects == []


async def test_a_change_of_a_record_that_others_make_is_no_trace() -> None:
    change = make_command("netsuite:project_budget:a", kind="update_project_budget")
    async with young() as it:
        it.target.held = {change.natural_key: change.payload}
        it.submit(change)
        await it.settled()

    assert it.journal.holds == []


async def test_what_is_gone_from_the_target_is_no_trace() -> None:
    class Empty(FakeTarget):
        async def look(self, *_: object) -> Applied | None:
            return Applied(is_gone=True)

    async with young() as it:
        it.executor._sink = Empty()
        it.submit(make_command(kind="delete_project"))
        await it.settled()

    assert it.journal.holds == []


async def test_a_person_lets_them_be_sent_and_it_is_recorded() -> None:
    async with young() as it:
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
    assert it.journal.holds[-1]["status"] == RESOLVED
    assert it.metric("psastream_target_paused") == 0


async def test_a_hold_outlives_its_session_and_a_persons_word_does_for_a_day() -> None:
    told = [(b"", _hold(OPEN, 7.0))]
    assert memory_of((), (), told).holds == {"netsuite": Hold(7.0, True)}
    assert FirstCommands("netsuite", carried_out=0, told=Hold(7.0, True)).is_held
    for age_s, counts in ((0.0, True), (CONFIRMED_FOR_S, False)):
        first = FirstCommands("netsuite", carried_out=0, told=Hold(7.0, False), now_s=7.0 + age_s)
        assert not first.is_held
        assert first.is_confirmed is counts
        assert first.contradicts(make_command(), Applied("1")) is not counts


async def test_a_held_session_sends_nothing_before_it_is_released() -> None:
    first = FirstCommands("netsuite", carried_out=0, told=Hold(7.0, True))
    async with young(first) as it:
        it.submit(make_command())
        it.executor.retry(RetryRequest(HOLD, tried_before_s=6.0))
        assert it.metric("psastream_target_paused") == 1
        assert it.target.looks == []
        it.executor.retry(RetryRequest(HOLD, tried_before_s=8.0))
        await it.settled()

    assert len(it.target.effects) == 1


async def test_what_the_ledger_knows_of_is_no_trace() -> None:
    command = make_command()
    tried = Intent(command.command_id, command.revision, 1, LONG_AGO)
    for ledger in (
        Ledger({command.natural_key: Settled(0)}, {}),
        Ledger({}, {command.natural_key: tried}),
    ):
        async with young(ledger=ledger) as it:
            it.target.held = {command.natural_key: command.payload}
            it.submit(command)
            await it.settled()

        assert it.journal.holds == []


async def test_a_target_that_does_not_answer_is_asked_again_before_anything_is_sent() -> None:
    async with young() as it:
        command = make_command()
        it.target.held = {command.natural_key: command.payload}
        it.target.look_errors.append(not_available())
        it.submit(command)
        await reached(lambda: bool(it.journal.holds))

    assert it.target.effects == []


async def test_a_session_counts_what_was_carried_out_at_its_target() -> None:
    def remembered(target: str, status: Status, count: int) -> Memory:
        keys = (f"{target}:project:{number}" for number in range(count))
        return Memory(settled={key: Settled(1, 1, "1", status) for key in keys})

    async def looks(memory: Memory) -> int:
        sink, journal = FakeTarget(), MemoryJournal()
        async with session({"netsuite": sink}, journal, memory) as it:
            it.accept(delivery("netsuite", 0, make_command("netsuite:project:new")))
            await reached(lambda: bool(journal.outcomes))
        return len(sink.looks)

    assert await looks(remembered("netsuite", Status.SUCCEEDED, FEW)) == 0
    assert await looks(remembered("netsuite", Status.SUCCEEDED, FEW - 1)) == 1
    assert await looks(remembered("netsuite", Status.REJECTED, FEW)) == 1
    assert await looks(remembered("float", Status.SUCCEEDED, FEW)) == 1


def _hold(status: str, at_s: float) -> dict[str, object]:
    return {
        "exception_id": HOLD,
        "system": "netsuite",
        "status": status,
        "command_id": None,
        "revision": None,
        "raised_at": datetime.fromtimestamp(at_s, UTC),
    }
