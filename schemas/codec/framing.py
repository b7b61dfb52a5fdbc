"""Confluent wire format: one zero byte, the schema id as 4 big-endian bytes, the Avro payload.

Knows nothing of schemas: `record` and `columnar` read what follows the header.
"""

import struct
from typing import Final

from schemas.errors import DecodeError

HEADER_BYTES: Final = 5
SEALED: Final = b"\xf5psaseal"
"""What encrypted bytes begin with. So does no Confluent frame, and no UTF-8."""
_MAGIC: Final = 0
_HEADER: Final = struct.Struct(">BI")


def header(schema_id: int) -> bytes:
    """The 5 bytes in front of every payload written with `schema_id` (0 … 2**32 - 1)."""
    return _HEADER.pack(_MAGIC, schema_id)


def frame(schema_id: int, payload: bytes) -> bytes:
    """Put the header of `schema_id` in front of an Avro payload."""
    return header(schema_id) + payload


def schema_id_of(value: bytes) -> int:
    """The id of the schema `value` was written with.

    Raises DecodeError if the value does not start with a Confluent header.
    """
    if value.startswith(SEALED):
        raise DecodeError(
            "the record is encrypted",
            hint="PSASTREAM_MASTER_KEYS_FILE names the keys it is read with",
        )
    if len(value) < HEADER_BYTES or value[0] != _MAGIC:
        raise DecodeError(
            f"not confluent framed: {len(value)} bytes, the first {value[:1].hex() or 'missing'}",
            hint="check that the producer uses a schema registry serializer",
        )
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def unframe(value: bytes) -> tuple[int, bytes]:
    """Split a framed value into schema id and payload. Raises DecodeError, see schema_id_of."""
    return schema_id_of(value), value[HEADER_BYTES:]
