"""A simulated vendor of two objects: late commits, shared stamps, lagging replicas, deletes.

`logged` tells deletes by its log, `flagged` by a flag of the row, for good. What happens is drawn
by the seed and the time alone, whoever reads. Times are seconds.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from connectors.polled.model import DeleteFeed, DeletePage, Deletion, Page, ReaderTraits, Row
from tests.support.polled import START

OBJECTS: Final = ("logged", "flagged")
LATE_S: Final = 120
LAG_S: Final = 30
REACH_S: Final = 600
"""The overlap that the stream keeps to: a row is restored with its old stamp within it alone."""
TIES: Final = 400
PAGE: Final = 200
TAIL: Final = "￿"


@dataclass(frozen=True, slots=True)
class Version:
    """A row as a transaction left it. `is_silent`: gone without a trace."""

    number: int
    stamp: int
    visible_at: float
    is_deleted: bool = False
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Happened:
    """A change that a poll must have shown that begins later than `due_at`."""

    due_at: float
    row_id: str
    is_silent: bool


def at(seconds: float) -> datetime:
    """Return the instant."""
    return START + timedelta(seconds=seconds)


def seconds(instant: datetime) -> float:
    """Return the seconds of an instant."""
    return (instant - START).total_seconds()


class Table:
    """The rows of one object, and what readers may see of them."""

    def __init__(self, obj: str) -> None:
        self.is_flagged = obj == "flagged"
        self.rows: dict[str, list[Version]] = {}
        self.happened: deque[Happened] = deque()
        self.deletes = 0
        self.restored = 0
        self._by_stamp: list[tuple[int, str]] = []
        self._log: list[tuple[int, str, float]] = []
        self._living: list[str] = []
        self._recent: deque[str] = deque(maxlen=4 * TIES)
        self._gone: deque[str] = deque(maxlen=4 * TIES)

    def transact(self, rng: random.Random, now_s: float, count: int) -> int:
        """Let a transaction change up to so many rows, at one stamp; return how many."""
        late_s = rng.choice((0, 0, 0, 1, rng.uniform(0, LATE_S), LATE_S))
        match rng.random():
            case draw if draw < 0.30 or len(self._living) < TIES:
                return self._create(now_s, late_s, count)
            case draw if draw < 0.65:
                rows = self._free(rng, now_s, self._living, count)
                for row_id in rows:
                    self._write(row_id, now_s, late_s)
                self._recent.extend(rows)
            case draw if draw < 0.85:
                rows = self._doomed(rng, now_s, count)
                for row_id in rows:
                    self._delete(rng, row_id, now_s, late_s)
            case draw if draw < 0.97:
                rows = self._free(rng, now_s, list(self._gone), count)
                for row_id in rows:
                    self._restore(rng, row_id, now_s, late_s)
            case _:
                rows = self._free(rng, now_s, self._living, 1)
                for row_id in rows:
                    self._end(row_id, Version(-1, 0, now_s + late_s, is_silent=True))
        return len(rows)

    def _create(self, now_s: float, late_s: float, count: int) -> int:
        for _ in range(count):
            row_id = f"r{len(self.rows):08d}"
            self.rows[row_id] = []
            self._living.append(row_id)
            self._write(row_id, now_s, late_s)
            self._recent.append(row_id)
        return count

    def _doomed(self, rng: random.Random, now_s: float, count: int) -> list[str]:
        few = min(count, 1 + len(self._living) // 50)
        recent = sorted(set(self._recent)) if rng.random() < 0.7 else self._living
        rows = self._free(rng, now_s, recent, few)
        return [row_id for row_id in rows if not self._is_gone(row_id)]

    def _is_gone(self, row_id: str) -> bool:
        last = self.rows[row_id][-1]
        return last.is_deleted or last.is_silent

    def _free(self, rng: random.Random, now_s: float, among: list[str], count: int) -> list[str]:
        """Rows that no transaction holds: each change is committed before the next begins."""
        drawn = rng.sample(among, min(count, len(among)))
        return [row_id for row_id in drawn if self.rows[row_id][-1].visible_at <= now_s]

    def _write(self, row_id: str, now_s: float, late_s: float) -> None:
        self._stamp(row_id, int(now_s))
        number = len(self.rows[row_id])
        self.put(row_id, Version(number, int(now_s), now_s + late_s))

    def _stamp(self, row_id: str, stamp: int) -> None:
        versions = self.rows[row_id]
        if not versions or versions[-1].stamp != stamp:
            insort(self._by_stamp, (stamp, row_id))

    def put(self, row_id: str, version: Version) -> None:
        """Let a row become what it is now."""
        self.rows[row_id].append(version)
        due_at = version.visible_at + LAG_S
        self.happened.append(Happened(due_at, row_id, version.is_silent))

    def _delete(self, rng: random.Random, row_id: str, now_s: float, late_s: float) -> None:
        self.deletes += 1
        last = self.rows[row_id][-1]
        told_at = now_s + (late_s if rng.random() < 0.5 else 0)
        self._log.append((int(now_s), row_id, told_at))
        stamp = int(now_s) if self.is_flagged else last.stamp
        self._stamp(row_id, stamp)
        self._end(row_id, Version(last.number, stamp, now_s + late_s, is_deleted=True))
        self._gone.append(row_id)

    def _end(self, row_id: str, version: Version) -> None:
        self.put(row_id, version)
        self._living.pop(bisect_left(self._living, row_id))

    def _restore(self, rng: random.Random, row_id: str, now_s: float, late_s: float) -> None:
        gone = self.rows[row_id][-1]
        self._gone.remove(row_id)
        insort(self._living, row_id)
        self.restored += 1
        is_in_reach = gone.stamp >= now_s + late_s + LAG_S - REACH_S
        if self.is_flagged or not is_in_reach or rng.random() < 0.3:
            self._write(row_id, now_s, late_s)
        else:
            self.put(row_id, Version(gone.number, gone.stamp, now_s + late_s))

    def seen(self, row_id: str, seen_at: float) -> Version | None:
        """What a reader sees of a row that sees what was visible then."""
        for version in reversed(self.rows[row_id]):
            if version.visible_at <= seen_at:
                is_hidden = version.is_silent or (version.is_deleted and not self.is_flagged)
                return None if is_hidden else version
        return None

    def page(
        self, after: tuple[int, str], seen_at: float, limit: int = PAGE
    ) -> list[tuple[str, Version]]:
        """Rows behind a place, in the order of stamp and id."""
        found: list[tuple[str, Version]] = []
        for place in range(bisect_right(self._by_stamp, after), len(self._by_stamp)):
            stamp, row_id = self._by_stamp[place]
            version = self.seen(row_id, seen_at)
            if version is not None and version.stamp == stamp:
                found.append((row_id, version))
                if len(found) == limit:
                    break
        return found

    def log(self, since: float, now_s: float) -> list[tuple[int, str]]:
        """Deletes since then that the log tells by now."""
        first = bisect_left(self._log, (int(since), "", 0.0))
        return [(stamp, row_id) for stamp, row_id, told_at in self._log[first:] if told_at <= now_s]


@dataclass
class Vendor:
    """Time, and what happens in it until so many rows were changed."""

    records: int
    seed: int
    length_s: float
    ties: int = TIES
    now_s: float = 0.0
    changed: int = 0
    tables: dict[str, Table] = field(default_factory=lambda: {obj: Table(obj) for obj in OBJECTS})

    def __post_init__(self) -> None:
        self._rng = random.Random(f"vendor {self.seed}")
        self._next_s = 0.0

    def wait(self, for_s: float) -> None:
        """Let time pass, and happen what does meanwhile."""
        self.now_s += for_s
        while self._next_s <= self.now_s and self.changed < self.records:
            rng = self._rng
            count = min(rng.choice((1, 1, 1, 5, 20, self.ties)), self.records - self.changed)
            table = self.tables[rng.choice(OBJECTS)]
            before = self.changed
            self.changed += table.transact(rng, self._next_s, count)
            pause_s = (self.changed - before) * self.length_s / self.records
            self._next_s += rng.uniform(0, 2 * pause_s) + 0.01

    def clock(self) -> datetime:
        """The time here and there."""
        return at(self.now_s)


@dataclass
class Reader:
    """An object read for real time and by replicas, another for each page.

    `before_all_rows` runs before a scan of all rows, `between_pages` before each further page.
    """

    vendor: Vendor
    obj: str
    rng: random.Random
    before_all_rows: Callable[[], None]
    between_pages: Callable[[], None]

    @property
    def traits(self) -> ReaderTraits:
        """How this object tells deletes."""
        is_flagged = self.obj == "flagged"
        feed = DeleteFeed.AT_SWEEP if is_flagged else DeleteFeed.EVERY_POLL
        return ReaderTraits(delete_feed=feed)

    def key(self, row_id: str) -> Mapping[str, object]:
        """Name a row."""
        return {"Id": row_id}

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield pages in the order of change."""
        if since is None:
            self.before_all_rows()
        table = self.vendor.tables[self.obj]
        after = (-1, "") if since is None else (int(seconds(since)), "")
        while True:
            server_at = self.vendor.clock()
            found = table.page(after, self.vendor.now_s - self.rng.uniform(0, LAG_S))
            rows = [_row(row_id, version) for row_id, version in found]
            yield Page(rows, server_at=server_at, reached=rows[-1].modified_at if rows else None)
            if len(found) < PAGE:
                return
            after = (found[-1][1].stamp, found[-1][0])
            self.vendor.wait(self.rng.uniform(0, 1))
            self.between_pages()

    async def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        """Yield the log; the primary tells it."""
        table = self.vendor.tables[self.obj]
        told = table.log(seconds(since), self.vendor.now_s)
        for start in range(0, max(len(told), 1), PAGE):
            page = told[start : start + PAGE]
            yield DeletePage([Deletion(row_id, at(stamp)) for stamp, row_id in page])
            self.between_pages()


def _row(row_id: str, version: Version) -> Row:
    values = {"Id": row_id, "number": version.number}
    return Row(row_id, values, at(version.stamp), version.is_deleted)
