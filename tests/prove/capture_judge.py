"""Judges what consumers of a capture hold, against the rows of the simulated vendor alone."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from tests.prove.capture_vendor import LAG_S, Table


@dataclass
class Judge:
    """What was published of one object, and what is wrong with it. `held`: by row; None: deleted.

    `missed`: versions that consumers did not hold after the poll that had to show them, or at the
    end. `doubled`: publications of what consumers held already. `swept`: rows that went without a
    trace, and are gone there too; only a sweep can tell.
    """

    table: Table
    missed: set[tuple[str, int]] = field(default_factory=set)
    doubled: int = 0
    swept: int = 0
    held: dict[str, int | None] = field(default_factory=dict)
    _due: list[tuple[float, str]] = field(default_factory=list)
    _silent: list[tuple[float, str]] = field(default_factory=list)
    _touched: set[str] = field(default_factory=set)
    _place: int = 0

    def publish(self, row_id: str, number: int | None) -> None:
        """Take a publication; no number: a delete."""
        self.doubled += row_id in self.held and self.held[row_id] == number
        self.held[row_id] = number
        self._touched.add(row_id)

    def check(self, began_at: float, *, is_sweep: bool = False) -> None:
        """Judge after a complete poll that began then."""
        happened = self.table.happened
        while self._place < len(happened):
            each = happened[self._place]
            self._place += 1
            heapq.heappush(
                self._silent if each.is_silent else self._due, (each.due_at, each.row_id)
            )
        rows, self._touched = self._touched, set()
        while self._due and self._due[0][0] <= began_at:
            rows.add(heapq.heappop(self._due)[1])
        for row_id in rows:
            self._judge(row_id, began_at)
        while is_sweep and self._silent and self._silent[0][0] <= began_at:
            row_id = heapq.heappop(self._silent)[1]
            is_held = self.held.get(row_id) is not None
            self.swept += not is_held
            self._note(row_id, is_wrong=is_held)

    def end(self) -> None:
        """Judge every row, but those that only a sweep to come can tell."""
        waiting = {row_id for _, row_id in self._silent}
        for row_id in self.table.rows.keys() - waiting:
            self._judge(row_id, float("inf"))

    def _judge(self, row_id: str, began_at: float) -> None:
        last = self.table.rows[row_id][-1]
        if last.visible_at + LAG_S > began_at:
            return  # a later poll is to show it
        if last.is_silent and any(row_id == waiting for _, waiting in self._silent):
            return
        number = None if last.is_deleted or last.is_silent else last.number
        self._note(row_id, is_wrong=self.held.get(row_id) != number)

    def _note(self, row_id: str, *, is_wrong: bool) -> None:
        if is_wrong:
            self.missed.add((row_id, len(self.table.rows[row_id])))
