"""Proves that polls miss nothing: `python -m tests.prove.capture --records 1000000`.

The poller of the product reads two objects of a simulated vendor, whose clock is the only one: rows
are committed up to two minutes late, hundreds share a stamp, each page is answered by a replica
that is up to half a minute behind, rows are deleted and restored, and the poller ends at any page
or commit and goes on from its bookmark. A row must be right after the first whole poll that begins
once every replica shows it, and stay so: sweeps only find what went without a trace. Beside it a
poller with no more than a cursor reads the same at the same times.

A batch is visible whole or not at all, which `connectors.polled.kafka_log` proves elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from connectors.polled.bookmark import Batch, Bookmark, Phase
from connectors.polled.ledger import Entry, Ledger
from connectors.polled.poller import ObjectPoller
from schemas.errors import TransientError
from tests.prove.capture_judge import Judge
from tests.prove.capture_vendor import (
    LAG_S,
    LATE_S,
    OBJECTS,
    PAGE,
    REACH_S,
    TAIL,
    TIES,
    Reader,
    Vendor,
)
from tests.support.polled import make_config

POLL_S: Final = 60
SWEEP_S: Final = 3 * 3600
RATE: Final = 20
"""Changes a second, where there are enough of them for the shortest run."""
SHORTEST_S: Final = 12 * 3600.0
OUTAGES_S: Final = (1, 1, 1, 5, 5, 5, 30, 30, 60, 2 * REACH_S)


class Killed(TransientError):
    """The process ends here: what it held in memory is gone."""


@dataclass
class Kills:
    """Ends a process at a page, before a commit or after it, in so many polls."""

    rng: random.Random
    share: float
    count: int = 0
    _left: int | None = None
    _passed: int = 0

    def draw(self) -> None:
        """Begin a poll; it is expected to pass as many points as the last one."""
        is_killed = self.rng.random() < self.share
        self._left = self.rng.randrange(max(self._passed, 1)) if is_killed else None
        self._passed = 0

    def meet(self) -> None:
        """Pass a point. Raises Killed at the one drawn."""
        self._passed += 1
        if self._left is not None and self._passed > self._left:
            self._left = None
            self.count += 1
            raise Killed("killed")


@dataclass
class Log:
    """What is committed: publications go to the judge, the rest is kept as bytes."""

    judge: Judge
    kills: Kills
    rng: random.Random
    bookmark: bytes | None = None
    entries: dict[str, bytes] = field(default_factory=dict)

    async def commit(self, batch: Batch) -> None:
        """Make a batch visible, unless the process ends before."""
        is_before = self.rng.random() < 0.5
        if is_before:
            self.kills.meet()
        for change in batch.changes:
            number = None if change.after is None else change.after["number"]
            assert number is None or isinstance(number, int)
            self.judge.publish(change.row_id, number)
        for row_id, entry in batch.entries.items():
            if entry is None:
                self.entries.pop(row_id, None)
            else:
                self.entries[row_id] = entry.to_bytes()
        self.bookmark = batch.bookmark.to_bytes()
        if not is_before:
            self.kills.meet()


class Capture:
    """The poller of an object, started again as often as it is killed."""

    def __init__(self, vendor: Vendor, obj: str, overlap_s: int, kills: Kills, seed: int) -> None:
        self._rng = random.Random(f"capture {obj} {seed}")
        self._vendor = vendor
        self._obj = obj
        self._kills = kills
        self._config = make_config(
            **{"overlap.ms": overlap_s * 1000, "sweep.interval.ms": SWEEP_S * 1000}
        )
        self.judge = Judge(vendor.tables[obj])
        self._log = Log(self.judge, kills, self._rng)
        self._reader = Reader(vendor, obj, self._rng, self._before_all_rows, kills.meet)
        self._poller: ObjectPoller | None = None
        self._began_at = self.whole_at = 0.0
        self._sweeps = 0

    def poll(self) -> None:
        """Poll once, and judge; a killed poller stays away for a while."""
        if self._poller is None:
            self._poller = self._start()
        self._began_at, sweeps = self._vendor.now_s, self._sweeps
        self._kills.draw()
        try:
            asyncio.run(self._poller.poll())
        except Killed:
            self._poller = None
            self._vendor.wait(self._rng.choice(OUTAGES_S))
            return
        self.judge.check(self._began_at, is_sweep=self._sweeps > sweeps)
        self.whole_at = self._began_at

    def _before_all_rows(self) -> None:
        """Judge before a sweep can hide anything."""
        bookmark = (self._poller or self._start()).bookmark
        if bookmark.phase is Phase.STREAMING and bookmark.cursor is not None:
            self._sweeps += 1
            self.judge.check(self._began_at)

    def _start(self) -> ObjectPoller:
        kept = self._log.bookmark
        return ObjectPoller(
            self._config,
            self._obj,
            self._reader,
            self._log,
            bookmark=None if kept is None else Bookmark.from_bytes(kept),
            ledger=Ledger({key: Entry.from_bytes(each) for key, each in self._log.entries.items()}),
            clock=self._vendor.clock,
        )


class PlainCapture:
    """A poller with a cursor: it asks for what is newer than the newest stamp it has seen."""

    def __init__(self, vendor: Vendor, obj: str, kills: Kills, seed: int) -> None:
        self._rng = random.Random(f"plain {obj} {seed}")
        self._vendor = vendor
        self._kills = kills
        self._table = vendor.tables[obj]
        self.judge = Judge(self._table)
        self._cursor = -1
        self._deletes_cursor = -1

    def poll(self) -> None:
        """Poll once, and judge."""
        began_at = self._vendor.now_s
        self._kills.draw()
        try:
            self._read()
        except Killed:
            return
        self.judge.check(began_at)

    def _read(self) -> None:
        after, is_last = (self._cursor, TAIL), False
        while not is_last:
            seen_at = self._vendor.now_s - self._rng.uniform(0, LAG_S)
            found = self._table.page(after, seen_at)
            for row_id, version in found:
                self._publish(row_id, None if version.is_deleted else version.number)
            self._kills.meet()
            if found:
                after = (found[-1][1].stamp, found[-1][0])
                self._cursor = after[0]
            is_last = len(found) < PAGE
            self._kills.meet()
        if not self._table.is_flagged:
            for stamp, row_id in self._table.log(self._deletes_cursor + 1, self._vendor.now_s):
                self._publish(row_id, None)
                self._deletes_cursor = stamp

    def _publish(self, row_id: str, number: int | None) -> None:
        self.judge.publish(row_id, number)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    judges: Sequence[Judge]
    plain: Sequence[Judge]
    vendor: Vendor
    kills: int
    polls: int

    @property
    def missed(self) -> int:
        """Versions that consumers of the product did not get in time, or at all."""
        return sum(len(each.missed) for each in self.judges)

    def lines(self) -> list[str]:
        """Say it, the verdict last."""
        tables = self.vendor.tables.values()
        return [
            f"{self.vendor.now_s / 3600:.1f} h of the vendor's time, {self.polls} polls,"
            f" {sum(len(each.rows) for each in tables)} rows,"
            f" deletes={sum(each.deletes for each in tables)}"
            f" restored={sum(each.restored for each in tables)}"
            f" found_by_sweeps_alone={sum(each.swept for each in self.judges)}",
            f"missed={self.missed} doubled={sum(each.doubled for each in self.judges)}"
            f" records={self.vendor.changed} kills={self.kills}"
            f" plain_missed={sum(len(each.missed) for each in self.plain)}"
            f" plain_doubled={sum(each.doubled for each in self.plain)}",
        ]


def capture(
    records: int, *, seed: int = 1, kills: int = 100, overlap_s: int = REACH_S, ties: int = TIES
) -> Outcome:
    """Let so many records change while both pollers read, and judge what came of it."""
    length_s = max(SHORTEST_S, records / RATE)
    vendor = Vendor(records, seed, length_s, ties)
    working_s = length_s - kills * sum(OUTAGES_S) / len(OUTAGES_S)
    share = kills / len(OBJECTS) * POLL_S / max(working_s, POLL_S)
    killers = [Kills(random.Random(f"kills {seed} {place}"), share) for place in range(4)]
    ours, others = killers[:2], killers[2:]
    pollers = [
        Capture(vendor, obj, overlap_s, each, seed) for obj, each in zip(OBJECTS, ours, strict=True)
    ]
    plain = [
        PlainCapture(vendor, obj, each, seed) for obj, each in zip(OBJECTS, others, strict=True)
    ]
    polling: list[Capture | PlainCapture] = [*pollers, *plain]
    polls, still_s = 0, 0.0
    while any(each.whole_at <= still_s for each in pollers):
        if vendor.changed < records:
            still_s = vendor.now_s + LATE_S + LAG_S + POLL_S
        next_s = vendor.now_s + POLL_S
        for poller in polling:
            poller.poll()
            polls += 1
        vendor.wait(max(0.0, next_s - vendor.now_s))
    judges = [each.judge for each in pollers]
    plain_judges = [each.judge for each in plain]
    for judge in (*judges, *plain_judges):
        judge.end()
    return Outcome(judges, plain_judges, vendor, sum(each.count for each in ours), polls)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove it; 1 where anything was missed."""
    options = _options(arguments)
    started_s = time.monotonic()
    outcome = capture(
        options.records,
        seed=options.seed,
        kills=options.kills,
        overlap_s=options.overlap,
        ties=options.ties,
    )
    sys.stdout.write(f"{time.monotonic() - started_s:.0f} s\n")
    sys.stdout.write("\n".join(outcome.lines()) + "\n")
    return int(outcome.missed > 0)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prove.capture", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="changes (default: 1000000)")
    parser.add_argument("--kills", type=int, default=100, help="of pollers, about (default: 100)")
    parser.add_argument("--overlap", type=int, default=REACH_S, help="seconds (default: 600)")
    parser.add_argument("--ties", type=int, default=TIES, help="rows of a stamp (default: 400)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sys.exit(main())
