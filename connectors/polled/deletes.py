"""Which deletes are believed: the one guard that everything published as deleted has passed.

A lost right, a narrowed role or a broken scan look like deletes. Two kinds of evidence differ:

- Told: the vendor says that a row is deleted, by flag or delete log, or shows the parent of a row
  with its other children. Up to `max_rows` such rows a poll are believed whatever their share, more
  only up to `max_ratio` of the living rows.
- Missed: a complete scan did not show a row. Up to `max_ratio`, and a single row, are believed at
  once. In a small table one row is a large share, so up to `max_rows` rows are believed too, if at
  least half of the rows stay and two sweeps, an interval of sweeps apart, and all between them
  miss them: a narrowed role hides most rows, a passing fault does not last so long.

Nothing is ever believed that leaves nothing: not a table without rows, not a parent that is there
without children. A `max_ratio` of 1 believes everything. Rows in doubt keep their last value until
they are seen again or a person decides; told ones count against further told ones. Does no IO but
logs and metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from connectors.polled import instruments
from runtime.clocks import is_past

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Awaited:
    """Rows that the last sweep missed, and sweeps before it from `since` on.

    A sweep that comes an interval after that must miss them too to be believed.
    """

    rows: frozenset[str] = frozenset()
    since: datetime | None = None


class DeleteGuard:
    """The guard of one object. `start` begins each poll. `awaited` is to be kept."""

    def __init__(
        self,
        system: str,
        obj: str,
        *,
        max_ratio: float,
        max_rows: int,
        sweep_interval: timedelta,
        awaited: Awaited = Awaited(),
    ) -> None:
        """`awaited`: as it was after the last sweep, whoever made it."""
        self._labels = {"system": system, "object": obj}
        self._max_ratio = max_ratio
        self._max_rows = max_rows
        self._living = 0
        self._believed: set[str] = set()
        self._sweep_interval = sweep_interval
        self.awaited = awaited
        self._doubted: dict[str, str] = {}  # row id → evidence

    @property
    def has_doubts(self) -> bool:
        """Whether there are deletes that were refused and are not settled."""
        return bool(self._doubted)

    def start(self, living: int) -> None:
        """Begin a poll of an object with so many living rows."""
        self._living = living
        self._believed = set()
        instruments.REFUSED_DELETES.labels(**self._labels).set(len(self._doubted))

    def see(self, row_ids: Iterable[str]) -> None:
        """Note rows that were read: nobody needs to doubt them any more."""
        if seen := self._doubted.keys() & set(row_ids):
            self._set_doubted(
                {row: evidence for row, evidence in self._doubted.items() if row not in seen}
            )

    def told(self, row_ids: Set[str]) -> bool:
        """Whether rows are believed to be deleted that the vendor says are: all or none.

        Told ones in doubt count with them, or a mass delete would pass a few rows a poll. Rows a
        scan missed do not: what the vendor tells meanwhile is no part of what it hides.
        """
        doubted = {row_id for row_id, evidence in self._doubted.items() if evidence == "told"}
        count = len(self._believed | doubted | row_ids)
        is_mass = count > self._max_rows and count > self._max_ratio * self._living
        leaves_none = 0 < self._living <= count and self._max_ratio < 1
        if row_ids and (is_mass or leaves_none):
            self._refuse(row_ids, "told")
            return False
        self._believe(row_ids)
        return True

    def left_without(self, row_ids: Set[str]) -> bool:
        """Whether all children of a parent that is there are believed to be deleted."""
        if row_ids and self._max_ratio < 1:
            self._refuse(row_ids, "childless")
            return False
        self._believe(row_ids)
        return True

    def missed(self, row_ids: Set[str], living: int, now: datetime) -> bool:
        """Whether rows are believed to be deleted that a complete scan of `living` did not show."""
        before, self.awaited = self.awaited, Awaited()
        count = len(row_ids)
        if self._is_plausible(count, living):
            self._believe(row_ids)
            return True
        if count <= self._max_rows and 2 * count <= living:
            since = before.since if row_ids <= before.rows else None
            if since is None or not is_past(since, now):
                since = now  # of a clock set back nobody knows how long ago it was
            if now - since >= self._sweep_interval:
                self._believe(row_ids)
                return True
            self.awaited = Awaited(frozenset(row_ids), since)
            _log.warning(
                "poll.deletes_await_second_sweep",
                missed=count,
                living=living,
                **self._labels,
            )
            return False
        self._refuse(row_ids, "missed")
        return False

    def undecided(self, row_ids: Set[str], nameless: int) -> None:
        """Refuse rows missed by a scan that also showed rows without a usable id."""
        if row_ids:
            self._refuse(row_ids, "undecided", nameless=nameless)

    def _is_plausible(self, count: int, living: int) -> bool:
        if count == 0 or self._max_ratio >= 1:
            return True
        return count < living and (count == 1 or count <= self._max_ratio * living)

    def _believe(self, row_ids: Set[str]) -> None:
        self._believed |= row_ids
        self.see(row_ids)

    def _refuse(self, row_ids: Set[str], evidence: str, **facts: int) -> None:
        if row_ids - self._doubted.keys():
            _log.error(
                "poll.deletes_refused",
                evidence=evidence,
                rows=len(row_ids),
                living=self._living,
                hint="check the integration user's rights; max.delete.ratio 1 believes it",
                **facts,
                **self._labels,
            )
        self._set_doubted(self._doubted | dict.fromkeys(row_ids, evidence))

    def _set_doubted(self, doubted: dict[str, str]) -> None:
        self._doubted = doubted
        instruments.REFUSED_DELETES.labels(**self._labels).set(len(doubted))
