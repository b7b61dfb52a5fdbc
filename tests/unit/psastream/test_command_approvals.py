"""What may be approved or refused, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.dispatch.approval import APPROVAL_REFUSED, APPROVAL_REQUIRED, content_of
from connectors.dispatch.commands import Problem
from connectors.dispatch.decisions import Approvals, Decision, Stops, Verb, read_decision
from connectors.dispatch.exceptions import open_record
from connectors.dispatch.refusals import Refusal
from connectors.toolkit.faults import Reason
from psastream.command_approvals import decided_of, is_said, line_of, records, waiting
from psastream.exceptions import awaits_word, lines_of
from psastream.people import who
from schemas.errors import ConfigError
from tests.support.sinks import make_command

AT = datetime(2026, 11, 29, 9, tzinfo=UTC)
COMMAND = replace(make_command(), amount=Decimal("125000.500000"), currency="EUR")
KEY = COMMAND.natural_key


def row(code: str = APPROVAL_REQUIRED, reason: Reason = Reason.APPROVAL) -> dict[str, Any]:
    problem = Problem(code, "125,000.50 EUR: an approval is needed", reason=reason, is_held=True)
    return open_record(Refusal(f"netsuite:{KEY}", COMMAND, problem, 0, 0, 0.0, 0.0, 0.0), {})


@pytest.mark.parametrize(
    ("found", "verb", "may"),
    [
        (row(), Verb.APPROVED, True),
        (row(), Verb.REFUSED, True),
        (row(APPROVAL_REFUSED), Verb.APPROVED, True),
        (row(APPROVAL_REFUSED), Verb.REFUSED, False),
        (row("NO_RIGHT", Reason.PERMISSION), Verb.APPROVED, False),
        (row() | {"status": "resolved"}, Verb.APPROVED, False),
    ],
)
def test_a_word_is_about_what_waits_for_one(found: dict[str, Any], verb: Verb, may: bool) -> None:
    if may:
        assert waiting([found], [KEY, KEY], verb) == [found]
    else:
        with pytest.raises(ConfigError, match=f"waits for no approval: {KEY}"):
            waiting([found], [KEY], verb)


def test_what_is_written_is_what_dispatchers_compare_and_names_who_decided() -> None:
    [record] = records([row()], Verb.APPROVED, "as agreed", at=AT)
    assert read_decision(record) == Decision(
        Verb.APPROVED, "netsuite", "upsert_project", who(), AT, "as agreed", KEY,
        content_of(COMMAND),
    )  # fmt: skip
    assert (record["command_id"], record["amount"], record["currency"]) == (
        COMMAND.command_id, COMMAND.amount, "EUR",
    )  # fmt: skip


def word(verb: Verb) -> Decision:
    return Decision(verb, "netsuite", COMMAND.kind, "ada@desk", AT, None, KEY, content_of(COMMAND))


def test_what_was_decided_and_not_heard_yet_is_shown_and_not_decided_again() -> None:
    decisions = [
        Decision(Verb.STOPPED, "netsuite", None, "bob@desk", AT),
        Decision(Verb.STOPPED, "netsuite", "upsert_customer", "bob@desk", AT),
        Decision(Verb.STOPPED, "netsuite", "upsert_project", "eve@desk", AT),
        word(Verb.REFUSED),
        word(Verb.APPROVED),
    ]
    approvals, stops = Approvals(decisions), Stops(decisions)

    assert list(decided_of(row(), approvals, stops)) == [
        "approved at 2026-11-29T09:00:00Z by ada@desk",
        "upsert_project of netsuite is stopped since 2026-11-29T09:00:00Z by eve@desk",
        "netsuite is stopped since 2026-11-29T09:00:00Z by bob@desk",
    ]
    assert is_said(row(), Verb.APPROVED, approvals)
    assert not is_said(row(), Verb.REFUSED, approvals)
    assert not is_said(row() | {"revision": 2}, Verb.APPROVED, approvals)
    assert list(decided_of(row(), Approvals(), Stops())) == []


def test_what_is_approved_is_shown_with_its_money() -> None:
    assert line_of(row()) == (
        f"{KEY}: upsert_project, revision 1; 125,000.50 EUR: an approval is needed"
    )
    text = "\n".join(f"{head}{said}" for head, said in lines_of(row()))
    assert "not sent" not in text and "a person approves it" in text
    assert awaits_word(row()) and not awaits_word(row(reason=Reason.CLOSED))
