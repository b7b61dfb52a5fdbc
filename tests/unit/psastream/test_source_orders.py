"""Orders to polled systems on the command line: what may be ordered, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from connectors.polled.order_log import Told
from connectors.polled.orders import NOTE_MAX, Action, Order, Taken
from psastream.cli import app
from psastream.landscape import ANY_ADDRESSES
from psastream.source_orders import Wanted, orders_of, parse_since, standings
from schemas.errors import ConfigError

AT = datetime(2026, 11, 28, 10, tzinfo=UTC)
POLLED = {"float": ["person", "role"], "netsuite": ["customer"]}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["connectors", *arguments], env=dict(ANY_ADDRESSES))


def test_an_order_is_of_each_object_or_of_those_that_are_named() -> None:
    wanted = Wanted(Action.RESYNC, "float", since=AT - timedelta(days=1), note="a restore")
    every = orders_of(wanted, POLLED, AT, "ada@desk")
    assert [(each.system, each.obj) for each in every] == [("float", "person"), ("float", "role")]
    assert len({each.order_id for each in every}) == 2
    assert {(each.since, each.note, each.ordered_by) for each in every} == {
        (AT - timedelta(days=1), "a restore", "ada@desk")
    }
    one = orders_of(Wanted(Action.SWEEP, "float", ["role"]), POLLED, AT, "ada@desk")
    assert [(each.obj, each.action, each.ordered_at) for each in one] == [
        ("role", Action.SWEEP, AT)
    ]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(Action.SWEEP, "flot"), "not a polled system: flot"),
        (Wanted(Action.SWEEP, "float", ["role", "rolle"]), "float has no rolle"),
        (Wanted(Action.SWEEP, "float", note="x" * (NOTE_MAX + 1)), "the note is too long"),
    ],
)
def test_what_cannot_be_ordered_is_refused(wanted: Wanted, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        orders_of(wanted, POLLED, AT, "ada@desk")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "not an instant"),
        ("2026-11-01T08:00", "without a zone"),
        ("2026-11-28T10:00:01Z", "of the future"),
    ],
)
def test_an_instant_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_since(text, AT)


def test_an_instant_is_taken_in_its_zone() -> None:
    assert parse_since("2026-11-01T08:00+02:00", AT) == datetime(2026, 11, 1, 6, tzinfo=UTC)


def test_an_order_stands_with_what_came_of_it_and_not_of_the_one_before() -> None:
    def order(number: str, obj: str) -> Order:
        return Order(number, "float", obj, Action.RESYNC, AT, "ada@desk", "a restore", AT)

    done, under_way = order("1", "person"), order("2", "project")
    before, new = order("3", "role"), order("4", "role")
    later = AT + timedelta(minutes=1)
    answers = [Taken(done, later, later), Taken(under_way, later), Taken(before, later, later)]
    told = Told(
        {each.key: each for each in (new, under_way, done)}, {each.key: each for each in answers}
    )

    head = (
        "resync ordered 2026-11-28T10:00:00Z by ada@desk since 2026-11-28T10:00:00Z (a restore): "
    )
    assert [each.told() for each in standings(told)] == [
        f"{head}done 2026-11-28T10:01:00Z",
        f"{head}taken 2026-11-28T10:01:00Z, not done",
        f"{head}no poller has taken it yet",
    ]
    record = standings(told, ["float"])[0].as_record()
    assert (record["object"], record["done_at"]) == ("person", "2026-11-28T10:01:00+00:00")
    assert standings(told, ["netsuite"]) == []


def test_a_dry_run_says_what_would_be_done_and_asks_no_broker() -> None:
    shown = run("resync", "float", "role", "--since", "2026-11-01T08:00Z", "--dry-run")
    assert (shown.exit_code, shown.stdout.splitlines()) == (
        0,
        [
            "float role: rows changed since 2026-11-01T08:00:00Z are read and published again at"
            " the next poll",
            "nothing was done: a dry run",
        ],
    )
    shown = run("sweep", "netsuite", "customer", "--dry-run")
    assert shown.stdout.startswith("netsuite customer: all rows are compared at the next poll\n")


def test_a_resync_is_not_done_without_being_asked_for() -> None:
    shown = run("resync", "float")
    assert (shown.exit_code, shown.stderr) == (
        1,
        "nothing was done: --yes does it without asking\n",
    )


@pytest.mark.parametrize("command", ["sweep", "resync"])
def test_a_database_is_no_polled_system_and_its_rows_come_again_otherwise(command: str) -> None:
    shown = run(command, "inhouse")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.startswith("psastream: inhouse is captured by Debezium")
    assert "by a signal where its connector file has a table of them" in shown.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("pause", "float role: is polled no more, as of the next poll\n"),
        ("resume", "float role: is polled again, as of the next poll\n"),
    ],
)
def test_a_polled_object_is_paused_and_resumed_by_an_order(command: str, said: str) -> None:
    shown = run(command, "float", "role", "--dry-run")
    assert (shown.exit_code, shown.stdout) == (0, f"{said}nothing was done: a dry run\n")


def test_a_pause_stands_until_another_order_ends_it() -> None:
    pause = Order("1", "float", "role", Action.PAUSE, AT, "ada@desk", "they migrate")
    resume = Order("2", "float", "role", Action.RESUME, AT, "bob@desk")
    answer, later = Taken(pause, AT), AT + timedelta(minutes=1)

    def stands(last: Order, came: Taken) -> tuple[str, bool]:
        (standing,) = standings(Told({last.key: last}, {came.key: came}))
        return standing.told(), standing.is_paused

    ordered = "ordered 2026-11-28T10:00:00Z by"
    assert stands(pause, answer) == (
        "paused since 2026-11-28T10:00:00Z by ada@desk (they migrate)",
        True,
    )
    assert stands(resume, answer) == (
        f"resume {ordered} bob@desk: no poller has taken it yet",
        False,
    )
    done = Taken(resume, later, later)
    assert stands(resume, done) == (
        f"resume {ordered} bob@desk: done 2026-11-28T10:01:00Z",
        False,
    )


def test_a_broker_that_does_not_answer_is_said() -> None:
    shown = run("sweep", "float", "role")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("psastream: no Kafka broker answers at any:0")
