"""Message keys: what they say, and their bytes (Avro strings in Confluent framing).

A record's key alone decides its partition, so that a topic is a table to whoever reads it by key:
each key lives on one partition, and its last record there is the row. A row that may change its
co-partition key therefore carries it in the message key, `<co-partition key>|<row id>`. When it
moves, the former key is deleted and another one written; which of both partitions a reader
reaches first does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.codec.framing import HEADER_BYTES, header
from schemas.errors import DecodeError

KEY_SCHEMA: Final = '"string"'
"""Schema of the message key of every topic in the catalogue that has a record."""


def _length(size: int) -> bytes:
    """Avro's length prefix: zigzag, seven bits a byte, lowest first."""
    value = size << 1
    prefix = bytearray()
    while value > 0x7F:
        prefix.append(value & 0x7F | 0x80)
        value >>= 7
    prefix.append(value)
    return bytes(prefix)


SEPARATOR: Final = "|"
"""Between the parts of a key; no row id holds it (`schemas.identity.native_id`)."""


def row_key(co_partition_key: str, row_id: str) -> str:
    """Return the message key of a row that may move."""
    return f"{co_partition_key}{SEPARATOR}{row_id}"


def row_id_of(key: str) -> str:
    """Return the id of the row in a `row_key`."""
    return key.rpartition(SEPARATOR)[2]


_LENGTHS: Final = tuple(_length(size) for size in range(512))


def encode_keys(schema_id: int, keys: Iterable[str]) -> list[bytes]:
    """Encode keys under the schema id of an Avro string."""
    prefix = header(schema_id)
    encoded = [key.encode() for key in keys]
    return [
        prefix + (_LENGTHS[len(key)] if len(key) < len(_LENGTHS) else _length(len(key))) + key
        for key in encoded
    ]


def decode_key(data: bytes) -> str:
    """Decode one key. Raises DecodeError where the bytes are not a framed Avro string."""
    size = shift = 0
    position = HEADER_BYTES
    for byte in data[HEADER_BYTES : HEADER_BYTES + 5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        position += 1
        if byte < 0x80:
            break
    text = data[position:]
    if data[:1] != b"\0" or len(text) != size >> 1 or size & 1:
        raise DecodeError("the message key is not a framed avro string")
    return text.decode()
