"""Bodies of HTTP answers, bounded before anything believes them.

What a server sends may be larger than it says, unpack to a thousand times its size, nest without
end or hold numbers no arithmetic survives. Here it is read in pieces up to a limit, unpacked up to
the same limit, and parsed into plain values of bounded depth and count (RFC 8259; I7: numbers with
a fraction become `Decimal`, never float).
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, Final

import aiohttp

ACCEPT_ENCODING: Final = "gzip"
"""The only content coding asked for, so the only one that is unpacked."""

NUMBER_LENGTH_MAX: Final = 60
NUMBER_EXPONENT_MAX: Final = 60
THREAD_FROM_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 64 * 1024
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
_BOM: Final = b"\xef\xbb\xbf"
_TEXT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
"""A text as JSON writes it, or an open one to the end: found in one pass, whatever it holds."""

_CONTAINERS: Final = frozenset({dict, list})


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a body may be: bytes as sent and as unpacked, values in it, nesting.

    `keeps_doubled`: a name that occurs twice in an object has the value `SEVERAL`, which fits no
    contract. So it is a problem of the row that holds it, where rows are read one by one.
    """

    size_bytes: int = 16 * 1024 * 1024
    values: int = 1_000_000
    depth: int = 32
    keeps_doubled: bool = False


ROWS: Final = Bounds(keeps_doubled=True)
"""For pages of rows."""


class Several:
    """In the place of the values of a name that occurs twice: nobody can tell which is meant."""

    def __repr__(self) -> str:
        return "several values"


SEVERAL: Final = Several()


class UnusableBodyError(ValueError):
    """A body that is too large, cannot be unpacked or is not JSON; the text says which."""


async def read_body(answer: aiohttp.ClientResponse, bounds: Bounds) -> bytes:
    """Return the unpacked body of an answer of a session that unpacks nothing by itself.

    Raises UnusableBodyError, and what aiohttp raises where the answer ends early.
    """
    unpack = _unpacker(answer.headers.getall("Content-Encoding", []), bounds)
    body = bytearray()
    sent_bytes = 0
    async for piece in answer.content.iter_chunked(_PIECE_BYTES):
        sent_bytes += len(piece)
        body += piece if unpack is None else unpack.feed(piece, bounds.size_bytes - len(body))
        if max(sent_bytes, len(body)) > bounds.size_bytes:
            raise _too_large(bounds)
    if unpack is not None:
        unpack.close()
    return bytes(body)


def _too_large(bounds: Bounds) -> UnusableBodyError:
    return UnusableBodyError(f"more than {bounds.size_bytes} bytes")


def _unpacker(encodings: Sequence[str], bounds: Bounds) -> _Gzip | None:
    names = [name.strip().lower() for encoding in encodings for name in encoding.split(",")]
    names = [name for name in names if name not in {"", "identity"}]
    if not names:
        return None
    if names not in (["gzip"], ["x-gzip"]):
        raise UnusableBodyError("a content coding nobody asked for")
    return _Gzip(bounds)


class _Gzip:
    """Unpacks one or more gzip members (RFC 1952), never more than asked for."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._member = zlib.decompressobj(_GZIP_BITS)
        self._is_empty = True

    def feed(self, piece: bytes, room_bytes: int) -> bytes:
        """Unpack a piece; at most one byte more than `room_bytes`, which tells that it is full."""
        unpacked = bytearray()
        self._is_empty = False
        while piece and len(unpacked) <= room_bytes:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP_BITS)
            try:
                unpacked += self._member.decompress(piece, room_bytes - len(unpacked) + 1)
            except zlib.error as error:
                raise UnusableBodyError("not the gzip it claims to be") from error
            piece = self._member.unconsumed_tail or self._member.unused_data
        if piece:
            raise _too_large(self._bounds)
        return bytes(unpacked)

    def close(self) -> None:
        """Raise UnusableBodyError where the last member was cut."""
        if not self._is_empty and not self._member.eof:
            raise UnusableBodyError("cut gzip")


async def parse_in_bounds(data: bytes, bounds: Bounds) -> Any:
    """Parse JSON, beside the event loop where it is long. Raises UnusableBodyError."""
    if len(data) < THREAD_FROM_BYTES:
        return parse_json(data, bounds)
    return await asyncio.to_thread(parse_json, data, bounds)


def parse_json(data: bytes, bounds: Bounds = Bounds()) -> Any:
    """Parse JSON of UTF-8, with or without a byte order mark. Raises UnusableBodyError.

    A number that is longer or larger than any contract holds, NaN and the infinities are handed
    on as their text: the row that holds one is refused, its page is not. A name that occurs twice
    in an object is an error, but where `bounds` keep it.
    """
    if len(data) > bounds.size_bytes:
        raise _too_large(bounds)
    # Every value but the first follows one of these, so they bound the count before the parse.
    if _marks(data) > bounds.values and _marks(_TEXT.sub(b"", data)) > bounds.values:
        raise UnusableBodyError(f"more than {bounds.values} values")
    try:
        parsed = json.loads(
            data.removeprefix(_BOM).decode("utf-8"),
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=str,
            object_pairs_hook=_object_of_a_row if bounds.keeps_doubled else _object,
        )
    except UnusableBodyError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnusableBodyError("not JSON") from error
    if _is_deeper(parsed, bounds.depth):
        raise UnusableBodyError(f"nested more than {bounds.depth} deep")
    return parsed


def dump_json(value: object) -> bytes:
    """Encode JSON; decimals become strings of exactly their digits."""
    return json.dumps(value, default=_decimal_as_text, separators=(",", ":")).encode()


def _decimal_as_text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    msg = f"cannot encode {type(value).__name__} as JSON"
    raise TypeError(msg)


def _decimal(text: str) -> Decimal | str:
    if len(text) > NUMBER_LENGTH_MAX:
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of more digits than the machine counts
        return text
    exponent = number.as_tuple().exponent
    is_usable = isinstance(exponent, int) and (
        exponent >= -NUMBER_EXPONENT_MAX and number.adjusted() <= NUMBER_EXPONENT_MAX
    )
    return number if is_usable else text


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= NUMBER_LENGTH_MAX else text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise UnusableBodyError("a name occurs twice in an object")
    return parsed


def _object_of_a_row(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        names = Counter(name for name, _ in pairs)
        parsed |= {name: SEVERAL for name, count in names.items() if count > 1}
    return parsed


def _marks(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _is_deeper(value: object, depth: int) -> bool:
    """Whether containers nest more than `depth` deep."""
    level = [value]
    for _ in range(depth):
        if _CONTAINERS.isdisjoint(map(type, level)):
            return False
        objects = [each.values() for each in level if type(each) is dict]
        lists = [each for each in level if type(each) is list]
        level = [*chain.from_iterable(objects), *chain.from_iterable(lists)]
    return not _CONTAINERS.isdisjoint(map(type, level))
