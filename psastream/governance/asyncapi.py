"""Topics as an AsyncAPI document: https://www.asyncapi.com/docs/reference/specification/v3.1.0.

Bindings: https://www.asyncapi.com/docs/reference/bindings/kafka.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psastream.governance.published import TITLE, about, product_version, value_record
from schemas.contracts import value_schema
from schemas.topics import Topic

SPECIFICATION: Final = "3.1.0"
KAFKA_BINDING: Final = "0.5.0"
AVRO: Final = "application/vnd.apache.avro;version=1.9.0"


def asyncapi_document(topics: Sequence[Topic]) -> dict[str, Any]:
    """Return the document of topics: a channel, a message and an operation for each."""
    return {
        "asyncapi": SPECIFICATION,
        "info": {
            "title": TITLE,
            "version": product_version(),
            "description": "Streams of a professional-services firm. Keys are Avro strings, values"
            " Avro records, both framed as Confluent's serializers do it. Read what is committed:"
            " `isolation.level=read_committed`.",
        },
        "defaultContentType": "application/vnd.apache.avro",
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {
            topic.name: {"action": "send", "channel": {"$ref": f"#/channels/{topic.name}"}}
            for topic in topics
        },
        "components": {"messages": {topic.name: _message(topic) for topic in topics}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    configuration: dict[str, Any] = {"cleanup.policy": [topic.cleanup.value]}
    if topic.retention_ms is not None:
        configuration["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name,
        "description": about(topic),
        "messages": {"record": {"$ref": f"#/components/messages/{topic.name}"}},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": KAFKA_BINDING,
            }
        },
        "x-owner": topic.owner,
        "x-criticality": topic.criticality.value,
        "x-personal-data": list(topic.personal_data),
    }


def _message(topic: Topic) -> dict[str, Any]:
    return {
        "name": value_schema(topic).name,
        "payload": {"schemaFormat": AVRO, "schema": value_record(topic)},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": topic.key},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }
