"""Commands that people stop: none is sent, none is lost, and all go out once they are started."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Message
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from connectors.dispatch.commands import Command
from connectors.dispatch.decisions import (
    DECISIONS,
    Decision,
    Decisions,
    Places,
    Stops,
    Verb,
    decisions_in,
    require_heard,
)
from connectors.dispatch.dispatcher import Dispatcher
from connectors.dispatch.gate import DOWN_AFTER, Gates
from connectors.dispatch.journal import Memory
from connectors.dispatch.lease import Lease
from connectors.dispatch.main import load_sink
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.session import Session, Target
from runtime.health import Health
from runtime.kafka import KafkaSettings
from runtime.registry import Registry
from runtime.rights import AccessRefusedError
from runtime.serde import Serde
from schemas.errors import BrokerUnavailableError, ConfigError
from tests.support.sinks import FakeTarget, MemoryJournal, make_command, not_available
from tests.support.topology import FixedRegistry
from tests.unit.connectors.test_dispatch_executor import DEADLINE_S, bench, reached
from tests.unit.connectors.test_dispatch_session import PLACES, committable, config, delivery

SERDE = Serde(cast(Registry, FixedRegistry()))
AT = datetime(2027, 1, 4, 9, tzinfo=UTC)
BUDGET = make_command("netsuite:project_budget:a", kind="update_project_budget")
WHOLE = Decision(Verb.STOPPED, "netsuite")
OF_KIND = Decision(Verb.STOPPED, "netsuite", "upsert_project", "ada@desk", AT, "wrong rates")


def message(**record: Any) -> Message:
    return Message(topic=DECISIONS, value=SERDE.value(DECISIONS, record))


async def idle() -> None:
    """Let everything happen that can without anybody's doing."""
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_while_a_target_is_stopped_nothing_is_sent_and_then_everything_in_its_order() -> None:
    async with bench() as it:
        it.executor.stop({None})
        first, second = (make_command(revision=number) for number in (1, 2))
        it.submit(first, second, BUDGET)
        await idle()
        assert (it.target.calls, it.journal.intents, it.finished) == (0, [], [])
        assert it.metric("psastream_target_paused") == 1
        assert it.metric("psastream_commands_stopped", kind="all") == 1

        it.executor.stop(())
        await it.settled()
        assert it.metric("psastream_target_paused") == 0
        assert it.metric("psastream_commands_stopped", kind="all") == 0

    assert sorted(it.target.effects) == [(first.natural_key, 2), (BUDGET.natural_key, 1)]
    assert it.journal.statuses()[first.command_id] == "superseded"


@pytest.mark.asyncio
async def test_a_stopped_kind_holds_up_no_other_and_no_reading() -> None:
    async with bench() as it:
        it.executor.stop({"upsert_project"})
        it.submit(*(make_command(f"netsuite:project:{number}") for number in range(5)), BUDGET)
        await reached(lambda: it.finished == [BUDGET.command_id])
        await idle()

        assert it.target.effects == [(BUDGET.natural_key, 1)]
        assert it.executor.crowd == 0
        assert it.metric("psastream_commands_stopped", kind="upsert_project") == 1
        assert it.metric("psastream_target_paused") == 0
        it.executor.stop(())
        await it.settled()

    assert len(it.target.effects) == 6


@pytest.mark.asyncio
async def test_a_stopped_kind_keeps_no_other_from_coming_however_often_its_records_change() -> None:
    async with bench() as it:
        it.executor.stop({"upsert_project"})
        it.submit(*(make_command(revision=number) for number in range(1, 6)))
        await idle()

        assert (it.executor.waiting, it.executor.crowd) == (5, 0)
        it.executor.stop(())
        await it.settled()

    assert it.target.effects == [("netsuite:project:a", 5)]


