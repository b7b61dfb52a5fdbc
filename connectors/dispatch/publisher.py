"""Publishing single records and waiting until the broker has them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from runtime.rights import refused
from runtime.serde import Serde
from runtime.tracing import current_headers
from schemas.errors import BrokerUnavailableError
from schemas.routing import partition_of
from schemas.topics import BY_NAME, Route


class Publisher:
    """An asyncio face of a producer. Use as a context manager inside a running event loop.

    The producer's callbacks are served by a thread of their own.
    """

    _POLL_S = 0.1

    def __init__(self, producer: Producer, serde: Serde) -> None:
        self._producer = producer
        self._serde = serde
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="publisher", daemon=True)

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.flush(10.0)
        self._is_closing.set()
        self._thread.join()

    async def publish(self, topic: str, key: str, record: Mapping[str, object]) -> None:
        """Publish a record to its partition; returns once all replicas acknowledged it.

        Raises BrokerUnavailableError where they do not, InvalidEntityError where the record
        breaks its contract.
        """
        entry = BY_NAME[topic]
        route = record.get(entry.route_field) if entry.route_field else None
        co_partition_key = key if entry.route is Route.KEY else str(route or key)
        headers = current_headers()
        more = {"headers": headers} if headers else {}
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[None] = loop.create_future()

        def delivered(error: KafkaError | None, _message: Message) -> None:
            loop.call_soon_threadsafe(_resolve, acknowledged, topic, error)

        try:
            self._producer.produce(
                topic,
                value=self._serde.value(topic, record),
                key=self._serde.key(topic, key),
                partition=partition_of(co_partition_key, entry.partitions),
                on_delivery=delivered,
                **more,
            )
        except (KafkaException, BufferError) as error:
            raise BrokerUnavailableError(f"nothing can be published to {topic}: {error}") from error
        await acknowledged

    def _serve(self) -> None:
        while not self._is_closing.is_set():
            self._producer.poll(self._POLL_S)


def _resolve(acknowledged: asyncio.Future[None], topic: str, error: KafkaError | None) -> None:
    if acknowledged.done():  # the waiting task was cancelled
        return
    if error is None:
        acknowledged.set_result(None)
    else:
        detail = f"the broker did not acknowledge a record of {topic}: {error}"
        acknowledged.set_exception(
            refused(detail, error)
            or BrokerUnavailableError(
                detail, hint="check the broker; the command is looked up again after a restart"
            )
        )
