"""Commands on the command line: how far each is, what is meant, what is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.dispatch.approval import APPROVAL_REQUIRED, content_of
from connectors.dispatch.commands import Command, Intent, Settled, Status
from connectors.dispatch.decisions import Decision, Verb
from psastream.command_states import (
    Decided,
    Ordered,
    State,
    Wanted,
    as_plain,
    line_of,
    lines_of,
    ordered_of,
    parse_state,
    subject_of,
    summary,
)
from psastream.lines import fitted
from psastream.subjects import Names
from schemas.errors import ConfigError
from tests.support.commands import command_record, project_content
from tests.support.terminals import whole

AT = datetime(2026, 11, 28, 10, tzinfo=UTC)
KEY = "netsuite:project:eng-1-de"


def record(revision: int = 2, **fields: Any) -> dict[str, Any]:
    made = command_record(
        "netsuite", "upsert_project", "project:eng-1-de", revision,
        project_content("eng-1-de", "Tern"),
    )  # fmt: skip
    return {**made, "issued_at": AT - timedelta(minutes=5), **fields}


def bill(key: str = "tb-1", **fields: Any) -> dict[str, Any]:
    content = {"time_bill_id": key, "hours": "7.50", "budget_hours": "9"}
    made = command_record("netsuite", "upsert_time_bill", f"time_bill:{key}", 1, content)
    money = {"amount": Decimal("1234.500000"), "currency": "EUR"}
    return {**made, "issued_at": AT, **money, **fields}


def exception(revision: int = 2, *, is_held: bool = False, status: str = "open") -> dict[str, Any]:
    return {
        "natural_key": KEY,
        "revision": revision,
        "status": status,
        "is_held": is_held,
        "exception_id": f"netsuite:{KEY}",
        "error_code": "USER_ERROR",
        "detail": "no tax code",
        "hint": "set it",
    }


def states(
    *rows: dict[str, Any],
    result: Settled | None = None,
    intent: Intent | None = None,
    exceptions: tuple[dict[str, Any], ...] = (),
    decisions: tuple[Decision, ...] = (),
) -> list[Ordered]:
    results = {KEY: result} if result else {}
    intents = {KEY: intent} if intent else {}
    unreadable: list[str] = []
    found = ordered_of(
        rows or (record(),), results, intents, exceptions, unreadable,
        decided=Decided.by(decisions),
    )  # fmt: skip
    assert unreadable == []
    return found


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, State.WAITING),
        ({"result": Settled(1, 1, "7", Status.SUCCEEDED)}, State.WAITING),
        ({"intent": Intent("c", 1, 1)}, State.WAITING),
        ({"intent": Intent("c", 2, 1)}, State.ATTEMPTED),
        ({"result": Settled(2, 1, "7", Status.SUCCEEDED)}, State.SUCCEEDED),
        (
            {"result": Settled(2, 1, "7", Status.ADOPTED), "intent": Intent("c", 2, 1)},
            State.ADOPTED,
        ),
        ({"result": Settled(3, 1, None, Status.WITHDRAWN)}, State.WITHDRAWN),
        ({"result": Settled(2, 1, None, Status.SUPERSEDED)}, State.SUPERSEDED),
        (
            {"result": Settled(2, 3, None, Status.REJECTED), "exceptions": (exception(),)},
            State.REFUSED,
        ),
        ({"exceptions": (exception(),)}, State.REFUSED),
        ({"exceptions": (exception(is_held=True),)}, State.HELD),
        ({"exceptions": (exception(revision=1),)}, State.WAITING),
        ({"exceptions": (exception(status="resolved"),)}, State.WAITING),
    ],
)
def test_how_far_a_command_is_follows_from_what_dispatchers_wrote(
    told: dict[str, Any], state: State
) -> None:
    (found,) = states(**told)
    assert found.state is state


def test_what_is_in_shadow_says_what_it_would_do() -> None:
    shadow = {
        **exception(is_held=True), "error_code": "WOULD_CHANGE",
        "detail": "would change record 7: name: Tern → Tern Ltd",
    }  # fmt: skip
    created = {**shadow, "natural_key": "netsuite:time_bill:tb-1", "revision": 1}
    created |= {"error_code": "WOULD_CREATE", "detail": "would create it"}
    project, made = sorted(states(record(), bill(), exceptions=(shadow, created)), key=_key)

    assert line_of(project, at=AT) == (KEY, "held  would change  upsert_project  5m")
    shown = "\n".join(whole(lines_of(project)))
    assert "in shadow:  would change record 7: name: Tern → Tern Ltd" in shown
    assert "refused:" not in shown
    assert list(summary([project, made], 2)) == [
        "2 commands",
        "upsert_project: 1",
        "  would change: 1",
        "upsert_time_bill: 1; 7.50 h; 1,234.50 EUR",
        "  would create: 1; 7.50 h; 1,234.50 EUR",
    ]


def _key(each: Ordered) -> str:
    return each.natural_key


def test_the_last_revision_counts_and_the_newest_comes_first() -> None:
    found = states(record(3), record(2), bill())
    assert [(each.natural_key, each.revision) for each in found] == [
        ("netsuite:time_bill:tb-1", 1),
        (KEY, 3),
    ]


def test_time_decides_what_is_newest_and_then_the_key() -> None:
    old = AT - timedelta(days=1)
    found = states(bill("tb-2", issued_at=old), bill("tb-3", issued_at=None), record(), bill())
    assert [each.natural_key.rpartition(":")[2] for each in found] == [
        "tb-1", "eng-1-de", "tb-2", "tb-3",
    ]  # fmt: skip
    same = states(bill("tb-1"), bill("tb-2"))
    assert [each.natural_key[-1] for each in same] == ["2", "1"]


def test_what_is_no_command_is_told_and_holds_up_no_other() -> None:
    unreadable: list[str] = []
    rows = [record(kind=None), bill(), bill("tb-2", payload="[]")]
    found = ordered_of(rows, {}, {}, (), unreadable, decided=Decided.by())
    assert [each.natural_key for each in found] == [
        "netsuite:time_bill:tb-2",
        "netsuite:time_bill:tb-1",
    ]
    assert f"{KEY} is no command" in unreadable[0]
    assert "netsuite:time_bill:tb-2" in unreadable[1]


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Wanted(), True),
        (Wanted(target="netsuite", kind="upsert_project"), True),
        (Wanted(target="float"), False),
        (Wanted(kind="upsert_customer"), False),
        (Wanted(state=State.WAITING), True),
        (Wanted(state=State.SUCCEEDED), False),
    ],
)
def test_filters_name_what_is_meant(wanted: Wanted, meant: bool) -> None:
    (found,) = states()
    assert wanted.matches(found) is meant
    assert not Wanted().matches(replace(found, state=State.SUCCEEDED))
    assert Wanted(state=State.SUCCEEDED).matches(replace(found, state=State.SUCCEEDED))


def test_a_state_that_is_none_names_those_that_are() -> None:
    assert parse_state("held") is State.HELD
    with pytest.raises(ConfigError) as caught:
        parse_state("open")
    assert "waiting, attempted, refused, held" in caught.value.hint


def test_a_line_has_state_kind_hours_money_and_age() -> None:
    billed, project = states(record(), bill(issued_at=AT - timedelta(seconds=30)))
    assert line_of(billed, at=AT) == (
        "netsuite:time_bill:tb-1",
        "waiting  upsert_time_bill  7.50 h  1,234.50 EUR  30s",
    )
    assert line_of(project, at=AT) == (KEY, "waiting  upsert_project  5m")


def test_lines_fit_the_screen_and_keys_are_never_cut() -> None:
    (found,) = states(bill("t" * 90, amount=Decimal(10**20)))
    key, said = fitted(*line_of(found, at=AT))
    assert key == f"netsuite:time_bill:{'t' * 90}"
    assert said.startswith("  waiting  upsert_time_bill") and len(said) <= 80
    (short,) = fitted(*line_of(states()[0], at=AT))
    assert short == f"{KEY}  waiting  upsert_project  5m"
    assert max(map(len, fitted("a\x1b[2J", "x" * 100))) == 80


def test_the_end_counts_hours_and_money_by_kind_and_currency() -> None:
    """The time of a project is part of its contract value: they are no sum."""
    worth = {"amount": Decimal("125000.500000"), "currency": "EUR"}
    found = states(bill(), bill("tb-2", currency="PLN"), record(**worth))
    assert list(summary(found, 3)) == [
        "3 commands",
        "upsert_project: 1; 125,000.50 EUR",
        "upsert_time_bill: 2; 15.00 h; 1,234.50 EUR; 1,234.50 PLN",
    ]
    assert next(summary(found, 2)) == "2 of 3 commands, the newest (--limit)"
    assert list(summary([], 0)) == ["0 commands"]
    assert list(summary(states(), 1)) == ["1 command", "upsert_project: 1"]


def test_a_command_names_its_project_and_customer() -> None:
    names = Names(
        held={"psa:project:1": {"id": "psa:project:1", "project_id": "eng-1-de"}},
        ordered={"eng-1-de": {"name": "Tern", "customer_id": "cus-1"}},
        customers={"cus-1": {"name": "Abel"}},
    )
    gone = {"time_bill_id": "tb-9", "project_ref": "psa:project:1"}
    rows = (
        record(),
        command_record("netsuite", "delete_time_bill", "time_bill:tb-9", 1, gone),
    )
    for found in states(*rows):
        assert str(subject_of(found, names)) == "Tern, for Abel"


def test_one_is_shown_with_what_it_says_and_what_stands_against_it() -> None:
    (found,) = states(
        result=Settled(2, 3, "77", Status.REJECTED), exceptions=(exception(is_held=True),)
    )
    text = "\n".join(whole(lines_of(found)))
    for part in (
        KEY,
        "state:      held",
        "attempts:   3",
        "target id:  77",
        "USER_ERROR: no tax code",
        "to do:      set it",
        '  name: "Tern"',
        '  contract_value: "125000.5"',
    ):
        assert part in text
    assert all(line.isprintable() for line in whole(lines_of(found)))
    assert "money:" not in text
    assert "money:      1,234.50 EUR" in whole(lines_of(states(bill())[0]))


def test_what_a_person_has_stopped_says_so_until_it_has_ended() -> None:
    stop = (Decision(Verb.STOPPED, "netsuite", "upsert_project"),)
    (waiting,) = states(decisions=stop)
    (ended,) = states(result=Settled(2, 1, "7", Status.SUCCEEDED), decisions=stop)
    (other,) = states(bill(), decisions=stop)
    assert [each.is_stopped for each in (waiting, ended, other)] == [True, False, False]
    assert line_of(waiting, at=AT)[1].startswith("waiting  stopped  upsert_project")
    assert as_plain(waiting)["is_stopped"] is True


def word(verb: Verb, row: dict[str, Any]) -> Decision:
    command = Command.from_record(row)
    return Decision(
        verb, "netsuite", command.kind, "ada@desk", AT, "as agreed", command.natural_key,
        content_of(command),
    )  # fmt: skip


@pytest.mark.parametrize("verb", [Verb.APPROVED, Verb.REFUSED])
def test_what_is_decided_and_not_carried_out_yet_says_so(verb: Verb) -> None:
    waits = exception(is_held=True) | {"error_code": APPROVAL_REQUIRED, "hint": "approve it"}
    (found,) = states(exceptions=(waits,), decisions=(word(verb, record()),))

    assert line_of(found, at=AT)[1].startswith(f"held  {verb.value}  upsert_project")
    shown = whole(lines_of(found))
    assert f"decided:    {verb.value} at 2026-11-28T10:00:00Z by ada@desk: as agreed" in shown
    assert ("to do:      approve it" in shown) is (verb is Verb.REFUSED)
    told = json.loads(json.dumps(as_plain(found)))
    assert told["decision"] == verb.value
    assert told["decided_by"] == "ada@desk"
    assert told["decided_at"] == "2026-11-28T10:00:00Z"
    assert told["decision_note"] == "as agreed"


def test_a_word_is_about_one_version_and_stays_with_what_has_ended() -> None:
    decisions = (word(Verb.APPROVED, record()),)
    (newer,) = states(record(3), decisions=decisions)
    assert newer.word is None
    assert line_of(newer, at=AT)[1].startswith("waiting  upsert_project")
    assert as_plain(newer)["decision"] is None

    (ended,) = states(result=Settled(2, 1, "7", Status.SUCCEEDED), decisions=decisions)
    assert line_of(ended, at=AT)[1].startswith("succeeded  upsert_project")
    assert any(line.startswith("decided:    approved at") for line in whole(lines_of(ended)))


def test_json_is_exact() -> None:
    (found,) = states(bill())
    shown = json.loads(json.dumps(as_plain(found)))
    assert (shown["amount"], shown["hours"], shown["state"]) == ("1234.500000", "7.50", "waiting")
    assert shown["content"]["time_bill_id"] == "tb-1"
    assert shown["issued_at"] == "2026-11-28T10:00:00Z"
