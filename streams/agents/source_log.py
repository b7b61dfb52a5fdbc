"""What the normalizer remembers of a database's log as a whole, beside its single rows.

Positions of a log compare only within one timeline. A database that was moved to another server
counts anew, often from lower numbers, and everything it tells would seem stale. It is taken in
with a new snapshot, whose reads stand at the present end of the log: a read that is younger than
all that was seen and has a lower position shows that the count has begun again. From there on
positions are shifted, so that they go on where the former ones ended.

A truncated table is empty as of the position of the truncation, whatever partition its rows lie
on and in whatever order they come in.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.position import snapshot_reads

Positions = npt.NDArray[np.int64]

_LAYOUT: Final = struct.Struct("<qqqq")
_LIMIT: Final = 2**63 - 1


def log_key(topic: str) -> bytes:
    """Key of the memory of a source topic; no row's id begins like it."""
    return b"source|" + topic.encode()


@dataclass(frozen=True, slots=True)
class SourceLog:
    """`shift` is added to every position. `newest` and `newest_at_ms` are the largest position and
    time of change seen, `emptied_at` the position of the last truncation; -1: none yet.
    """

    shift: int = 0
    newest: int = -1
    newest_at_ms: int = -1
    emptied_at: int = -1

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> Self:
        """Inverse of `to_bytes`; of nothing, a log of which nothing was seen."""
        return cls() if stored is None else cls(*_LAYOUT.unpack(stored))

    def to_bytes(self) -> bytes:
        """The four numbers."""
        return _LAYOUT.pack(self.shift, self.newest, self.newest_at_ms, self.emptied_at)

    def after(self, positions: Positions, sources: pl.Series) -> tuple[Self, Positions]:
        """The log after changes at `positions` (-1: none), in order, with their `source` structs.

        Returns it with the positions to go by: comparable across timelines.
        """
        at_ms = sources.struct.field("ts_ms").fill_null(-1).to_numpy()
        is_read = snapshot_reads(sources).to_numpy() & (positions >= 0)
        shift, newest, newest_at_ms = self.shift, self.newest, self.newest_at_ms
        settled = np.empty_like(positions)
        start = 0
        while True:
            rest = _shifted(positions[start:], shift)
            before = np.maximum.accumulate(np.concatenate([[newest], rest]))
            before_ms = np.maximum.accumulate(np.concatenate([[newest_at_ms], at_ms[start:]]))
            begins_anew = is_read[start:] & (rest < before[:-1]) & (at_ms[start:] > before_ms[:-1])
            settled[start:] = rest
            if not begins_anew.any():
                break
            at = int(begins_anew.argmax())
            newest, newest_at_ms = int(before[at]), int(before_ms[at])
            start += at
            shift = newest + 1 - int(positions[start])
        log = type(self)(shift, int(before[-1]), int(before_ms[-1]), self.emptied_at)
        return log, settled


def _shifted(positions: Positions, shift: int) -> Positions:
    """Positions moved by `shift`, at most at the end of their range; invalid ones stay so."""
    if shift == 0:
        return positions
    moved = np.minimum(positions, _LIMIT - max(shift, 0)) + shift
    return np.where(positions < 0, positions, moved)
