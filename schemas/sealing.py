"""What is encrypted of which topic, and how it lies in its record. Pure; knows no key.

Of a record whose contract has a field `sealed`, personal fields and pay are taken out and put
there, encrypted: whoever has no key reads the rest. Other records that tell of people are encrypted
whole: nobody but psastream reads them. What is written by a connector of a database is not ours.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, Final

from schemas.codec.record import AvroSchema, JsonObject, RecordCodec, load_schema
from schemas.contracts import record_of
from schemas.errors import DecodeError
from schemas.topics import BY_NAME, SOURCE_PREFIX, Topic

FIELD: Final = "sealed"
FIRM: Final = "firm"
"""Subject of the key for what is about nobody in particular."""
PAY: Final = "pay"
"""Subject of the key for what people cost. It is one for all: who is forgotten has cost something
all the same, and sums must come out as before."""

IN_CLEAR: Final[Mapping[str, str]] = {
    "psa.absence": "ids of people, which stand in other topics, too",
    "psa.employment": "who works, is on leave or has left: sums must come out as before",
    "psa.command_retry": "who gave an order",
    "psa.command_decision": "who decided, and why: an audit trail",
    "psa.dlq_decision": "who decided, and why: an audit trail",
    "psastream-source-orders": "who gave an order, and why",
}
"""Topics of ours that tell of people and are not encrypted, and why."""

_LENGTH: Final = struct.Struct(">I")


class Form(Enum):
    """How a topic's records are encrypted."""

    FIELDS = "fields"
    WHOLE = "whole"


def form_of(topic: Topic) -> Form | None:
    """Return how records of a topic are encrypted; None: not at all."""
    record = record_of(topic)
    if not topic.personal_data or topic.name in IN_CLEAR:
        return None
    if record is None:
        return Form.WHOLE if topic.name in BY_NAME else None  # else a connector's of a database
    return Form.FIELDS if not topic.is_envelope and has_field(record) else Form.WHOLE


def has_field(record: AvroSchema) -> bool:
    """Whether records of a schema may have encrypted fields."""
    return any(each["name"] == FIELD for each in _fields(record))


def shares_of(topic: Topic) -> dict[bool, tuple[str, ...]]:
    """Return the fields to encrypt: under True those that tell what somebody costs."""
    own = tuple(name for name in topic.personal_data if name not in topic.pay_data)
    return {is_pay: names for is_pay, names in ((False, own), (True, topic.pay_data)) if names}


def subject_of_row(topic: str, row_id: str) -> str:
    """Return the person that a row of a topic of a source is: its source id."""
    return f"{topic.removeprefix(f'{SOURCE_PREFIX}.').replace('.', ':')}:{row_id}"


class Share:
    """Some fields of a schema's records, as bytes that say which they are."""

    def __init__(self, schema: AvroSchema, names: Sequence[str]) -> None:
        wanted = [each for each in _fields(schema) if each["name"] in names]
        definition: JsonObject = {"type": "record", "name": "Share", "fields": wanted}
        self.names = tuple(str(each["name"]) for each in wanted)
        self._codec = RecordCodec(load_schema(definition))
        self._head = ",".join(self.names).encode() + b"\0"

    def encode(self, record: Mapping[str, object]) -> bytes:
        """Return these fields of a record."""
        return self._head + self._codec.encode({name: record[name] for name in self.names})

    @staticmethod
    def decode(schema: AvroSchema, data: bytes) -> dict[str, object]:
        """Return the fields that bytes hold of a record of a schema. Raises DecodeError."""
        head, _, payload = data.partition(b"\0")
        return share_of(schema, tuple(head.decode().split(",")))._codec.decode(payload)


@cache
def share_of(schema: AvroSchema, names: tuple[str, ...]) -> Share:
    """Return the share of these fields, made once."""
    return Share(schema, names)


def _fields(schema: AvroSchema) -> list[Any]:
    found: Any = json.loads(schema.text)
    return list(found.get("fields", ())) if isinstance(found, dict) else []


def joined(parts: Sequence[bytes]) -> bytes:
    """Return encrypted parts as the field holds them."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def split(data: bytes) -> Iterator[bytes]:
    """Yield the encrypted parts that the field holds. Raises DecodeError."""
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        if start > len(data) or (at := start + _LENGTH.unpack_from(data, at)[0]) > len(data):
            raise DecodeError("what is encrypted of the record is cut")
        yield data[start:at]