@pytest.mark.asyncio
async def test_a_target_that_is_down_is_asked_by_others_than_who_is_stopped() -> None:
    gates = Gates("netsuite", lambda _probes: 0.0)
    for number in range(DOWN_AFTER):
        gates.failed(str(number), "upsert_project", is_for_all=True, is_for_kind=False)
    async with asyncio.timeout(DEADLINE_S):
        await gates.wait("a", "upsert_project", 1)
        assert gates.is_down and not gates.lets("b", "update_project_budget")  # a is the probe
        gates.stop({"upsert_project"})
        again = asyncio.create_task(gates.wait("a", "upsert_project", 1))
        await gates.wait("b", "update_project_budget", 1)
    assert gates.lets("b", "update_project_budget") and not again.done()
    again.cancel()


@pytest.mark.asyncio
async def test_a_stop_between_intent_and_call_keeps_the_call_back() -> None:
    async with bench() as it:
        command = make_command()
        intend = it.journal.intend

        async def stop_meanwhile(command: Command, attempt: int) -> None:
            await intend(command, attempt)
            it.executor.stop({command.kind} if attempt == 1 else ())

        it.journal.intend = stop_meanwhile  # type: ignore[method-assign]
        it.submit(command)
        await reached(lambda: bool(it.journal.intents))
        await idle()
        assert it.target.calls == 0
        it.executor.stop(())
        await it.settled()

    assert it.target.effects == [(command.natural_key, 1)]


@pytest.mark.asyncio
async def test_what_waits_for_its_turn_as_it_is_stopped_is_not_even_announced() -> None:
    async with bench() as it:
        answers = [asyncio.Event(), asyncio.Event()]
        commands = [make_command(f"netsuite:project:{number}") for number in range(3)]
        for command, answer in zip(commands, answers, strict=False):  # all calls at once
            it.target.will(command.natural_key, answer)
        it.submit(*commands)
        await reached(lambda: it.target.in_flight == 2)
        it.executor.stop({"upsert_project"})
        for answer in answers:
            answer.set()
        await reached(lambda: len(it.finished) == 2)
        await idle()
        assert commands[2].command_id not in dict(it.journal.intents)
        it.executor.stop(())
        await it.settled()

    assert len(it.target.effects) == 3


@pytest.mark.asyncio
async def test_what_is_under_way_ends_and_is_not_repeated_while_it_is_stopped() -> None:
    async with bench() as it:
        command, answer = make_command(), asyncio.Event()
        it.target.will(command.natural_key, answer, not_available())
        it.submit(command)
        await reached(lambda: it.target.in_flight == 1)
        it.executor.stop({None})
        it.submit(make_command(revision=2))
        answer.set()
        await reached(lambda: it.finished == [command.command_id])
        await idle()
        assert it.target.calls == 1
        it.executor.stop(())
        await it.settled()

    assert it.target.effects == [(command.natural_key, 1), (command.natural_key, 2)]


@pytest.mark.asyncio
async def test_what_is_withdrawn_while_it_is_stopped_is_never_sent() -> None:
    async with bench() as it:
        it.executor.stop({None})
        command, withdrawn = make_command(), []
        it.submit(command)
        it.executor.withdraw(command.natural_key, 2, lambda: withdrawn.append(1))
        await idle()
        it.executor.stop(())
        await it.settled()

    assert it.target.calls == 0 and withdrawn == [1]
    assert it.journal.statuses() == {command.command_id: "withdrawn"}


@pytest.mark.asyncio
async def test_a_stop_outlives_a_session_and_loses_no_command() -> None:
    stops, sinks, journal = Stops([WHOLE]), {"netsuite": FakeTarget()}, MemoryJournal()
    command = make_command()
    for _ in range(2):  # a restart
        async with session(sinks, journal, stops) as it:
            it.accept(delivery("netsuite", 7, command))
            await idle()
            assert dict(it.offsets.committable()) == {PLACES["netsuite"]: 7}  # it comes again
    assert sinks["netsuite"].calls == 0

    stops.take(Decision(Verb.STARTED, "netsuite"))
    async with session(sinks, journal, stops) as it:
        it.accept(delivery("netsuite", 7, command))
        await committable(it, {PLACES["netsuite"]: 8})
    assert sinks["netsuite"].effects == [(command.natural_key, 1)]


