"""What the normalizer remembers of a database's log as a whole, beside its single rows.

Positions of a log compare only within one timeline. A database that was moved to another server
counts anew, often from lower numbers, and everything it tells would seem stale. It is taken in
with a new snapshot, whose reads stand at the present end of the log: a read that is younger than
all that was seen and has a lower position shows that the count has begun again. From there on
positions are shifted, so that they begin where the former ones ended.

A partition on which the snapshot read no row is told by what is streamed: Debezium's `sequence`
names the last commit before a change, and commits come in the order of their log. A change that is
younger than all that was seen and names an earlier commit belongs to another log. (Its own position
proves nothing: a long transaction writes early and commits late.)

A truncation waits for every transaction that writes to its table, and lets none begin: it stands
behind all changes of the table before it. So one that is younger than all that was seen and has a
lower position belongs to another log too. Its copies come to other partitions out of order, behind
changes of theirs that are newer, which a clock that was set back may have called older: they must
be younger by more than that. A copy that is older than the first change of the present log, or than
the first that a partition saw, tells of what was before, and so does one that is older than a
change and stands behind all of them: it empties nothing of the present log, however high its
position, which counts in another.

Whoever has a topic read again into the state there is meets the records of former logs. They are
known by where the present log began in the topic, and by their time, for a topic that was made
anew begins at 0 too. They are older than all that was applied.

A truncated table is empty as of the position of the truncation, whatever partition its rows lie
on and in whatever order they come in.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from datetime import timedelta
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from runtime.clocks import SKEW
from schemas.position import snapshot_reads

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_NUMBER: Final = struct.calcsize("<q")
_LIMIT: Final = 2**63 - 1
_COMMIT: Final = r'^\["([0-9]+)",'
_FIRST_OF_A_SLOT: Final = "[null,"
_SKEW_MS: Final = SKEW // timedelta(milliseconds=1)


def log_key(topic: str) -> bytes:
    """Key of the memory of a source topic; no row's id begins like it."""
    return b"source|" + topic.encode()


@dataclass(frozen=True, slots=True)
class SourceLog:
    """`shift` is added to every position. `newest` and `newest_at_ms` are the largest position and
    time of change seen, `emptied_at` the position of the last truncation, `commit` the newest
    commit named, as the present log counts, `began_at_ms` the time of the first change of the
    present log and `began_at` its offset in the topic, where another went before; -1: none yet.
    """

    shift: int = 0
    newest: int = -1
    newest_at_ms: int = -1
    emptied_at: int = -1
    commit: int = -1
    began_at_ms: int = -1
    began_at: int = -1

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> Self:
        """Inverse of `to_bytes`; of nothing, a log of which nothing was seen."""
        if stored is None:
            return cls()
        return cls(*struct.unpack(f"<{len(stored) // _NUMBER}q", stored))

    def to_bytes(self) -> bytes:
        """The seven numbers; there may have been fewer."""
        return struct.pack("<7q", *astuple(self))

    def after(
        self,
        positions: Positions,
        sources: pl.Series,
        offsets: Positions,
        *,
        is_truncation: Flags,
        is_copy: Flags,
    ) -> tuple[Self, Positions, Positions]:
        """The log after changes at `positions` (-1: none), in order, with their `source` structs
        and their offsets in the topic.

        `is_copy`: a truncation that another partition handed on.
        Returns it with the positions to go by, comparable across timelines, and for each where
        its log begins.
        """
        told_ms = sources.struct.unnest()["ts_ms"]
        at_ms = (told_ms.fill_null(-1) if told_ms.null_count() else told_ms).to_numpy()
        is_read = snapshot_reads(sources).to_numpy() & (positions >= 0)
        ends_all = is_read | (is_truncation & (positions >= 0))
        margin_ms = np.where(is_copy, _SKEW_MS, 0)
        shift, newest, newest_at_ms = self.shift, self.newest, self.newest_at_ms
        commit, began_at_ms, began_at = self.commit, self.began_at_ms, self.began_at
        is_reread = (offsets < began_at) & (at_ms < began_at_ms) & (positions >= 0)
        commits = np.where(is_reread, -1, _commits(sources, is_read))
        if newest < 0 and len(at_ms):
            began_at_ms = int(at_ms[0])
        settled, begins = np.empty_like(positions), np.empty_like(positions)
        start = 0
        while True:
            rest = _shifted(positions[start:], shift)
            before_ms = np.maximum.accumulate(np.concatenate([[newest_at_ms], at_ms[start:]]))
            before = np.maximum.accumulate(np.concatenate([[newest], rest]))
            is_former = at_ms[start:] < began_at_ms - _SKEW_MS
            is_former |= (rest > before[:-1]) & (at_ms[start:] < before_ms[:-1] - _SKEW_MS)
            rest = np.where(is_former & is_copy[start:], shift, rest)
            rest = np.where(is_reread[start:], 0, rest)
            before = np.maximum.accumulate(np.concatenate([[newest], rest]))
            before_commit = np.maximum.accumulate(np.concatenate([[commit], commits[start:]]))
            begins_anew = ends_all[start:] & (rest < before[:-1])
            begins_anew &= at_ms[start:] > before_ms[:-1] + margin_ms[start:]
            is_younger = at_ms[start:] > before_ms[:-1] + _SKEW_MS
            named = commits[start:]
            begins_anew |= (named >= 0) & (named < before_commit[:-1]) & is_younger
            settled[start:], begins[start:] = rest, shift
            if not begins_anew.any():
                break
            at = int(begins_anew.argmax())
            newest, newest_at_ms, commit = int(before[at]), int(before_ms[at]), -1
            start += at
            began_at_ms, began_at = int(at_ms[start]), int(offsets[start])
            # Not where this change ends: what is streamed later may have been written earlier.
            shift = min(newest + 1, _LIMIT)
        ends = int(before[-1]), int(before_ms[-1]), self.emptied_at, int(before_commit[-1])
        return type(self)(shift, *ends, began_at_ms, began_at), settled, begins


def _commits(sources: pl.Series, is_read: npt.NDArray[np.bool_]) -> Positions:
    """The last commit before each streamed change, -1 where none is told.

    The first transaction of a slot has none before it; all of it was written after the slot began.
    """
    sequence = pl.col("sequence")
    named = sequence.str.extract(_COMMIT).cast(pl.Int64, strict=False)
    first = pl.when(sequence.str.starts_with(_FIRST_OF_A_SLOT)).then("lsn")
    commits = sources.struct.unnest().select(pl.coalesce(named, first, -1))
    return np.where(is_read, -1, commits.to_series().to_numpy())


def _shifted(positions: Positions, shift: int) -> Positions:
    """Positions moved by `shift`, at most at the end of their range; invalid ones stay so."""
    if shift == 0:
        return positions
    moved = np.minimum(positions, _LIMIT - max(shift, 0)) + shift
    return np.where(positions < 0, positions, moved)
