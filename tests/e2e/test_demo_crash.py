"""The same story with parts killed in the middle of it: the books agree all the same."""

from __future__ import annotations

import pytest

from sandbox.demo.options import Disruption
from tests.e2e.conftest import RunDemo

pytestmark = [pytest.mark.stack, pytest.mark.crash]


@pytest.mark.parametrize(
    "disruptions",
    [
        pytest.param([Disruption("worker", "hours", 200)], id="worker"),
        pytest.param([Disruption("dispatcher", "hours", 300)], id="dispatcher"),
        pytest.param([Disruption("poller", "staffing", 5)], id="poller"),
        pytest.param([Disruption("connect", "hours", 200)], id="connect"),
        pytest.param([Disruption("kafka", "hours", 400)], id="kafka"),
        pytest.param(
            [
                Disruption("dispatcher", "deal", 4),
                Disruption("worker", "hours", 100),
                Disruption("poller", "hours", 400),
                Disruption("worker", "corrections", 10),
            ],
            id="several",
        ),
    ],
)
def test_books_agree_although_a_part_is_killed(
    play_demo: RunDemo, disruptions: list[Disruption]
) -> None:
    code, printed = play_demo(*disruptions)

    assert code == 0, printed
    for disruption in disruptions:
        assert f"{disruption.part} is killed" in printed