@pytest.mark.asyncio
async def test_sessions_obey_at_once_and_other_targets_flow() -> None:
    stops, sinks = Stops(), {"netsuite": FakeTarget(), "float": FakeTarget()}
    async with session(sinks, MemoryJournal(), stops) as it:
        stops.take(WHOLE)
        it.accept(delivery("netsuite", 0, make_command()))
        it.accept(delivery("float", 0, make_command("float:project:a", target="float")))
        it.stop(stops)  # in the same turn of the loop: none of it has left
        await committable(it, {PLACES["float"]: 1, PLACES["netsuite"]: 0})
        assert sinks["netsuite"].calls == 0
        stops.take(Decision(Verb.STARTED, "netsuite"))
        it.stop(stops)
        await committable(it, {PLACES["float"]: 1, PLACES["netsuite"]: 1})


@pytest.mark.asyncio
async def test_a_session_that_drains_hears_of_a_stop() -> None:
    """What was announced before the end came may not have been called yet."""

    class Slow(MemoryJournal):
        async def intend(self, command: Command, attempt: int) -> None:
            await super().intend(command, attempt)
            announced.set()
            await goes_on.wait()

    announced, goes_on, sink = asyncio.Event(), asyncio.Event(), FakeTarget()
    dispatcher = Dispatcher(
        KafkaSettings(bootstrap_servers="127.0.0.1:1"), SERDE, {},
        metrics=DispatchMetrics(CollectorRegistry()), health=Health(), lease=Lease(1.0),
    )  # fmt: skip
    async with session({"netsuite": sink}, Slow(), Stops()) as it:
        it.accept(delivery("netsuite", 0, make_command()))
        await announced.wait()
        ends = asyncio.create_task(dispatcher._end(it))
        await idle()
        dispatcher._obey([WHOLE])
        goes_on.set()
        await ends
    assert sink.calls == 0


@pytest.mark.asyncio
async def test_what_the_file_of_a_sink_stops_nobody_starts_elsewhere() -> None:
    stops, sink = Stops([OF_KIND]), FakeTarget()
    async with session({"netsuite": sink}, MemoryJournal(), stops, stopped=("all",)) as it:
        it.accept(delivery("netsuite", 0, make_command()))
        stops.take(Decision(Verb.STARTED, "netsuite", "upsert_project"))
        stops.take(Decision(Verb.STARTED, "netsuite"))
        it.stop(stops)
        await idle()
        assert sink.calls == 0


@asynccontextmanager
async def session(
    sinks: dict[str, FakeTarget],
    journal: MemoryJournal,
    stops: Stops,
    stopped: tuple[str, ...] = (),
) -> AsyncIterator[Session]:
    targets = {
        name: Target(config(name).model_copy(update={"stopped": stopped}), sink)
        for name, sink in sinks.items()
    }
    metrics = DispatchMetrics(CollectorRegistry())
    async with asyncio.TaskGroup() as group:
        it = Session(
            targets, Memory(), journal, metrics=metrics, spawn=group.create_task, stops=stops
        )
        yield it
        await it.drain(DEADLINE_S)


def test_a_target_and_its_kinds_are_started_each_by_itself() -> None:
    stops = Stops([WHOLE, OF_KIND])
    assert stops.of("netsuite") == {None, "upsert_project"} and stops.of("float") == frozenset()
    assert stops.holds("netsuite", "upsert_customer")
    stops.take(Decision(Verb.STARTED, "netsuite"))
    assert stops.of("netsuite") == {"upsert_project"}
    assert stops.holds("netsuite", "upsert_project")
    assert not stops.holds("netsuite", "upsert_customer")
    stops.take(Decision(Verb.STARTED, "netsuite", "upsert_project"))
    stops.take(Decision(Verb.STARTED, "netsuite", "upsert_project"))
    assert stops.all() == []


def test_who_stopped_it_first_is_who_is_named() -> None:
    again = Decision(Verb.STOPPED, "netsuite", "upsert_project", "bob@desk")
    assert Stops([OF_KIND, again]).by("netsuite", "upsert_project") == OF_KIND
    assert Stops([OF_KIND]).by("netsuite", None) is None


