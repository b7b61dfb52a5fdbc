import pytest

from schemas.codec.framing import frame, header, schema_id_of, unframe
from schemas.errors import DecodeError


def test_a_header_is_magic_zero_and_the_id_in_big_endian() -> None:
    assert header(0x01020304) == b"\x00\x01\x02\x03\x04"


def test_unframe_gives_back_what_was_framed() -> None:
    assert unframe(frame(2**32 - 1, b"payload")) == (2**32 - 1, b"payload")
    assert unframe(frame(7, b"")) == (7, b"")


@pytest.mark.parametrize("value", [b"", b"\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01x", b'{"a":1}'])
def test_a_value_without_header_is_a_decode_error(value: bytes) -> None:
    with pytest.raises(DecodeError, match="not confluent framed"):
        schema_id_of(value)
