"""An heir is told no position while a transaction that has one is open: not the one before it."""

import asyncio
import gc
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from schemas.errors import BrokerUnavailableError
from streams.engine import Chunk, Effects
from streams.engine.commit import Part, TransactionalWriter
from streams.engine.membership import Member
from streams.engine.state_log import StateLog
from tests.support.engine_testbed import EngineTestbed

pytestmark = pytest.mark.stack


def test_i6_an_heir_waits_for_the_positions_of_an_open_transaction(
    kafka: str, tmp_path: Path
) -> None:
    testbed = EngineTestbed(kafka, tmp_path)
    testbed.create_topics()
    topics, settings = testbed.topics, testbed.settings(transaction_timeout_s=60.0)
    log = StateLog(topics.state, settings)

    def part(writer: TransactionalWriter, end: int) -> Part:
        encoded = writer.encode((topics.state, 0), {b"k": b"%d" % end}, Effects(), None)
        return Part(Chunk(topics.rows, 0, end - 1, end, [end - 1], [0], [b"k"], [b"v"]), encoded)

    def asked() -> int | None:
        return log.source_positions([topics.rows], 0)[topics.rows].committed

    async def story() -> None:
        consumer = AIOKafkaConsumer(
            topics.rows,
            bootstrap_servers=testbed.bootstrap_servers,
            group_id=testbed.app_id,
            enable_auto_commit=False,
        )
        await consumer.start()
        writer = TransactionalWriter("w", settings)
        try:
            of_group = consumer._coordinator
            member = Member(of_group.generation, of_group.member_id)
            await writer.open()
            await writer.commit([part(writer, 1)], member)
            assert await asyncio.to_thread(asked) == 1

            await writer._producer.begin_transaction()
            left = part(writer, 2)
            await writer._send(writer._shared([left]))
            await writer._send_positions([left], member)
            with pytest.raises(BrokerUnavailableError):
                await asyncio.to_thread(asked)
            with pytest.raises(BrokerUnavailableError):
                await asyncio.to_thread(log.bounds, 0)
            (place,) = (tp for tp in consumer.assignment() if tp.partition == 0)
            assert await consumer.committed(place) == 1  # an older one, which fences make good

            heir = TransactionalWriter("w", settings)
            await heir.open()
            assert await asyncio.to_thread(asked) == 1
            await heir.commit([part(heir, 2)], member)
            assert await asyncio.to_thread(asked) == 2
            await heir.close()
        finally:
            await writer.close()
            await consumer.stop()

    asyncio.run(story())
    gc.collect()
    assert testbed.read(topics.state) == [(b"k", b"1"), (b"k", b"2")]
