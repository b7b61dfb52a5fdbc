"""What producers of tests have in common with the client: several messages are taken at once."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException


class Together:
    """Takes several messages as the client does: each that it does not take has its error."""

    produce: Any

    def produce_batch(self, topic: str, messages: list[dict[str, Any]]) -> int:
        """Return how many were taken; behind one without room there is none."""
        is_full = False
        for each in messages:
            key, value, partition = each["key"], each["value"], each["partition"]
            try:
                if is_full:
                    raise BufferError
                self.produce(
                    topic, key=key, value=value, partition=partition, on_delivery=each["callback"]
                )
            except BufferError:
                is_full = True
                each["_error"] = KafkaError(KafkaError._QUEUE_FULL)
            except KafkaException as error:
                each["_error"] = error.args[0]
        return sum("_error" not in each for each in messages)
