"""The plans of the crash suite: the same everywhere, and no kind of disturbance left out."""

from collections import Counter

from tests.integration.test_engine_chaos import DEFAULT_SEEDS
from tests.support.engine_plans import ROTATION, plan_of
from tests.support.sinks import KillPoint


def drawn(seeds: int) -> Counter[object]:
    steps = (step for seed in range(1, seeds + 1) for step in plan_of(seed).steps)
    return Counter((step.kind, step.mark) for step in steps)


def test_a_seed_has_one_plan() -> None:
    assert [plan_of(seed) for seed in (1, 2)] == [plan_of(seed) for seed in (1, 2)]
    assert plan_of(1) != plan_of(2)


def test_the_default_seeds_cover_every_kind_at_every_mark() -> None:
    assert set(drawn(DEFAULT_SEEDS)) == set(ROTATION)


def test_more_seeds_cover_all_kinds_evenly() -> None:
    counts = drawn(50)
    assert set(counts) == set(ROTATION)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_default_seeds_freeze_a_dispatcher_at_every_point() -> None:
    freezes = [plan_of(seed).dispatch for seed in range(1, DEFAULT_SEEDS + 1)]
    assert {freeze.point for freeze in freezes if freeze is not None} == set(KillPoint)


def test_a_third_of_more_seeds_freezes_a_dispatcher_at_every_moment() -> None:
    freezes = [freeze for seed in range(1, 51) if (freeze := plan_of(seed).dispatch) is not None]
    assert len(freezes) == 17
    assert {(freeze.first, freeze.last) for freeze in freezes} == {(0, 0), (0, 1), (1, 1)}
