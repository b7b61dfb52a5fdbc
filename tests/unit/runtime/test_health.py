"""What a process answers to its probes, by the beats of its parts."""

import pytest

from runtime.health import Health


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_process_without_parts_is_live_but_not_ready() -> None:
    health = Health()

    assert health.is_live()
    assert not health.is_ready()
    assert health.reasons() == ["nothing has started yet"]


@pytest.mark.fault("D13", place="runtime/health.py")
def test_d13_a_part_that_falls_silent_makes_the_process_neither_live_nor_ready() -> None:
    clock = Clock()
    health = Health(clock=clock)
    health.watch("intake", within_s=30)
    health.watch("poller", within_s=300, is_ready=True)
    assert not health.is_ready()
    assert health.reasons() == ["intake is not ready"]
    health.ready("intake", True)
    assert health.is_ready()
    assert health.reasons() == []

    clock.now_s += 31

    assert not health.is_live()
    assert not health.is_ready()
    assert health.ailments() == health.reasons() == ["intake silent for 31 s"]
    health.beat("intake")
    assert health.is_ready()


def test_a_part_says_why_it_is_not_ready_until_it_is() -> None:
    health = Health()
    health.watch("intake", within_s=30)
    health.ready("intake", False, why_not="the broker does not answer")
    assert health.reasons() == ["intake is not ready: the broker does not answer"]
    health.ready("intake", False)
    assert health.reasons() == ["intake is not ready"]
    health.ready("intake", True)
    assert health.reasons() == []


def test_a_part_that_has_ended_in_order_is_not_missed() -> None:
    clock = Clock()
    health = Health(clock=clock)
    health.watch("intake", within_s=30, is_ready=True)
    health.watch("poller", within_s=30, is_ready=True)
    clock.now_s += 31
    health.beat("intake")
    health.forget("poller")

    assert health.is_ready()


def test_a_failed_process_stays_failed() -> None:
    health = Health()
    health.watch("intake", within_s=30, is_ready=True)
    health.fail("the session ended by an error")
    health.beat("intake")

    assert not health.is_live()
    assert health.ailments() == ["the session ended by an error"]
