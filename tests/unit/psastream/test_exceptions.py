"""Exceptions on the command line: what is meant, what is shown, what is asked for."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.dispatch.commands import Problem
from connectors.dispatch.exceptions import exception_id, open_record
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.signals import read_request
from connectors.toolkit.faults import Reason
from psastream.exceptions import (
    Filter,
    lines_of,
    parse_age,
    parse_reason,
    ranked,
    requests,
    said_of,
    sums_of,
)
from psastream.lines import say
from schemas.errors import ConfigError
from tests.support.sinks import make_command
from tests.support.terminals import lines_on_terminal, whole

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)


def refusal(key: str, reason: Reason, *, hours: int = 0, is_held: bool = False) -> Refusal:
    command = make_command(key, payload='{"name":"Tern"}', currency="EUR")
    at_s = (AT - timedelta(hours=hours)).timestamp()
    problem = Problem("USER_ERROR", "no right", "tax", reason, is_held)
    return Refusal(exception_id(command), command, problem, 3, 2, at_s, at_s, at_s + 60)


def row(key: str = "netsuite:project:a", **fields: Any) -> dict[str, Any]:
    record = open_record(refusal(key, fields.pop("reason", Reason.PERMISSION), **fields), {})
    return {**record, "amount": Decimal("125000.500000")}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), True),
        (Filter(target="netsuite"), True),
        (Filter(target="float"), False),
        (Filter(reason=Reason.PERMISSION), True),
        (Filter(reason=Reason.CLOSED), False),
        (Filter(ids=["netsuite:netsuite:project:a"]), True),
        (Filter(ids=["netsuite:netsuite:project:b"]), False),
        (Filter(older_than=timedelta(hours=2)), True),
        (Filter(older_than=timedelta(hours=3)), False),
        (Filter(older_than=parse_age("999999d")), False),
    ],
)
def test_filters_name_what_is_meant(wanted: Filter, expected: bool) -> None:
    assert wanted.matches(row(hours=2), at=AT) is expected
    assert not wanted.matches({**row(hours=2), "status": "resolved"}, at=AT)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), False),
        (Filter(target="netsuite"), False),
        (Filter(reason=Reason.PERMISSION), False),
        (Filter(reason=Reason.SHADOW), True),
        (Filter(target="float", reason=Reason.SHADOW), False),
        (Filter(ids=["netsuite:netsuite:project:a"]), True),
    ],
)
def test_what_is_in_shadow_is_meant_where_it_is_named(wanted: Filter, expected: bool) -> None:
    assert wanted.matches(row(reason=Reason.SHADOW), at=AT) is expected


@pytest.mark.parametrize(
    ("text", "age"),
    [("30m", timedelta(minutes=30)), ("2h", timedelta(hours=2)), ("7d", timedelta(days=7))],
)
def test_ages_are_read(text: str, age: timedelta) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "2w", "2h ", "1e3m"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_age(text)


def test_a_reason_that_is_none_names_those_that_are() -> None:
    assert parse_reason("closed") is Reason.CLOSED
    with pytest.raises(ConfigError, match="not a reason") as caught:
        parse_reason("money")
    assert "permission" in str(caught.value.hint)


def test_a_line_says_what_waits_and_why() -> None:
    said = said_of(row(hours=3, is_held=True), at=AT)

    assert said == "permission (not sent)  3h  125,000.50 EUR  no right"


def test_the_most_money_comes_first_and_currencies_are_not_compared() -> None:
    def waits(name: str, amount: str | None, currency: str | None, hours: int) -> dict[str, Any]:
        money = None if amount is None else Decimal(amount)
        raised_at = AT - timedelta(hours=hours)
        return row() | {
            "exception_id": name, "amount": money, "currency": currency, "raised_at": raised_at,
        }  # fmt: skip

    rows = [
        waits("old", None, None, 9),
        waits("small", "3", "EUR", 9),
        waits("large", "90", "EUR", 1),
        waits("yen", "92", "JPY", 9),
        waits("young", None, "EUR", 1),
        waits("same", "90", "EUR", 2),
    ]
    names = [each["exception_id"] for each in ranked(rows)]
    assert names == ["same", "large", "small", "yen", "old", "young"]
    assert [str(each) for each in sums_of(rows).items()] == [
        "('EUR', Decimal('183'))",
        "('JPY', Decimal('92'))",
    ]


def test_one_is_shown_with_command_refusal_attempts_and_remedy() -> None:
    text = "\n".join(whole(lines_of(row())))

    for part in (
        'content:\n  name: "Tern"\n',
        "USER_ERROR: no right",
        "tax",
        "3",
        "exceptions retry",
    ):
        assert part in text
    assert "the right is given back" in text


@pytest.mark.parametrize("payload", ['{"name":"%s","a":{"b":1}}', "%s ... cut, 9 bytes", '["%s"]'])
def test_a_terminal_has_no_line_that_is_wider_and_a_pipe_has_whole_ones(
    monkeypatch: pytest.MonkeyPatch, payload: str
) -> None:
    record = row(is_held=True) | {"payload": payload % ("Tern " * 60), "hint": "ask ada " * 40}

    def act() -> None:
        for head, text in lines_of(record):
            say(text, head)

    shown = lines_on_terminal(monkeypatch, act)
    assert max(map(len, shown)) <= 80
    assert len(whole(lines_of(record))) < len(shown)
    said = " ".join(each.strip() for each in shown)
    for part in (("Tern " * 60).strip(), "to do:        " + ("ask ada " * 40).strip()):
        assert part in said


def test_what_a_vendor_says_forges_no_line_and_moves_no_cursor() -> None:
    record = {**row(), "detail": "no\nfloat:b  permission  1m\x1b[2J"}
    shown = [said_of(record, at=AT), *whole(lines_of(record))]
    assert all(line.isprintable() for line in shown)
    assert "no float:b  permission  1m [2J" in shown[0]


def test_an_exception_of_a_table_is_shown_too() -> None:
    record = {**dict.fromkeys(row()), "exception_id": "billing:1", "status": "open", "kind": "lock"}
    record |= {"raised_at": AT, "detail": "billed time moved"}

    assert said_of(record, at=AT) == "lock  0s  billed time moved"
    assert "billing:1" in "\n".join(whole(lines_of(record)))


@pytest.mark.fault("A1", place="psastream/exceptions.py")
@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Filter(ids=["netsuite:netsuite:project:a", "netsuite:netsuite:project:b"]), "ab"),
        (Filter(reason=Reason.PERMISSION), "a"),
        (Filter(target="netsuite"), "abc"),
        (Filter(target="netsuite", reason=Reason.CLOSED), "bc"),
        (Filter(target="float"), ""),
    ],
)
def test_a1_what_is_asked_for_is_what_dispatchers_understand(wanted: Filter, meant: str) -> None:
    refusals = [
        refusal("netsuite:project:a", Reason.PERMISSION, hours=1),
        refusal("netsuite:project:b", Reason.CLOSED, hours=1),
        refusal("netsuite:project:c", Reason.CLOSED, hours=1),
    ]
    asked = [read_request(record) for record in requests(wanted, at=AT)]

    found = [it for it in refusals if any(request.is_about(it) for request in asked)]

    assert "".join(it.command.natural_key[-1] for it in found) == meant


def test_a_request_of_the_past_is_not_about_what_was_tried_since() -> None:
    [record] = requests(Filter(target="netsuite"), at=AT - timedelta(hours=2))

    assert not read_request(record).is_about(refusal("netsuite:project:a", Reason.CLOSED, hours=1))
