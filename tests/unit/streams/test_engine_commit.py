"""The transactional writer when connections are lost at the wrong moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from schemas.errors import BrokerUnavailableError
from streams.engine import EngineSettings
from streams.engine.commit import TransactionalWriter
from streams.engine.connection import losses_told
from streams.engine.errors import CommitOutcomeUnknownError
from streams.engine.membership import NOBODY

SETTINGS = EngineSettings(
    app_id="a", bootstrap_servers="127.0.0.1:1", state_dir=Path("x"), request_timeout_s=5.0
)


async def write_to_a_closed_connection() -> None:
    """What aiokafka does with a connection that uvloop has closed meanwhile. Raises its error."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
    transport.abort()
    await asyncio.sleep(0)
    server.close()
    transport.write(b"x")


class Connection:
    """A connection of a client that was not closed yet."""

    is_open = True

    def close(self, reason: object = None) -> asyncio.Future[None]:
        self.is_open = False
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ended.set_result(None)
        return ended


def run(story: Callable[[TransactionalWriter, AIOKafkaProducer], Awaitable[None]]) -> None:
    async def told() -> None:
        writer = TransactionalWriter("t", SETTINGS)
        producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", transactional_id="t")
        writer._producer = producer
        await story(writer, producer)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(told())


@pytest.mark.fault("D11", place="streams/engine/connection.py")
def test_d11_a_producer_whose_connection_was_lost_is_closed_with_its_other_connections() -> None:
    async def story(writer: TransactionalWriter, producer: AIOKafkaProducer) -> None:
        connection = Connection()
        producer.client._conns = {(0, 0): connection}
        lost = asyncio.ensure_future(write_to_a_closed_connection())
        await asyncio.wait([lost])
        assert isinstance(lost.exception(), RuntimeError)
        producer.client._sync_task = lost
        await writer.close()
        assert not connection.is_open
        await writer.close()

    run(story)


@pytest.mark.fault("D11", place="streams/engine/connection.py")
def test_d11_a_transaction_whose_connection_was_lost_has_an_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(writer: TransactionalWriter, producer: AIOKafkaProducer) -> None:
        monkeypatch.setattr(producer, "begin_transaction", write_to_a_closed_connection)
        with pytest.raises(CommitOutcomeUnknownError):
            await writer.commit([], NOBODY)

    run(story)


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("no"), TimeoutError(), AssertionError("Did we not bootstrap?")]
)
def test_a_producer_that_finds_no_broker_says_so(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    async def start(_: AIOKafkaProducer) -> None:
        raise error

    async def story(writer: TransactionalWriter, _: AIOKafkaProducer) -> None:
        monkeypatch.setattr(AIOKafkaProducer, "start", start)
        with pytest.raises(BrokerUnavailableError):
            await writer.open()

    run(story)


@pytest.mark.fault("D11", place="streams/engine/connection.py")
def test_d11_a_producer_that_loses_its_connection_at_the_start_is_no_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def start(_: AIOKafkaProducer) -> None:
        await write_to_a_closed_connection()

    async def story(writer: TransactionalWriter, _: AIOKafkaProducer) -> None:
        monkeypatch.setattr(AIOKafkaProducer, "start", start)
        with pytest.raises(BrokerUnavailableError):
            await writer.open()

    run(story)


def test_another_error_of_ours_is_no_lost_connection() -> None:
    with pytest.raises(RuntimeError, match=r"^ours$"), losses_told():
        raise RuntimeError("ours")
    with pytest.raises(KafkaConnectionError), losses_told():
        raise RuntimeError("unable to write: <TCPTransport closed=True reading=False>")


@pytest.mark.parametrize(("batch", "largest"), [(1_000, 2**20), (2**20, 2**21)])
def test_a_record_of_two_batches_and_of_a_mebibyte_can_be_written(
    monkeypatch: pytest.MonkeyPatch, batch: int, largest: int
) -> None:
    sizes: list[int] = []

    async def start(producer: AIOKafkaProducer) -> None:
        sizes.append(producer._max_request_size)

    async def story(_: TransactionalWriter, __: AIOKafkaProducer) -> None:
        monkeypatch.setattr(AIOKafkaProducer, "start", start)
        settings = SETTINGS.model_copy(update={"batch_max_bytes": batch})
        await TransactionalWriter("t", settings).open()

    run(story)
    assert sizes == [largest]


def test_a_producer_that_cannot_start_is_tried_by_another_id_and_no_other_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A transaction with a partition that has no leader is open as long as that: nobody waits."""
    ids: list[str] = []
    fates: list[BaseException | None] = [KafkaConnectionError("no leader"), None, None]

    async def start(producer: AIOKafkaProducer) -> None:
        ids.append(producer._txn_manager.transactional_id)
        if (fate := fates.pop(0)) is not None:
            raise fate

    async def story(writer: TransactionalWriter, _: AIOKafkaProducer) -> None:
        monkeypatch.setattr(AIOKafkaProducer, "start", start)
        with pytest.raises(BrokerUnavailableError, match="cannot start"):
            await writer.open()
        await writer.open()
        await writer.open()

    run(story)
    assert ids[0] == "t"
    assert ids[1].startswith("t-") and ids[1] == ids[2]
