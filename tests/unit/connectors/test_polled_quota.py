"""When an allowance of requests is gone, by what the vendor tells of it."""

import pytest

from connectors.polled.instruments import QUOTA_REMAINING, QUOTA_SECONDS
from connectors.polled.quota import NEVER, Quota


class Clock:
    at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def remaining(clock: Clock, quota: Quota, *lefts: float, every_s: float = 60) -> float:
    for left in lefts:
        quota.see(left, 1000)
        clock.at_s += every_s
    return quota.remaining_s()


@pytest.mark.parametrize(
    ("lefts", "expected_s"),
    [
        ([1000], NEVER),
        ([1000, 900], NEVER),  # a minute tells no pace
        ([1000, 900, 800, 700], 300),  # 100 a minute, 500 above the reserve
        ([700, 700, 700, 700], NEVER),
        ([700, 710, 720, 730], NEVER),
        ([400, 300, 200], 0),
        ([0], 0),
        ([300, 200, 100, 1000, 990, 980, 970], 4_620),  # renewed: what was before counts no more
    ],
)
def test_it_is_gone_when_only_the_reserve_is_left(lefts: list[float], expected_s: float) -> None:
    clock = Clock()
    quota = Quota("of_the_test", 0.2, clock_s=clock)
    assert remaining(clock, quota, *lefts) == pytest.approx(expected_s)
    assert QUOTA_SECONDS.labels("of_the_test")._value.get() == quota.remaining_s()
    assert QUOTA_REMAINING.labels("of_the_test")._value.get() == lefts[-1] / 1000


def test_the_pace_is_that_of_the_last_hour() -> None:
    clock = Clock()
    quota = Quota("of_the_test", 0.2, clock_s=clock)
    remaining(clock, quota, *range(1000, 900, -10))
    assert remaining(clock, quota, *[900] * 62) == NEVER


def test_answers_that_come_all_at_once_are_one() -> None:
    clock = Clock()
    quota = Quota("of_the_test", 0.2, clock_s=clock)
    remaining(clock, quota, *range(1000, 880, -1), every_s=2)
    assert len(quota._seen) < 40
    assert quota.remaining_s() == pytest.approx(2 * (881 - 200), rel=0.02)
