"""Message keys: Avro strings in Confluent framing, one at a time or a column of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.errors import DecodeError
from schemas.framing import HEADER_BYTES, header

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


def decode_keys(data: Sequence[bytes]) -> list[str]:
    """Decode a column of keys. Raises DecodeError for the first that is none."""
    return [decode_key(key) for key in data]
