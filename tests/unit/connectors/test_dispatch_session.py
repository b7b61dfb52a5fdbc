"""A session: deliveries to executors, offsets back, reading held back where it is crowded."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from connectors.dispatch.commands import Command, Intent, Problem, Settled, Status
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.exceptions import exception_id, warning_id
from connectors.dispatch.intake import Delivery, Withdrawal
from connectors.dispatch.journal import DeadLetter, Memory
from connectors.dispatch.lease import Check, LeaseLostError
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import Refusal, RetryRequest
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.session import Session, Target
from connectors.dispatch.signals import Change
from connectors.toolkit.faults import Reason, UnclearAnswerError
from schemas.errors import DecodeError
from tests.support.sinks import FakeTarget, MemoryJournal, make_command
from tests.support.virtual_time import START, run_virtually
from tests.support.virtual_time import now as virtual_now

PLACES = {target: (f"psa.command.{target}", 0) for target in ("netsuite", "float")}


def config(target: str) -> SinkConfig:
    return SinkConfig.model_validate(
        {
            "name": f"{target}-sink",
            "connector.class": "FakeTarget",
            "target": target,
            "url": "http://127.0.0.1",
            "max.in.flight": 2,
            "max.queued": 2,
            "settle.ms": 1,
            "retry.backoff.ms": 1,
        }
    )


def delivery(target: str, offset: int, content: object) -> Delivery:
    topic, partition = PLACES[target]
    return Delivery(topic, partition, offset, content)  # type: ignore[arg-type]


@asynccontextmanager
async def session(
    sinks: dict[str, FakeTarget],
    journal: MemoryJournal,
    memory: Memory | None = None,
    owned: int | None = None,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[Session]:
    async with asyncio.TaskGroup() as group:
        it = Session(
            {
                name: Target(config(name), sink, kinds=frozenset({"upsert_project"}))
                for name, sink in sinks.items()
            },
            memory or Memory(),
            journal,
            metrics=DispatchMetrics(registry or CollectorRegistry()),
            spawn=group.create_task,
            owns=lambda _topic, partition: owned in (None, partition),
        )
        yield it
        await it.drain(10)


async def committable(it: Session, expected: dict[tuple[str, int], int]) -> None:
    async with asyncio.timeout(10):
        while dict(it.offsets.committable()) != expected:  # noqa: ASYNC110 - many small events
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_i1_an_offset_is_committable_only_when_all_before_it_are_settled() -> None:
    sinks = {"netsuite": FakeTarget()}
    answer = asyncio.Event()
    sinks["netsuite"].will("netsuite:customer:slow", answer)
    async with session(sinks, MemoryJournal()) as it:
        it.accept(delivery("netsuite", 3, Withdrawal("netsuite:customer:gone", 9)))
        it.accept(delivery("netsuite", 5, make_command("netsuite:customer:slow")))
        it.accept(delivery("netsuite", 6, make_command("netsuite:customer:quick")))
        await committable(it, {PLACES["netsuite"]: 5})
        answer.set()
        await committable(it, {PLACES["netsuite"]: 7})


@pytest.mark.asyncio
async def test_what_no_target_has_settled_in_time_is_overdue() -> None:
    sinks = {"netsuite": FakeTarget()}
    answer = asyncio.Event()
    command = replace(make_command(), issued_at=START)
    sinks["netsuite"].will(command.natural_key, answer)
    registry = CollectorRegistry()
    labels = {"target": "netsuite", "kind": command.kind}
    async with session(sinks, MemoryJournal(), registry=registry) as it:
        it.accept(delivery("netsuite", 0, command))
        for minutes, expected in ((5, None), (6, 1)):
            it.show_overdue(START + timedelta(minutes=minutes))
            shown = registry.get_sample_value("psastream_commands_overdue", labels)
            assert shown == expected
        answer.set()
        await committable(it, {PLACES["netsuite"]: 1})
        it.show_overdue(START + timedelta(minutes=6))
        assert registry.get_sample_value("psastream_commands_overdue", labels) == 0


@pytest.mark.asyncio
async def test_the_times_of_each_kind_begin_with_none() -> None:
    registry = CollectorRegistry()
    async with session({"netsuite": FakeTarget()}, MemoryJournal(), registry=registry):
        labels = {"target": "netsuite", "kind": "upsert_project"}
        assert registry.get_sample_value("psastream_command_seconds_count", labels) == 0


@pytest.mark.asyncio
async def test_only_the_crowded_target_is_held_back() -> None:
    sinks = {"netsuite": FakeTarget(), "float": FakeTarget()}
    answer = asyncio.Event()
    async with session(sinks, MemoryJournal()) as it:
        for offset in range(2):
            command = make_command(f"netsuite:customer:{offset}")
            sinks["netsuite"].will(command.natural_key, answer)
            it.accept(delivery("netsuite", offset, command))
        it.accept(delivery("float", 0, make_command("float:project:a", target="float")))

        assert it.crowded() == {"netsuite"}
        answer.set()
        await committable(it, {PLACES["netsuite"]: 2, PLACES["float"]: 1})
        assert it.crowded() == frozenset()


@pytest.mark.fault("A8", place="connectors/dispatch/session.py")
def test_a8_what_a_person_was_told_of_leaves_room_for_others() -> None:
    """Their withdrawals would lie behind them, and never be read."""

    async def story() -> None:
        target, journal = FakeTarget(), MemoryJournal()
        async with session({"netsuite": target}, journal) as it:
            for number in range(2):
                command = make_command(f"netsuite:time_bill:{number}")
                target.will(command.natural_key, *[SCRIPT] * 100)
                it.accept(delivery("netsuite", number, command))
            assert it.crowded() == {"netsuite"}
            await asyncio.sleep(600)
            assert len(journal.open) == 2
            assert it.crowded() == frozenset()
            for number in range(2):
                withdrawal = Withdrawal(f"netsuite:time_bill:{number}", 2)
                it.accept(delivery("netsuite", 2 + number, withdrawal))
            await asyncio.sleep(600)
            assert journal.open == {}
            assert dict(it.offsets.committable()) == {PLACES["netsuite"]: 4}

    run_virtually(story())


@pytest.mark.asyncio
async def test_what_is_no_command_is_buried_before_its_offset_moves() -> None:
    journal = MemoryJournal()
    letter = DeadLetter("psa.command.netsuite", 0, 4, b"key", b"?", DecodeError("no Avro"))
    async with session({"netsuite": FakeTarget()}, journal) as it:
        it.accept(delivery("netsuite", 4, letter))
        assert dict(it.offsets.committable()) == {PLACES["netsuite"]: 4}
        await committable(it, {PLACES["netsuite"]: 5})

    assert journal.letters == [letter]


@pytest.mark.fault("A1", place="connectors/dispatch/session.py")
@pytest.mark.asyncio
@pytest.mark.parametrize("last", [None, 0, 1, 2], ids=["never", "older", "same", "newer"])
async def test_a1_what_is_left_over_is_looked_at_after_a_restart_whatever_was_settled_last(
    last: int | None,
) -> None:
    """Else nobody looks whether it was tidied up, and the warning stays open for ever."""
    first = make_command(revision=1)
    left = Refusal(warning_id(first), first, Problem("TWO", "two"), 1, 1, 0.0, 0.0, 0.0)
    settled = {} if last is None else {first.natural_key: Settled(last, 1, "7")}
    journal, target = MemoryJournal(), FakeTarget()
    journal.open = {left.exception_id: left}
    async with session({"netsuite": target}, journal, Memory(settled, refusals=(left,))):
        async with asyncio.timeout(10):
            while journal.open:  # noqa: ASYNC110 - the journal knows no event
                await asyncio.sleep(0.001)

    assert (target.looks, target.calls, journal.outcomes) == ([first.command_id], 0, [])


@pytest.mark.fault("A1", place="connectors/dispatch/session.py")
@pytest.mark.asyncio
async def test_a1_only_the_owner_of_its_partition_tries_a_refused_command_again() -> None:
    commands = [make_command(f"netsuite:project:{number}") for number in range(20)]
    due = [
        Refusal(exception_id(it), it, Problem("X", "no"), 1, 1, 0.0, 0.0, 0.0) for it in commands
    ]
    memory = Memory(
        settled={it.natural_key: Settled(it.revision, 1) for it in commands}, refusals=tuple(due)
    )
    tried: list[str] = []
    for owned in (0, 1, 2, 3):
        sinks = {"netsuite": FakeTarget()}
        async with session(sinks, MemoryJournal(), memory, owned) as it:
            async with asyncio.timeout(10):
                while not sinks["netsuite"].effects:  # noqa: ASYNC110 - the target knows no event
                    await asyncio.sleep(0.001)
            it.hear(RetryRequest(target="float"))
            it.hear(RetryRequest(target="netsuite"))
            await asyncio.sleep(0.3)
        tried += [key for key, _ in sinks["netsuite"].effects]

    assert sorted(tried) == sorted(it.natural_key for it in commands), "each once, by one of them"


@pytest.mark.fault("A1", place="connectors/dispatch/session.py")
@pytest.mark.asyncio
async def test_a1_a_refusal_that_something_newer_has_followed_is_not_tried_again() -> None:
    command = make_command(revision=1)
    refusal = Refusal(exception_id(command), command, Problem("X", "no"), 1, 1, 0.0, 0.0, 0.0)
    memory = Memory(settled={command.natural_key: Settled(2, 1)}, refusals=(refusal,))
    sinks = {"netsuite": FakeTarget()}
    async with session(sinks, MemoryJournal(), memory) as it:
        it.hear(RetryRequest(target="netsuite"))
        await asyncio.sleep(0.05)

    assert (sinks["netsuite"].calls, sinks["netsuite"].looks) == (0, [])


@pytest.mark.fault("A1", place="connectors/dispatch/session.py")
@pytest.mark.parametrize(
    ("status", "is_tried"), [(Status.SUPERSEDED, False), (Status.REJECTED, True), (None, True)]
)
@pytest.mark.asyncio
async def test_a1_a_refusal_that_was_superseded_is_not_tried_before_its_successor_comes(
    status: Status | None, is_tried: bool
) -> None:
    command = make_command(revision=1)
    refusal = Refusal(exception_id(command), command, Problem("X", "no"), 1, 1, 0.0, 0.0, 0.0)
    settled = {command.natural_key: Settled(1, 1, None, status)}
    target = FakeTarget()
    async with session({"netsuite": target}, MemoryJournal(), Memory(settled, refusals=(refusal,))):
        await asyncio.sleep(0.05)

    assert (target.calls > 0) is is_tried


@pytest.mark.fault("A1", place="connectors/dispatch/session.py")
@pytest.mark.parametrize("is_delivered", [True, False])
@pytest.mark.asyncio
async def test_a1_a_refusal_is_known_though_an_older_result_came_late_in_the_place_of_its_own(
    is_delivered: bool,
) -> None:
    """Compaction keeps the record that came last, and offsets may be committed or not."""
    command = make_command(revision=5)
    refusal = Refusal(exception_id(command), command, Problem("X", "no"), 1, 1, 0.0, 0.0, 0.0)
    memory = Memory(
        settled={command.natural_key: Settled(4, 1, "7")},
        intents={
            command.natural_key: Intent(command.command_id, 5, 1, datetime(2026, 3, 2, tzinfo=UTC))
        },
        refusals=(refusal,),
    )
    sinks, journal = {"netsuite": FakeTarget()}, MemoryJournal()
    async with session(sinks, journal, memory) as it:
        if is_delivered:
            it.accept(delivery("netsuite", 0, command))
        async with asyncio.timeout(10):
            while not journal.outcomes:  # noqa: ASYNC110 - the journal knows no event
                await asyncio.sleep(0.001)
        if is_delivered:
            await committable(it, {PLACES["netsuite"]: 1})

    assert sinks["netsuite"].effects == [(command.natural_key, 5)]
    assert sinks["netsuite"].looks, "somebody may have mended it by hand"


@pytest.mark.fault("A1", place="connectors/dispatch/session.py")
@pytest.mark.asyncio
async def test_a1_what_is_left_over_is_looked_at_though_its_result_was_never_written() -> None:
    command = make_command(revision=10)
    left = Refusal(warning_id(command), command, Problem("TWO", "two"), 1, 1, 0.0, 0.0, 0.0)
    intent = Intent(command.command_id, 10, 1, datetime(2026, 1, 1, tzinfo=UTC))
    key = command.natural_key
    memory = Memory({key: Settled(5, 3, "7")}, {key: intent}, refusals=(left,))
    sinks, journal = {"netsuite": FakeTarget()}, MemoryJournal()
    sinks["netsuite"].held[key] = command.payload
    journal.open = {left.exception_id: left}
    async with session(sinks, journal, memory) as it:
        async with asyncio.timeout(10):
            while journal.open:  # noqa: ASYNC110 - the journal knows no event
                await asyncio.sleep(0.001)
        it.accept(delivery("netsuite", 0, command))
        await committable(it, {PLACES["netsuite"]: 1})

    assert sinks["netsuite"].effects == [], "it was carried out"


@pytest.mark.parametrize("target", ["netsuite", "float", None])
@pytest.mark.asyncio
async def test_what_a_person_asks_for_is_tried_at_the_target_that_is_meant(
    target: str | None,
) -> None:
    later_s = datetime.now(UTC).timestamp() + 3_000
    commands = [make_command(f"{it}:project:a", target=it) for it in ("netsuite", "float")]
    memory = Memory(
        settled={it.natural_key: Settled(it.revision, 1) for it in commands},
        refusals=tuple(
            Refusal(exception_id(it), it, Problem("X", "no"), 1, 1, 0.0, 0.0, later_s)
            for it in commands
        ),
    )
    sinks = {"netsuite": FakeTarget(), "float": FakeTarget()}
    meant = {target} if target else set(sinks)
    async with session(sinks, MemoryJournal(), memory) as it:
        it.hear(RetryRequest(target=target))
        async with asyncio.timeout(10):
            while {name for name in sinks if sinks[name].effects} != meant:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    assert {name for name in sinks if sinks[name].looks} == meant


@pytest.mark.parametrize("target", ["netsuite", "float"])
@pytest.mark.asyncio
async def test_what_is_named_by_a_record_that_changed_is_tried_at_every_target(target: str) -> None:
    later_s = datetime.now(UTC).timestamp() + 3_000
    key = f"{target}:project:a"
    command = make_command(key, target=target, payload='{"customer_id":"cus-1"}')
    refusal = Refusal(exception_id(command), command, Problem("X", "no"), 1, 1, 0.0, 0.0, later_s)
    memory = Memory(settled={key: Settled(1, 1)}, refusals=(refusal,))
    sinks = {"netsuite": FakeTarget(), "float": FakeTarget()}
    async with session(sinks, MemoryJournal(), memory) as it:
        it.hear(Change(("customer_id:cus-1",)))
        async with asyncio.timeout(10):
            while not sinks[target].effects:  # noqa: ASYNC110 - the target knows no event
                await asyncio.sleep(0.001)


def test_milliseconds_of_the_file_are_seconds_of_the_policy() -> None:
    keys = {"request.timeout.ms": 45_000, "settle.ms": 12_000, "retry.backoff.ms": 250}
    longest = {"retry.backoff.max.ms": 90_000, "auth.retry.ms": 30_000}
    document = config("float").model_dump(by_alias=True) | keys | longest

    assert SinkConfig.model_validate(document).retry_policy == RetryPolicy(
        settle_s=12.0, backoff_s=0.25, backoff_max_s=90.0, auth_retry_s=30.0, attempt_s=45.0
    )
    with pytest.raises(ValidationError, match="below"):
        SinkConfig.model_validate(document | {"retry.backoff.max.ms": 249})
    assert SinkConfig.model_validate(document | {"retry.backoff.max.ms": 250})


@pytest.mark.parametrize(
    ("key", "least", "below"),
    [
        ("request.timeout.ms", 100, 99),
        ("max.in.flight", 1, 0),
        ("settle.ms", 0, -1),
        ("retry.backoff.ms", 1, 0),  # no pause at all would be a storm
        ("auth.retry.ms", 1, 0),
        ("max.queued", 1, 0),  # nothing would ever be read
        ("requests.per.second", 0.001, 0),
    ],
)
def test_a_number_of_the_file_that_nothing_could_run_with_is_refused_by_its_name(
    key: str, least: float, below: float
) -> None:
    document = config("float").model_dump(by_alias=True)

    read = SinkConfig.model_validate(document | {key: least})
    assert read.model_dump(by_alias=True)[key] == least
    with pytest.raises(ValidationError, match=re.escape(key)):
        SinkConfig.model_validate(document | {key: below})


def test_the_longest_pause_may_be_as_short_as_the_first_and_a_hundred_requests_at_once() -> None:
    keys = {"retry.backoff.ms": 1, "retry.backoff.max.ms": 1, "max.in.flight": 100}
    document = config("float").model_dump(by_alias=True) | keys

    assert SinkConfig.model_validate(document).retry_policy.backoff_max_s == 0.001
    with pytest.raises(ValidationError, match=re.escape("max.in.flight")):
        SinkConfig.model_validate(document | {"max.in.flight": 101})


@pytest.mark.asyncio
async def test_a_refusal_without_its_result_is_left_to_the_delivery_that_comes_again() -> None:
    """The process ended between the two records; the offset of the command is not committed."""
    command = make_command()
    refusal = Refusal(exception_id(command), command, Problem("X", "no"), 1, 1, 0.0, 0.0, 0.0)
    sinks = {"netsuite": FakeTarget()}
    async with session(sinks, MemoryJournal(), Memory(refusals=(refusal,))) as it:
        await asyncio.sleep(0.02)
        assert (sinks["netsuite"].calls, sinks["netsuite"].looks) == (0, [])
        it.accept(delivery("netsuite", 4, command))
        await committable(it, {PLACES["netsuite"]: 5})

    assert sinks["netsuite"].effects == [(command.natural_key, 1)]


def told_of(command: Command, reason: Reason, *, retry_in_s: float, refusals: int = 9) -> Refusal:
    """What an earlier session told of a minute ago."""
    at_s = virtual_now().timestamp() - 60
    problem = Problem("SCRIPT", "?", reason=reason)
    retry_at_s = at_s + 60 + retry_in_s
    return Refusal(exception_id(command), command, problem, 30, refusals, at_s, at_s, retry_at_s)


SCRIPT = UnclearAnswerError(
    "400", outcome_unknown=False, context={"vendor_code": "SCRIPT"}, is_in_words=True
)
HOUR_S, YEAR_S = 3_600.0, 365 * 86_400.0


@asynccontextmanager
async def at_work(
    target: FakeTarget,
    journal: MemoryJournal,
    memory: Memory,
    check: Check = lambda: None,
) -> AsyncIterator[Session]:
    async with asyncio.TaskGroup() as group:
        it = Session(
            {"netsuite": Target(config("netsuite"), target)},
            memory,
            journal,
            metrics=DispatchMetrics(CollectorRegistry()),
            spawn=group.create_task,
            check=check,
            now=virtual_now,
        )
        journal.open = {refusal.exception_id: refusal for refusal in memory.refusals}
        yield it
        await it.drain(10)


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
@pytest.mark.parametrize("is_settled", [False, True], ids=["told", "told on trial"])
@pytest.mark.parametrize(
    ("retry_in_s", "waits_s"),
    [(600.0, 600.0), (5 * HOUR_S, 5 * HOUR_S), (-5.0, 0.0), (YEAR_S, 0.0)],
    ids=["minutes", "hours", "due", "a clock was ahead"],
)
def test_a2_what_was_told_goes_on_at_its_pace_after_a_restart(
    retry_in_s: float, waits_s: float, is_settled: bool
) -> None:
    async def story() -> None:
        command, target, journal = make_command(), FakeTarget(), MemoryJournal()
        target.will(command.natural_key, *[SCRIPT] * 100)
        told = told_of(command, Reason.UNCLEAR, retry_in_s=retry_in_s)
        settled = {command.natural_key: Settled(1, 29)} if is_settled else {}
        async with at_work(target, journal, Memory(settled, refusals=(told,))) as it:
            it.accept(delivery("netsuite", 0, command))
            if waits_s:
                await asyncio.sleep(waits_s - 1)
                assert (target.calls, it.crowded()) == (0, frozenset())
            await asyncio.sleep(2)
            assert target.calls == 1
            [again] = journal.open.values()
            assert again.refusals == 10, "the pauses go on growing"
            assert again.raised_at_s == told.raised_at_s
            await asyncio.sleep(4 * HOUR_S)
            assert target.calls == 1

    run_virtually(story())


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
def test_a2_what_a_whole_kind_meets_is_told_once_also_after_a_restart() -> None:
    async def story() -> None:
        orders = [make_command(f"netsuite:project:{number}") for number in range(30)]
        target, journal = FakeTarget(), MemoryJournal()
        for command in orders:
            target.will(command.natural_key, *[SCRIPT] * 1_000)
        told = told_of(orders[7], Reason.UNCLEAR, retry_in_s=5 * HOUR_S)
        async with at_work(target, journal, Memory({}, refusals=(told,))) as it:
            for number, command in enumerate(orders):
                it.accept(delivery("netsuite", number, command))
            await asyncio.sleep(12 * HOUR_S)
            [still] = journal.open.values()
            assert still.exception_id == told.exception_id
            assert still.problem.detail.startswith("30 commands of this kind wait: ")

    run_virtually(story())


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
@pytest.mark.parametrize("news", ["refused", "a newer revision", "asked", "asked before"])
def test_a2_what_was_told_does_not_wait_for_its_pace_where_there_is_news(news: str) -> None:
    async def story() -> None:
        command, target, journal = make_command(), FakeTarget(), MemoryJournal()
        reason = Reason.VALIDATION if news == "refused" else Reason.UNCLEAR  # result not written
        told = told_of(command, reason, retry_in_s=5 * HOUR_S)
        async with at_work(target, journal, Memory(refusals=(told,))) as it:
            if news == "asked before":
                it.hear(RetryRequest(reason=Reason.PERMISSION))
                it.hear(RetryRequest(reason=Reason.UNCLEAR))
            it.accept(delivery("netsuite", 0, command))
            if news == "asked":
                await asyncio.sleep(1)
                assert target.calls == 0
                it.hear(RetryRequest(told.exception_id))
            if news == "a newer revision":
                it.accept(delivery("netsuite", 1, make_command(revision=2)))
            await asyncio.sleep(2)
            assert target.effects == [(command.natural_key, 2 if "newer" in news else 1)]
            assert journal.open == {}

    run_virtually(story())


@pytest.mark.fault("A2", place="connectors/dispatch/repeated.py")
def test_a2_an_older_revision_that_comes_again_forgets_nothing_of_a_newer_one() -> None:
    async def story() -> None:
        first, second = make_command(revision=1), make_command(revision=2)
        target, journal = FakeTarget(), MemoryJournal()
        told = told_of(second, Reason.UNCLEAR, retry_in_s=5 * HOUR_S)
        async with at_work(target, journal, Memory(refusals=(told,))) as it:
            it.accept(delivery("netsuite", 0, first))
            await asyncio.sleep(2)
            it.accept(delivery("netsuite", 1, second))
            await asyncio.sleep(HOUR_S)
            assert target.effects == [(first.natural_key, 1)]
            await asyncio.sleep(4 * HOUR_S)
            assert target.effects == [(first.natural_key, 1), (first.natural_key, 2)]
            assert journal.open == {}

    run_virtually(story())


SUPERSEDED = Status.SUPERSEDED
DOUBT = Intent("netsuite:project:a#2", 2, 1, datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.fault("A1", place="connectors/dispatch/executor.py")
@pytest.mark.parametrize("reason", [Reason.UNCLEAR, Reason.VALIDATION])
@pytest.mark.parametrize(
    ("settled", "intent"),
    [
        (None, None),
        (Settled(1, 1, None, SUPERSEDED), None),
        (Settled(1, 1, None, SUPERSEDED), DOUBT),
        (Settled(2, 1, None, SUPERSEDED), None),
    ],
    ids=["no result", "superseded", "attempted after it", "superseded after it"],
)
def test_a1_a_withdrawal_ends_what_was_told_though_compaction_took_its_command_away(
    settled: Settled | None, intent: Intent | None, reason: Reason
) -> None:
    async def story() -> None:
        command, target, journal = make_command(), FakeTarget(), MemoryJournal()
        key = command.natural_key
        memory = Memory(
            {key: settled} if settled else {},
            {key: intent} if intent else {},
            refusals=(told_of(command, reason, retry_in_s=-1.0),),
        )
        async with at_work(target, journal, memory) as it:
            it.accept(delivery("netsuite", 7, Withdrawal(key, 1)))
            await asyncio.sleep(600)
            assert len(journal.open) == 1, "it is about what came before"
            it.accept(delivery("netsuite", 8, Withdrawal(key, 3)))
            await asyncio.sleep(600)
            assert journal.open == {}
            assert dict(it.offsets.committable()) == {PLACES["netsuite"]: 9}
            it.accept(delivery("netsuite", 9, make_command(revision=4)))
            await asyncio.sleep(600)
        assert target.effects == [(key, 4)], "nobody wanted what came before"
        if settled is None:
            assert journal.outcomes[0][1].status is Status.WITHDRAWN
            assert journal.outcomes[0][1].attempts == 30, "who told of it last comes no later"

    run_virtually(story())


@pytest.mark.fault("A6", place="connectors/dispatch/executor.py")
def test_a6_a_withdrawal_ends_what_was_told_once_the_lease_is_proven_again() -> None:
    is_proven = False

    def check() -> None:
        if not is_proven:
            raise LeaseLostError("not proven")

    async def story() -> None:
        nonlocal is_proven
        command, journal = make_command(), MemoryJournal()
        settled = {command.natural_key: Settled(2, 1, None, SUPERSEDED)}
        told = told_of(command, Reason.UNCLEAR, retry_in_s=0.0)
        async with at_work(FakeTarget(), journal, Memory(settled, refusals=(told,)), check) as it:
            it.accept(delivery("netsuite", 8, Withdrawal(command.natural_key, 3)))
            await asyncio.sleep(1)
            assert len(journal.open) == 1
            assert dict(it.offsets.committable()) == {PLACES["netsuite"]: 8}
            is_proven = True
            await asyncio.sleep(1)
            assert journal.open == {}
            assert dict(it.offsets.committable()) == {PLACES["netsuite"]: 9}

    run_virtually(story())
