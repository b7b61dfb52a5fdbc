"""A session: deliveries to executors, offsets back, reading held back where it is crowded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import Problem, Settled
from connectors.dispatch.config import SinkConfig
from connectors.dispatch.exceptions import exception_id
from connectors.dispatch.intake import Delivery, Withdrawal
from connectors.dispatch.journal import DeadLetter, Memory
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import Refusal, RetryRequest
from connectors.dispatch.session import Session, Target
from schemas.errors import DecodeError
from tests.support.sinks import FakeTarget, MemoryJournal, make_command

pytestmark = pytest.mark.asyncio

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
) -> AsyncIterator[Session]:
    async with asyncio.TaskGroup() as group:
        it = Session(
            {name: Target(config(name), sink) for name, sink in sinks.items()},
            memory or Memory(),
            journal,
            metrics=DispatchMetrics(CollectorRegistry()),
            spawn=group.create_task,
            owns=lambda _topic, partition: owned in (None, partition),
        )
        yield it
        await it.drain(10)


async def committable(it: Session, expected: dict[tuple[str, int], int]) -> None:
    async with asyncio.timeout(10):
        while dict(it.offsets.committable()) != expected:  # noqa: ASYNC110 - many small events
            await asyncio.sleep(0.001)


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


async def test_what_is_no_command_is_buried_before_its_offset_moves() -> None:
    journal = MemoryJournal()
    letter = DeadLetter("psa.command.netsuite", 0, 4, b"key", b"?", DecodeError("no Avro"))
    async with session({"netsuite": FakeTarget()}, journal) as it:
        it.accept(delivery("netsuite", 4, letter))
        assert dict(it.offsets.committable()) == {PLACES["netsuite"]: 4}
        await committable(it, {PLACES["netsuite"]: 5})

    assert journal.letters == [letter]


@pytest.mark.fault("A1", place="connectors/dispatch/session.py")
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
async def test_a1_a_refusal_that_something_newer_has_followed_is_not_tried_again() -> None:
    command = make_command(revision=1)
    refusal = Refusal(exception_id(command), command, Problem("X", "no"), 1, 1, 0.0, 0.0, 0.0)
    memory = Memory(settled={command.natural_key: Settled(2, 1)}, refusals=(refusal,))
    sinks = {"netsuite": FakeTarget()}
    async with session(sinks, MemoryJournal(), memory) as it:
        it.hear(RetryRequest(target="netsuite"))
        await asyncio.sleep(0.05)

    assert (sinks["netsuite"].calls, sinks["netsuite"].looks) == (0, [])
