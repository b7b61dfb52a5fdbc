"""A tap's output, cut into lines of bounded length. Does no IO."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LINE_BYTES_MAX: Final = 16 * 1024 * 1024
HEAD_BYTES: Final = 1024
"""Of a longer line, so much is kept: what tells which message it would have been."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end; `is_cut` where it is only the head of a longer one."""

    data: bytes
    is_cut: bool = False


class Lines:
    """Cuts pieces into lines. Blank lines are none."""

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._max = line_bytes_max
        self._open: list[bytes] = []
        self._size = 0
        self._head: bytes | None = None  # of the open line, once it is too long

    def feed(self, piece: bytes) -> Iterator[Line]:
        """Yield the lines that end in a piece."""
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._add(part)
            yield from self.end()
        self._add(rest)

    def end(self) -> Iterator[Line]:
        """Yield the open line, if there is one: the output has ended."""
        head, data = self._head, b"".join(self._open)
        self._open, self._size, self._head = [], 0, None
        if head is not None:
            yield Line(head, is_cut=True)
        elif data.strip():
            yield Line(data)

    def _add(self, part: bytes) -> None:
        if self._head is not None or not part:
            return
        self._open.append(part)
        self._size += len(part)
        if self._size > self._max:
            self._head = b"".join(self._open)[:HEAD_BYTES]
            self._open = []
