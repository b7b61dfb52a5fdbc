"""What the normalizer remembers of each source row, as compact bytes.

Position of the last change applied, the partition each canonical record lies on, the co-partition
keys under which those lie that may move, and the texts kept for when the source cannot send them
again. Encoding and decoding work on whole chunks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import add
from typing import Final

import numpy as np
import numpy.typing as npt

NOWHERE: Final = 0xFFFF
"""Partition of a record that is not published: never was, or was deleted."""

Positions = npt.NDArray[np.int64]
Partitions = npt.NDArray[np.uint16]

_LENGTH: Final = struct.Struct("<i")
_NULL: Final = _LENGTH.pack(-1)


@dataclass(frozen=True, slots=True)
class RowMemory:
    """Parallel columns: `positions` (-1: never seen) and `partitions` (row x target)."""

    positions: Positions
    partitions: Partitions

    def __len__(self) -> int:
        return len(self.positions)


class RowMemoryCodec:
    """Memory as `<position i8><partition u2 a target>[<length i4><utf-8> a text]`.

    The texts: one co-partition key a target whose rows move, then one a kept field.
    """

    def __init__(self, targets: int) -> None:
        self._targets = targets
        self._head = np.dtype([("position", "<i8"), ("partitions", "<u2", (targets,))])
        self._unseen = _LENGTH.pack(-1) * 2 + b"\xff\xff" * targets

    def decode(self, values: Sequence[bytes | None]) -> RowMemory:
        """The memory of each row; one never seen (None) has position -1 and lies nowhere."""
        size = self._head.itemsize
        heads = b"".join([self._unseen if value is None else value[:size] for value in values])
        table = np.frombuffer(heads, self._head)
        return RowMemory(table["position"], table["partitions"])

    def texts(self, value: bytes) -> Iterator[str | None]:
        """The texts of one row, in the order they were encoded."""
        at = self._head.itemsize
        while at < len(value):
            (length,) = _LENGTH.unpack_from(value, at)
            at += _LENGTH.size
            yield None if length < 0 else value[at : at + length].decode()
            at += max(length, 0)

    def with_text(self, value: bytes | None, at: int, text: str | None, *, texts: int) -> bytes:
        """The memory of a row, also of one never seen, with another text in one place."""
        if value is None:
            value = self._unseen + _NULL * texts
        kept = [packed(each) for each in self.texts(value)]
        kept[at] = packed(text)
        return value[: self._head.itemsize] + b"".join(kept)

    def has_texts(self, value: bytes, texts: bytes) -> bool:
        """Whether the first texts of a row are these, as `packed` makes them."""
        return value.startswith(texts, self._head.itemsize)

    def encode(self, memory: RowMemory, texts: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The value of each row; `texts` are columns of packed texts."""
        table = np.empty(len(memory), self._head)
        table["position"] = memory.positions
        table["partitions"] = memory.partitions
        heads, size = table.tobytes(), self._head.itemsize
        values = [heads[at : at + size] for at in range(0, len(heads), size)]
        for column in texts:
            values = list(map(add, values, column))
        return values


def packed(text: str | None) -> bytes:
    """A text as it stands in the memory."""
    if text is None:
        return _NULL
    data = text.encode()
    return _LENGTH.pack(len(data)) + data
