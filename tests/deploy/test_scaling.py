"""Workers that follow the lag do not flap: the autoscaler's rule over a day of lag, with the
parameters of the rendered chart. Moving partitions costs: each change restores state."""

import math
import random
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest

from tests.deploy.autoscaler import SYNC_S, Autoscaler
from tests.deploy.chart import CHECKED, manifests, named

DAY_S = 86_400
WORKER_PER_S = 27_000
"""Records a second of one worker: half of what docs/performance.md has measured."""
RATE_S = 1_800
METRICS = ["psastream_lag_records", "psastream_consumed_records_total"]
MOVE_S = 90
"""How long all workers take nothing in after their number changed: rebalance and restore."""

Arrivals = Callable[[float], float]


@dataclass(frozen=True)
class Day:
    """What came of a day: number of workers and lag, each sync."""

    replicas: list[int]
    lag: list[float]
    changes: list[tuple[float, int]]

    @property
    def turns(self) -> int:
        """How often the number of workers changed its direction."""
        return sum(a * b < 0 for (_, a), (_, b) in pairwise(self.changes))


def scaler(kind: str) -> Autoscaler:
    """Return the autoscaler that the chart makes."""
    if kind == "keda":
        spec = named(manifests("three-brokers-tls"), "ScaledObject", "psastream-worker")["spec"]
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        least, most = spec["minReplicaCount"], spec["maxReplicaCount"]
        given = [trigger["metadata"]["threshold"] for trigger in spec["triggers"]]
        queries = str([trigger["metadata"]["query"] for trigger in spec["triggers"]])
        assert re.findall(r"psastream_\w+", queries) == METRICS
    else:
        found = manifests("three-brokers-tls", "--set", "workers.scaling.mode=hpa")
        spec = named(found, "HorizontalPodAutoscaler", "psastream-worker")["spec"]
        least, most, behavior = spec["minReplicas"], spec["maxReplicas"], spec["behavior"]
        targets = {
            it["external"]["metric"]["name"]: it["external"]["target"] for it in spec["metrics"]
        }
        lag, rate = "psastream_lag_records", "psastream_consumed_records_per_second"
        given = [targets[name]["averageValue"] for name in (lag, rate)]
    return Autoscaler(least, most, dict(zip(METRICS, map(float, given), strict=True)), behavior)


def live(it: Autoscaler, arrivals: Arrivals, seed: int = 1) -> Day:
    """Let a day pass: changes come, workers take them in, their number follows the lag."""
    chance = random.Random(seed)
    replicas, lag, moved_until_s = it.least, 0.0, 0.0
    counts, lags = [], []
    taken: deque[float] = deque(maxlen=RATE_S // SYNC_S)
    for step in range(DAY_S // SYNC_S):
        now_s = step * SYNC_S
        lag += arrivals(now_s) * SYNC_S * chance.uniform(0.5, 1.5)
        works = now_s >= moved_until_s
        taken.append(min(lag, replicas * WORKER_PER_S * SYNC_S) if works else 0.0)
        lag -= taken[-1]
        rate = sum(taken) / RATE_S
        wanted = it.replicas(now_s, replicas, dict(zip(METRICS, (lag, rate), strict=True)))
        if wanted != replicas:
            replicas, moved_until_s = wanted, now_s + MOVE_S
        counts.append(replicas)
        lags.append(lag)
    return Day(counts, lags, it.changes)


def working_day(now_s: float) -> float:
    """People enter time from eight to six, most before noon and in the evening."""
    hour = now_s / 3600
    peaks = math.exp(-((hour - 11) ** 2)) + 1.5 * math.exp(-((hour - 17) ** 2) * 2)
    return 20 + 2_000 * peaks


def month_end(now_s: float) -> float:
    """A working day on which batches of a million changes come at each full hour."""
    return working_day(now_s) + (70_000 if now_s % 3600 < 120 else 0)


def back_fill(now_s: float) -> float:
    """A system is read for the first time: ninety thousand records a second for two hours."""
    return working_day(now_s) + (90_000 if 9 * 3600 <= now_s < 11 * 3600 else 0)


def broker_away(now_s: float) -> float:
    """An hour's changes come at once."""
    return working_day(now_s) + (90_000 if 13 * 3600 <= now_s < 13 * 3600 + 180 else 0)


def near_the_bound(now_s: float) -> float:
    """A load that lies where one worker more or less would be right, and swings around it."""
    return WORKER_PER_S * 2 * (1 + 0.3 * math.sin(now_s / 400))


@pytest.mark.parametrize("kind", ["keda", "hpa"])
@pytest.mark.parametrize(
    "arrivals", [working_day, month_end, back_fill, broker_away, near_the_bound]
)
def test_workers_do_not_flap_over_a_day_of_lag(kind: str, arrivals: Arrivals) -> None:
    day = live(scaler(kind), arrivals)

    assert min(day.replicas) >= 2 and max(day.replicas) <= 4
    # At most up and down again once in a half day, and never down soon after up.
    assert day.turns <= 3, day.changes
    for (before_s, before), (after_s, after) in pairwise(day.changes):
        if before > 0 > after:
            assert after_s - before_s >= 1800, day.changes
    CHECKED["days of lag"] += 1


@pytest.mark.parametrize("kind", ["keda", "hpa"])
def test_an_ordinary_day_moves_no_partition(kind: str) -> None:
    assert live(scaler(kind), working_day).changes == []


@pytest.mark.parametrize("kind", ["keda", "hpa"])
def test_a_back_fill_gets_the_workers_that_can_help_and_gives_them_back(kind: str) -> None:
    day = live(scaler(kind), back_fill)

    assert max(day.replicas) == 4
    assert day.replicas[-1] == 2
    assert day.lag[-1] < 1_000_000


def test_without_stabilization_or_without_the_rate_the_same_days_flap() -> None:
    """What the bounds and the second metric are for: a load near the bound."""
    bare: Mapping[str, Any] = {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"value": 4, "periodSeconds": 15}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"value": 4, "periodSeconds": 15}],
        },
    }

    lag_alone = {METRICS[0]: scaler("keda").averages[METRICS[0]]}

    at_once = live(replace(scaler("keda"), behavior=bare, averages=lag_alone), near_the_bound)
    by_lag = live(replace(scaler("keda"), averages=lag_alone), near_the_bound)

    assert at_once.turns > by_lag.turns > 10
