"""The rule of Kubernetes' horizontal autoscaler, for metrics with an average value.

From its documentation: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/.
Every 15 s it wants `ceil(metric / average)` pods, unless that is within a tenth of what there are,
of several metrics the greatest number; takes the least wish of the last
`scaleUp.stabilizationWindowSeconds` and the greatest of the last
`scaleDown.stabilizationWindowSeconds`; and changes no more pods within a policy's period than it
allows. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SYNC_S: Final = 15
TOLERANCE: Final = 0.1


@dataclass
class Autoscaler:
    """Follows metrics; instants are seconds that only grow."""

    least: int
    most: int
    averages: Mapping[str, float]
    behavior: Mapping[str, Any]
    wishes: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)
    """When it changed the number of pods, and by how many."""

    def replicas(self, now_s: float, current: int, metrics: Mapping[str, float]) -> int:
        """Return how many pods there are to be. Each metric is the sum over all of them."""
        wish = max(
            current
            if abs(metrics[name] / (average * current) - 1) <= TOLERANCE
            else math.ceil(metrics[name] / average)
            for name, average in self.averages.items()
        )
        up, down = self.behavior["scaleUp"], self.behavior["scaleDown"]
        longest_s = max(each["stabilizationWindowSeconds"] for each in (up, down))
        kept = [each for each in self.wishes if each[0] >= now_s - longest_s]
        self.wishes = [*kept, (now_s, wish)]
        least = min(self._since(now_s - up["stabilizationWindowSeconds"]))
        greatest = max(self._since(now_s - down["stabilizationWindowSeconds"]))
        wanted = min(max(current, least), greatest)
        if wanted > current:
            wanted = min(wanted, current + self._allowed(up, now_s, 1))
        elif wanted < current:
            wanted = max(wanted, current - self._allowed(down, now_s, -1))
        wanted = min(max(wanted, self.least), self.most)
        if wanted != current:
            self.changes.append((now_s, wanted - current))
        return wanted

    def _since(self, since_s: float) -> list[int]:
        return [wish for at_s, wish in self.wishes if at_s >= since_s]

    def _allowed(self, rules: Mapping[str, Any], now_s: float, sign: int) -> int:
        """Pods that the policies still allow in a direction."""
        return max(
            int(policy["value"])
            - sum(
                sign * by
                for at_s, by in self.changes
                if sign * by > 0 and at_s > now_s - policy["periodSeconds"]
            )
            for policy in rules["policies"]
        )
