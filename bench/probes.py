"""Probes of latency: which changes a metric covers, and how long it took to show them.

Every probe adds one hour to a project in a month of its own, so the hours of a metric record say
how many of the project's probes it covers, also where several changes share one record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PERCENTILES = (50.0, 99.0, 99.9)


class Probes:
    """Probes in the order of their due times; probe i belongs to project `projects[i]`."""

    def __init__(self, projects: Sequence[str]) -> None:
        self._of: dict[str, list[int]] = {}
        for number, project in enumerate(projects):
            self._of.setdefault(project, []).append(number)
        self._covered: dict[str, int] = dict.fromkeys(self._of, 0)
        self.seen_at: list[float | None] = [None] * len(projects)
        """When each was first covered, in the clock of the caller."""
        self.missing = len(projects)

    def show(self, project: str, hours: int, at: float) -> None:
        """Note a metric record. Raises ValueError if it has more hours than were added."""
        mine = self._of[project]
        if hours > len(mine):
            raise ValueError(f"{project}: {hours} hours of {len(mine)} probes")
        for number in mine[self._covered[project] : hours]:
            self.seen_at[number] = at
            self.missing -= 1
        self._covered[project] = max(hours, self._covered[project])

    def hours(self) -> Mapping[str, int]:
        """What each project's metric must say in the end."""
        return {project: len(numbers) for project, numbers in self._of.items()}


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from due to seen, of the probes that were seen; the rest are `missing`."""

    count: int
    missing: int
    p50: float
    p99: float
    p999: float
    highest: float


def latency(due_at: Sequence[float], seen_at: Sequence[float | None]) -> Latency:
    """Return the percentiles (nearest rank). Raises ValueError if nothing was seen."""
    waits = sorted(
        (seen - due) * 1_000 for due, seen in zip(due_at, seen_at, strict=True) if seen is not None
    )
    if not waits:
        raise ValueError("no probe was seen")
    p50, p99, p999 = (
        waits[min(len(waits) - 1, round(len(waits) * each / 100))] for each in PERCENTILES
    )
    return Latency(len(waits), len(due_at) - len(waits), p50, p99, p999, waits[-1])
