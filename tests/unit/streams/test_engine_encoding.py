"""What a record makes that cannot be encoded is a fault of the record, found while it is folded."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from streams.engine import Accounting, Chunk, Effects, EngineSettings, Output, State
from streams.engine.commit import Part, TransactionalWriter
from streams.engine.committer import Committer
from streams.engine.membership import Member
from tests.support.engine_fakes import FakePartition, FakeWriter
from tests.support.engine_processor import numbers, running
from tests.unit.streams.test_engine_poison import letters

SETTINGS = EngineSettings(app_id="a", bootstrap_servers="unused:1", state_dir=Path("unused"))
BAD: Any = [
    Output("sums", 0, b"k", "text"),  # type: ignore[arg-type]
    Output("sums", 0, b"k", b"v", timestamp_ms=1 << 64),
    Output("sums", 0, b"k", b"v", headers=[("h", "text")]),  # type: ignore[list-item]
]


@pytest.mark.parametrize("output", BAD)
@pytest.mark.parametrize("copies", [1, 101])
def test_what_cannot_be_encoded_is_refused_by_encode(output: Output, copies: int) -> None:
    """101: more than few, which is encoded at once."""
    writer = TransactionalWriter("t", SETTINGS)
    with pytest.raises((TypeError, OverflowError)):
        writer.encode(("log", 0), {b"k": b"v"}, Effects(outputs=[output] * copies), None)


@pytest.mark.asyncio
async def test_what_cannot_be_encoded_ends_no_commit_of_another_partition() -> None:
    class Producer:
        async def begin_transaction(self) -> None: ...

    writer = TransactionalWriter("t", SETTINGS)

    async def opened() -> None:
        writer._producer = Producer()

    writer.open = opened  # type: ignore[method-assign]
    writer.close = writer.abort = lambda: asyncio.sleep(0)  # type: ignore[assignment]
    sent: list[Any] = []

    async def send(batches: Any) -> dict[Any, int]:
        sent.append(batches)
        return {(each.topic, each.partition): 0 for each in batches}

    async def positions(*_: Any) -> None: ...

    writer._send, writer._send_positions = send, positions  # type: ignore[assignment]
    Producer.commit_transaction = Producer.begin_transaction  # type: ignore[attr-defined]
    committer = Committer(SETTINGS, lambda: nullcontext(writer))
    await committer.ready()

    def part(log: str, outputs: Any) -> Part:
        encoded = committer.encode((log, 0), {b"k": b"v"}, Effects(outputs=outputs), None)
        return Part(Chunk(log, 0, 0, 1, [0], [0], [b"k"], [b"v"]), encoded)

    healthy = part("healthy", [])
    try:
        bad = part("bad", [BAD[0]])
    except TypeError:  # as it should: it is refused where it is folded, and reaches nobody else
        await committer.close()
        return
    told = await asyncio.gather(
        committer.commit(healthy, Member(1, "m")),
        committer.commit(bad, Member(1, "m")),
        return_exceptions=True,
    )
    await committer.close()
    assert not isinstance(told[0], TypeError)  # nothing a healthy partition can get over


@pytest.mark.asyncio
async def test_a_record_whose_output_cannot_be_encoded_is_dead_lettered() -> None:
    """As one that a handler cannot digest. Encodes as the worker does, and commits in memory."""

    def handler(chunk: Chunk, state: State) -> Effects:
        outputs: list[Any] = [
            Output("sums", 0, b"k", "text" if value == b"13" else value)  # type: ignore[arg-type]
            for value in chunk.values
        ]
        return Effects(outputs=outputs, accounting=Accounting(applied=len(chunk)))

    real = TransactionalWriter("t", SETTINGS)

    class Writer(FakeWriter):
        def encode(self, log: Any, state: Any, effects: Effects, timestamp_ms: Any) -> Any:
            encoded = real.encode(log, state, effects, timestamp_ms)
            return encoded, super().encode(log, state, effects, timestamp_ms)

        async def commit(self, parts: Any, member: Member) -> list[int]:
            real._shared([Part(each.chunk, each.encoded[0]) for each in parts])
            return await super().commit(
                [Part(each.chunk, each.encoded[1]) for each in parts], member
            )

    class Partition(FakePartition):
        def writer(self, *_: Any) -> FakeWriter:
            return Writer(self)

    partition = Partition()
    async with running(partition, handler=handler, dead_letters=letters) as it:
        it.submit(numbers(0, 1, 13, 2))
        while partition.committed.get("numbers", 0) < 3:
            await it.done()
    assert [each.topic for each in partition.outputs].count("dlq") == 1