def test_a_decision_is_read_as_it_was_written() -> None:
    told = message(
        decision="stopped", target="netsuite", kind="upsert_project", decided_by="ada@desk",
        decided_at=AT, note="wrong rates",
    )  # fmt: skip
    assert list(decisions_in([told], SERDE)) == [OF_KIND]


@pytest.mark.parametrize(
    ("noise", "events"),
    [
        (Message(topic=DECISIONS, error=KafkaError(KafkaError._TRANSPORT)), ["decisions_unread"]),
        (Message(topic=DECISIONS, value=b"no record"), ["decision_unreadable"]),
        (message(decision="a whim", target="netsuite"), ["decision_unreadable"]),
        (message(decision="stopped"), ["decision_unreadable"]),
        (Message(topic=DECISIONS, key=b"deleted"), []),
    ],
)
def test_what_is_no_decision_is_told_and_holds_none_back(noise: Message, events: list[str]) -> None:
    with capture_logs() as logs:
        found = list(decisions_in([noise, message(decision="stopped", target="netsuite")], SERDE))
    assert found == [WHOLE]
    assert [log["event"] for log in logs] == [f"dispatch.{event}" for event in events]


@pytest.mark.parametrize(
    ("code", "is_for_good"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, True),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, True),
        (KafkaError._TRANSPORT, False),
        (KafkaError._ALL_BROKERS_DOWN, False),
    ],
)
def test_nobody_goes_on_who_cannot_hear_decisions_any_more(code: int, is_for_good: bool) -> None:
    heard = [message(decision="stopped"), Message(topic=DECISIONS, error=KafkaError(code))]
    with pytest.raises(BrokerUnavailableError) if is_for_good else nullcontext():
        require_heard(heard)


def test_who_lacks_the_right_to_decisions_is_told_which() -> None:
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(AccessRefusedError, match="no decisions can be read") as told:
        require_heard([Message(topic=DECISIONS, error=error)])
    assert "rights on topics" in str(told.value.hint)


def test_what_was_read_is_no_news_and_what_was_not_is_read_once() -> None:
    """A session reads to the end; who listens comes by the same records later."""
    places, topic = Places(), (DECISIONS, 0)
    messages = [Message(topic=DECISIONS, partition=0, offset=number) for number in range(5)]
    assert places.since({topic: (0, 3)}) == {topic: (0, 3)}
    assert list(places.news(messages[:3])) == messages[:3]
    assert places.since({topic: (1, 4)}) == {topic: (3, 4)}
    assert list(places.news(messages[3:4])) == messages[3:4]
    lost = Message(topic=DECISIONS, error=KafkaError(KafkaError._TRANSPORT))
    assert list(places.news([*messages, lost])) == [messages[4], lost]


def test_nothing_is_heard_before_a_session_and_an_end_without_one_is_fine() -> None:
    unused: Any = None
    decisions = Decisions(unused, SERDE)
    assert decisions.listen() == []
    decisions.close()


@pytest.mark.parametrize("stopped", [["all"], ["upsert_project"]])
def test_the_file_of_a_sink_stops_kinds_that_it_carries_out(
    tmp_path: Path, stopped: list[str]
) -> None:
    expected = {None if kind == "all" else kind for kind in stopped}
    assert load_sink(_file(tmp_path, stopped), {}).stopped_kinds == expected


def test_a_kind_that_the_target_does_not_carry_out_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float carries out no upsert_projekt") as error:
        load_sink(_file(tmp_path, ["upsert_projekt"]), {})
    assert "upsert_project" in str(error.value.hint)


def _file(folder: Path, stopped: list[str]) -> Path:
    shipped = json.loads(Path("connectors/vendors/float/sink.json").read_text())
    path = folder / "sink.json"
    named = {"url": "http://127.0.0.1", "token": "t", "stopped": stopped}
    path.write_text(json.dumps(shipped | named))
    return path
