"""Commands that were held back: what is sent, and what waits until workers have read everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.dispatch.commands import Problem
from connectors.dispatch.exceptions import exception_id, open_record
from connectors.dispatch.guard import LEDGER_LOST, TABLES_ANEW, hold_record
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.signals import REQUESTS
from connectors.toolkit.faults import Reason
from psastream import exceptions, releases
from psastream.cli import app
from psastream.exceptions import Row
from psastream.releases import said_of_unread, unread_by_tables
from psastream.status.model import GroupState
from schemas.topics import BY_NAME
from tests.support.sinks import make_command

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
ENVIRONMENT = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1",
}
HISTORY = GroupState("engagement", 1, 1_200)
NOTHING = GroupState("engagement", 1, 0)


def hold(code: str = TABLES_ANEW) -> Row:
    blank = dict.fromkeys(("natural_key", "revision", "payload", "reason", "amount", "currency"))
    return {**blank, **hold_record("netsuite", "computed anew", AT, code=code)}


def held_alone() -> Row:
    command = make_command("netsuite:project:a", currency="EUR")
    problem = Problem("USER_ERROR", "no right", None, Reason.PERMISSION, True)
    at_s = AT.timestamp()
    refusal = Refusal(exception_id(command), command, problem, 3, 0, at_s, at_s, at_s)
    return open_record(refusal, {})


@dataclass
class Topics:
    """What waits, what is unread each time it is asked for, and what was asked to be sent."""

    rows: Sequence[Row]
    unread: Iterator[list[GroupState]]
    sent: list[str | None] = field(default_factory=list)

    def give(self, *words: str) -> Any:
        return CliRunner().invoke(app, ["exceptions", "release", *words], env=ENVIRONMENT)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Topics]:
    """Stand for the broker: no topic but the requests is written."""

    def make(rows: Sequence[Row], *unread: list[GroupState]) -> Topics:
        found = Topics(rows, iter(unread))

        def publish(_settings: object, topic: str, key: str, records: Sequence[Row]) -> None:
            assert (topic, key) == (REQUESTS, "request_id")
            assert BY_NAME[topic]
            found.sent += [record["exception_id"] for record in records]

        monkeypatch.setattr(exceptions, "_all", lambda _settings: list(found.rows))
        monkeypatch.setattr(releases, "publish", publish)
        monkeypatch.setattr(releases, "unread_groups", lambda *_: next(found.unread))
        return found

    return make


@pytest.mark.parametrize("code", [TABLES_ANEW, LEDGER_LOST])
@pytest.mark.parametrize("words", [("netsuite:ledger",), ("--target", "netsuite")])
@pytest.mark.parametrize("more", [("--yes",), ("--dry-run",)])
def test_a_target_is_not_released_while_workers_have_to_read(
    topics: Callable[..., Topics], code: str, words: tuple[str, ...], more: tuple[str, ...]
) -> None:
    firm = topics([hold(code), held_alone()], [HISTORY, GroupState("project", 1, 1)])

    given = firm.give(*words, *more)

    assert given.exit_code == 1
    assert "1,201 messages (engagement 1,200, project 1)" in " ".join(given.output.split())
    assert "--despite-unread" in given.output
    assert firm.sent == []


def test_a_target_is_released_where_that_is_meant_despite_what_is_unread(
    topics: Callable[..., Topics],
) -> None:
    firm = topics([hold()], [HISTORY])

    given = firm.give("netsuite:ledger", "--yes", "--despite-unread")

    assert given.exit_code == 0, given.output
    assert "unread by workers: 1,200 messages (engagement 1,200)" in given.output
    assert firm.sent == ["netsuite:ledger"]


def test_a_target_is_released_once_everything_is_read_and_that_lasts(
    topics: Callable[..., Topics],
) -> None:
    firm = topics([hold()], [NOTHING], [NOTHING])

    given = firm.give("netsuite:ledger", "--yes")

    assert given.exit_code == 0, given.output
    assert "unread by workers: nothing" in given.output
    assert firm.sent == ["netsuite:ledger"]


def test_a_target_is_not_released_where_more_comes_to_be_read(
    topics: Callable[..., Topics],
) -> None:
    firm = topics([hold()], [NOTHING], [HISTORY])

    assert firm.give("netsuite:ledger", "--yes").exit_code == 1
    assert firm.sent == []


def test_a_single_command_is_released_whatever_is_unread(topics: Callable[..., Topics]) -> None:
    firm = topics([hold(), held_alone()])

    given = firm.give("netsuite:netsuite:project:a", "--yes")

    assert given.exit_code == 0, given.output
    assert firm.sent == ["netsuite:netsuite:project:a"]


@pytest.mark.parametrize("words", [("netsuite:netsuite:project:a",), ("--class", "shadow")])
def test_what_is_in_shadow_is_not_released(
    topics: Callable[..., Topics], words: tuple[str, ...]
) -> None:
    firm = topics([{**held_alone(), "reason": "shadow"}])

    given = firm.give(*words, "--yes")

    is_named = "--class" not in words
    assert given.exit_code == (2 if is_named else 0)
    assert ("in shadow" if is_named else "nothing of it is held back") in given.output
    assert firm.sent == []


@pytest.mark.parametrize("group", ["rollup", "measures"])
def test_what_orders_nothing_holds_up_no_release(group: str) -> None:
    states = [GroupState(group, 1, 9), HISTORY]

    assert unread_by_tables(lambda: states) == [HISTORY]
    assert unread_by_tables(lambda: states[:1]) == []


def test_one_message_is_told_as_one() -> None:
    assert said_of_unread([GroupState("project", 1, 1)]) == "1 message (project 1)"
