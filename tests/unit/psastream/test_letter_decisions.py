"""What may be decided about a dead letter, and what is said before it is done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import typer

from psastream.exits import Exit
from psastream.letter_decisions import (
    Decision,
    Meant,
    lines_of_plan,
    obstacle_to,
    plan_of,
)
from psastream.letters import UNREADABLE, Letter, identity
from psastream.people import is_meant, who
from schemas.errors import ConfigError
from tests.support.catalogue import BY_NAME

KEY = "src.float.role|0|7"
AT = datetime(2026, 11, 28, 10, tzinfo=UTC)


def letter(topic: str = "src.float.role", **fields: Any) -> dict[str, Any]:
    record = {"topic": topic, "partition": 0, "offset": 7, "key": b"k", "value": b"v"}
    return {**record, "error_code": "record.decode", **fields}


@pytest.mark.parametrize(
    ("found", "obstacle"),
    [
        (letter(), ""),
        (letter("psa.project"), "psastream reread psa.project"),
        (letter(partition=None, offset=None), "correct it at its source"),
        (letter("src.gone.rows"), "no topic src.gone.rows"),
        (letter("psa.command.float"), "psastream reread"),
        (letter("psa.internal.calendar"), "psastream reread"),
        (letter(value=None), "too large to be kept"),
        (UNREADABLE, "nobody can read it"),
    ],
)
def test_what_cannot_be_published_again_says_why(found: Letter, obstacle: str) -> None:
    said = obstacle_to(found, BY_NAME)
    assert obstacle in said
    assert bool(said) is bool(obstacle)
    discarded = plan_of(Decision.DISCARDED, {KEY: found}, {}, BY_NAME)
    assert list(discarded.doable) == [KEY]  # whatever it is, it may be set aside


@pytest.mark.parametrize("decision", Decision)
def test_a_decision_is_final(decision: Decision) -> None:
    told = {"decision": "released", "decided_at": AT, "decided_by": "ada@desk"}
    decided = {identity(KEY, letter()): told}
    plan = plan_of(decision, {KEY: letter()}, decided, BY_NAME)
    assert not plan.doable
    assert lines_of_plan(decision, plan) == [
        f"{KEY}: was released at 2026-11-28T10:00:00Z by ada@desk"
    ]


@pytest.mark.parametrize("other", [{"value": b"other"}, {"key": b"kv", "value": b""}])
def test_a_decision_is_about_a_record_and_not_about_whatever_stands_there(
    other: dict[str, bytes],
) -> None:
    told = {"decision": "discarded", "decided_at": AT, "decided_by": "ada@desk"}
    found = {KEY: letter(**other)}  # of a topic that was made anew
    plan = plan_of(Decision.RELEASED, found, {identity(KEY, letter()): told}, BY_NAME)
    assert plan.doable == found


def test_what_would_be_done_is_a_line_a_letter() -> None:
    found = {KEY: letter(), "src.float.role|1|8": letter(partition=None)}
    plan = plan_of(Decision.RELEASED, found, {}, BY_NAME)
    assert lines_of_plan(Decision.RELEASED, plan) == [
        "src.float.role|1|8: cannot be released: its reader refused it before it was published;"
        " correct it at its source",
        f"{KEY}: to be published again (record.decode)",
    ]
    nothing = plan_of(Decision.DISCARDED, {}, {}, BY_NAME)
    assert lines_of_plan(Decision.DISCARDED, nothing) == ["no dead letter is meant"]


def test_letters_are_meant_by_their_keys_or_by_topic_and_code() -> None:
    other = letter("src.float.person", error_code="record.poison")
    letters = {KEY: letter(), "b": other}
    assert list(Meant([KEY]).chosen(letters)) == [KEY]
    assert list(Meant(topic="src.float.person").chosen(letters)) == ["b"]
    assert list(Meant(code="record.decode").chosen(letters)) == [KEY]
    assert not Meant(topic="src.float.role", code="record.poison").chosen(letters)
    with pytest.raises(ConfigError, match="no dead letter: nix"):
        Meant([KEY, "nix"]).chosen(letters)
    with pytest.raises(ConfigError, match="no dead letter is named"):
        Meant().chosen(letters)


def test_nothing_is_done_that_nobody_was_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard input is no terminal here."""
    assert is_meant("do it?", is_dry=False, is_sure=True)
    assert not is_meant("do it?", is_dry=True, is_sure=True)
    with pytest.raises(typer.Exit) as ended:
        is_meant("do it?", is_dry=False, is_sure=False)
    assert ended.value.exit_code == Exit.FAILED
    told = capsys.readouterr()
    assert told.out == "nothing was done: a dry run\n"
    assert "--yes" in told.err


def test_who_decides_is_a_user_on_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert who().startswith("ada@")
