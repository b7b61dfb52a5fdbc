"""`psastream readmodel run` while the database and the broker under it are killed and come back."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import psutil  # type: ignore[import-untyped]
import pytest

from sandbox.stack.process import is_alive
from tests.support.eventually import eventually
from tests.support.read_model_process import DEADLINE_S, NAME, Running, running_read_model
from tests.support.stack import RunningStack, start_registry

pytestmark = pytest.mark.stack

SOON_S = 20.0
"""On a busy machine; without asking the broker, its silence is noticed after half a minute."""

DATABASE_AWAY = "read model is not ready: the read model does not answer: "
BROKER_AWAY = "read model is not ready: the broker does not answer: "


@pytest.fixture(scope="module")
def running(own_stack: RunningStack) -> Iterator[Running]:
    with running_read_model(own_stack, start_registry(own_stack)) as running:
        running.write(range(1_000), Random(11))
        running.start()
        yield running


def require_caught_up(running: Running) -> None:
    running.require_equal()
    eventually(lambda: running.why_not_ready() == "", deadline_s=DEADLINE_S)
    assert running.is_caught_up()


def kill_postgres(stack: RunningStack) -> None:
    """Kill the server; return when its sessions are gone, too, which the next one waits for."""
    sessions = psutil.Process(stack.pid("postgres")).children(recursive=True)
    stack.kill("postgres")
    eventually(lambda: not any(map(is_alive, sessions)), deadline_s=DEADLINE_S)


def test_the_database_killed_under_it_it_says_so_and_then_holds_every_row_once(
    running: Running,
) -> None:
    random = Random(12)
    require_caught_up(running)
    for number in (1, 2):
        running.write(range(number * 1_000, (number + 1) * 1_000), random)
        kill_postgres(running.stack)
        try:
            running.write(range(number), random)
            eventually(lambda: DATABASE_AWAY in running.why_not_ready(), deadline_s=DEADLINE_S)
            assert not running.is_caught_up()
        finally:
            running.stack.restart("postgres")
    require_caught_up(running)
    assert running.stack.is_running(NAME)
    assert running.count("SELECT count(*) FROM psa.fact_time_entry") > 400


def test_the_broker_killed_under_it_it_says_so_soon_and_then_holds_every_row_once(
    running: Running,
) -> None:
    random = Random(13)
    require_caught_up(running)
    running.write(range(3_000, 4_000), random)
    running.stack.kill("kafka")
    try:
        eventually(lambda: BROKER_AWAY in running.why_not_ready(), deadline_s=SOON_S)
        assert not running.is_caught_up()
        assert running.probe("livez").status_code == 200
    finally:
        running.stack.restart("kafka")
    running.write(range(4_000, 5_000), random)
    require_caught_up(running)
    assert running.stack.is_running(NAME)
