"""`psastream readmodel` as a process on a real broker: killed, rebuilt, torn, and whole again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import psycopg
import pytest

from psastream.read_model.process import migrate
from tests.support.eventually import eventually
from tests.support.read_model_process import (
    DEADLINE_S,
    NAME,
    Running,
    running_read_model,
)
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def running(stack: RunningStack) -> Iterator[Running]:
    with running_read_model(stack, stack.addresses.registry_url) as running:
        yield running


def test_killed_at_any_place_it_holds_every_row_once(running: Running) -> None:
    random = Random(3)
    running.write(range(2_000), random)
    running.start()
    for number in (2, 3):
        eventually(running.is_connected, deadline_s=DEADLINE_S)
        running.write(range(number * 1_000, (number + 1) * 1_000), random)
        running.stack.kill(NAME)
        if number == 2:
            running.stack.restart(NAME)
    running.stack.restart(NAME)
    running.require_equal()
    assert running.count("SELECT count(*) FROM psa.fact_time_entry") > 400


def test_a_place_that_its_topic_does_not_have_makes_it_be_filled_anew(running: Running) -> None:
    running.start()
    before = running.live()
    running.stack.kill(NAME)
    with psycopg.connect(running.url) as connection:
        connection.execute(
            "UPDATE read_model.place SET next_offset = 1000000"
            " WHERE topic = 'psa.role' AND partition = 0"
        )
    running.stack.restart(NAME)
    assert before is not None
    eventually(
        lambda: (live := running.live()) and live.number > before.number, deadline_s=DEADLINE_S
    )
    running.require_equal()
    eventually(running.has_compared, deadline_s=DEADLINE_S)


def test_a_rebuild_goes_on_beside_it_and_it_follows_the_new_one(running: Running) -> None:
    running.start()
    before = running.live()
    running.rebuild()
    after = running.live()
    assert before is not None
    assert after is not None
    assert after.number > before.number
    running.write(range(9_000, 9_100), Random(4))
    running.require_equal()
    query = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'psa_landing_%'"
    assert running.count(query) == 1


def test_a_table_that_was_dropped_is_told_and_a_rebuild_cures_it(running: Running) -> None:
    running.start()
    live = running.live()
    assert live is not None
    with psycopg.connect(running.url) as connection:
        connection.execute(f"DROP TABLE {live.schema}.rate_card CASCADE")
    running.write(range(10_000, 10_010), Random(5))
    told = 'rate_card" does not exist'
    eventually(lambda: told in running.stack.log(NAME), deadline_s=DEADLINE_S)
    assert "psastream readmodel rebuild" in running.stack.log(NAME)
    assert running.stack.is_running(NAME)
    told = running.command("rebuild")
    assert told.exit_code == 0, told.stderr
    assert told.stdout.startswith("generation ")
    running.require_equal()
    assert running.count("SELECT count(*) FROM psa.pay_rate") == 50


def test_status_says_what_there_is_and_what_is_missing(running: Running) -> None:
    running.start()
    running.require_equal()
    found = json.loads(running.command("status", "--json").stdout)
    assert found["topics"]["psa.rate_card"] == {"rows": 50, "behind": 0}
    assert found["unreadable"] == []
    running.stack.kill(NAME)
    running.write(range(11_000, 11_001), Random(6))
    told = running.command("status")
    assert told.exit_code == 1
    assert "messages are not in yet" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert migrate(running.settings) == []


def test_without_a_database_a_command_says_in_a_line_what_to_set(running: Running) -> None:
    environment = {**running.environment, "PSASTREAM_READ_MODEL_URL": "postgresql://127.0.0.1:9/x"}
    away = Running(**{**vars(running), "environment": environment}).command("status")
    assert away.exit_code == 1
    assert away.stderr.startswith("psastream: the read model does not answer: ")
    assert "try: check that its PostgreSQL runs" in away.stderr
