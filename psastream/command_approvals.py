"""What people decide about single commands: to approve those that wait for it, or to refuse them.

A decision is about one content, that of the open exception as it is read here. What has become of
the natural key by the time that a dispatcher hears of it needs a decision of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.dispatch.approval import APPROVAL_REFUSED, content_of
from connectors.dispatch.commands import Command
from connectors.dispatch.decisions import DECISIONS, Approvals, Decision, Stops, Verb
from connectors.dispatch.exceptions import OPEN, read_refusal
from psastream.command_decisions import read_decisions, said_of, said_of_word
from psastream.exceptions import Row, awaits_word, publish, read_exceptions
from psastream.lines import WIDTH, cut, say
from psastream.people import is_meant, who
from psastream.subjects import Names
from runtime.kafka import require_broker
from runtime.offsets import present_places
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError


def decide(
    settings: Settings,
    verb: Verb,
    natural_keys: Sequence[str],
    *,
    note: str | None = None,
    is_dry: bool = False,
    is_sure: bool = False,
) -> None:
    """Say what is approved or refused, and do it where that is meant.

    Raises ConfigError where a command does not wait for it, and BrokerUnavailableError.
    """
    kafka, serde = settings.kafka, Serde.of(settings)
    require_broker(kafka.client())
    if DECISIONS not in present_places(kafka, [DECISIONS]):
        raise ConfigError(f"there is no topic {DECISIONS}", hint="psastream topics apply makes it")
    decisions = read_decisions(kafka, serde)
    approvals, stops = Approvals(decisions), Stops(decisions)
    rows = waiting(read_exceptions(kafka, serde), natural_keys, verb)
    names = Names.read(kafka, serde)
    for row in rows:
        say(line_of(row))
        if subject := str(names.subject_of(row)):
            say(cut(subject, WIDTH - 2), "  ")
        for line in decided_of(row, approvals, stops):
            say(line, "  ")
    rows = [row for row in rows if not is_said(row, verb, approvals)]
    if not rows:
        say(f"nothing else is to be {verb.value}")
    elif is_meant(f"{_ORDERS[verb]} {len(rows)}?", is_dry=is_dry, is_sure=is_sure):
        at = datetime.now(UTC)
        publish(settings, DECISIONS, "decision_id", records(rows, verb, note, at=at))
        say(f"{len(rows)} {verb.value}")


_ORDERS = {Verb.APPROVED: "approve", Verb.REFUSED: "refuse"}


def waiting(rows: Iterable[Row], natural_keys: Sequence[str], verb: Verb) -> list[Row]:
    """Return the exceptions that are meant, in their order. Pure.

    What was refused may still be approved. Raises ConfigError where one does not wait for a word.
    """
    asked = {
        row["natural_key"]: row
        for row in rows
        if row["status"] == OPEN and awaits_word(row)
        if verb is Verb.APPROVED or row["error_code"] != APPROVAL_REFUSED
    }
    if unknown := [key for key in natural_keys if key not in asked]:
        raise ConfigError(
            f"waits for no approval: {', '.join(unknown)}",
            hint="psastream exceptions list --class approval has those that do",
        )
    return [asked[key] for key in dict.fromkeys(natural_keys)]


def is_said(row: Row, verb: Verb, approvals: Approvals) -> bool:
    """Whether the last word about a command says that already. Pure."""
    word = _word_about(row, approvals)
    return word is not None and word.verb is verb


def decided_of(row: Row, approvals: Approvals, stops: Stops) -> Iterator[str]:
    """Yield what was decided about a command, which may not have been heard yet. Pure."""
    if word := _word_about(row, approvals):
        yield said_of_word(word)
    command = _command_of(row)
    for kind in (command.kind, None):
        if stop := stops.by(command.target, kind):
            yield said_of(stop)


def _word_about(row: Row, approvals: Approvals) -> Decision | None:
    command = _command_of(row)
    return approvals.of(command.target, content_of(command))


def _command_of(row: Row) -> Command:
    refusal = read_refusal(row)
    assert refusal is not None, row["exception_id"]  # a table's waits for no approval
    return refusal.command


def line_of(row: Row) -> str:
    """Return a command in a line: what it is, the money that it moves, why it waits."""
    return f"{row['natural_key']}: {row['kind']}, revision {row['revision']}; {row['detail']}"


def records(
    rows: Iterable[Row], verb: Verb, note: str | None, *, at: datetime
) -> list[dict[str, Any]]:
    """Return the `psa.command.CommandDecision` of each command, by whoever runs this process."""
    by, found = who(), []
    for row in rows:
        command = _command_of(row)
        found.append(
            {
                "decision_id": uuid.uuid4().hex,
                "decision": verb.value,
                "target": command.target,
                "kind": command.kind,
                "natural_key": command.natural_key,
                "command_id": command.command_id,
                "content": content_of(command),
                "amount": command.amount,
                "currency": command.currency,
                "decided_at": at,
                "decided_by": by,
                "note": note,
            }
        )
    return found
