"""The life of an exception: opened by a refusal, resolved once its desire is met. Pure.

There is one exception a natural key and system, and one more where a carried-out command leaves
something to tidy up. Both keep their identity, so each is one row of a compacted topic. An open
exception holds the whole command: it is all that is needed to try it again after a restart. Of a
payload too long for any target it holds the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from connectors.dispatch.commands import (
    CARRIED_OUT,
    DETAIL_MAX,
    ENDED,
    IDENTITY_MAX,
    Command,
    Payload,
    Problem,
    Settled,
    Status,
    shown_payload,
)
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.remedies import Remedies, remedy
from connectors.toolkit.faults import Reason
from runtime.secrets import mask

OPEN: Final = "open"
RESOLVED: Final = "resolved"


def exception_id(command: Command) -> str:
    """Identity of the exception of a rejected command."""
    return f"{command.target}:{command.natural_key}"


def warning_id(command: Command) -> str:
    """Identity of the exception of a command that was carried out and left something behind."""
    return f"{exception_id(command)}:warning"


def open_record(refusal: Refusal, remedies: Remedies) -> Payload:
    """Return the `psa.command.Exception` of a refusal, with what its vendor says can be done."""
    command, problem = refusal.command, refusal.problem
    return {
        **_identity(refusal.exception_id, command),
        "status": OPEN,
        "error_code": problem.code,
        "detail": mask(problem.detail)[:DETAIL_MAX],
        "hint": remedy(problem, remedies),
        "field": problem.field[:IDENTITY_MAX] if problem.field else None,
        "raised_at": _instant(refusal.raised_at_s),
        "reason": problem.reason.value,
        "is_held": problem.is_held,
        "revision": command.revision,
        "origin_key": command.origin_key,
        "issued_at": command.issued_at,
        "attempts": refusal.attempts,
        "refusals": refusal.refusals,
        "attempted_at": _instant(refusal.attempted_at_s),
        "retry_at": _instant(refusal.retry_at_s),
    }


def is_leftover(refusal: Refusal) -> bool:
    """Whether its command was carried out, and left something to tidy up."""
    return refusal.exception_id == warning_id(refusal.command)


def resolved_record(identity: str, command: Command, attempts: int, *, at: datetime) -> Payload:
    """Return the `psa.command.Exception` that ends one: the desire is met or withdrawn."""
    return {
        **_identity(identity, command),
        "status": RESOLVED,
        "raised_at": at,
        "revision": command.revision,
        "attempts": attempts,
    }


def ended_by(status: Status, command: Command) -> Sequence[str]:
    """Return the exceptions that an outcome ends; a withdrawal tidies nothing up."""
    if status in CARRIED_OUT:
        return (exception_id(command), warning_id(command))
    return (exception_id(command),) if status is Status.WITHDRAWN else ()


def is_ended(refusal: Refusal, last: Settled | None) -> bool:
    """Whether the last result of its natural key has ended what an exception is open for.

    Then nobody came to resolve it, or a process that was cut off told of it afterwards. A refusal
    of more attempts than the result knows of is none of those. What was left over outlives every
    revision but one that was carried out.
    """
    if last is None:
        return False
    if is_leftover(refusal):
        return last.status in CARRIED_OUT and last.revision > refusal.command.revision
    known = (last.revision, last.attempts)
    return last.status in ENDED and known >= (refusal.command.revision, refusal.attempts)


def ended_record(refusal: Refusal) -> Payload:
    """Return the `psa.command.Exception` that ends one that its result has ended already."""
    at = _instant(refusal.attempted_at_s)
    return resolved_record(refusal.exception_id, refusal.command, refusal.attempts, at=at)


def is_overtaken(record: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether a record of an exception comes later than one that is about more attempts.

    A process that was cut off may deliver it long after its heir has had the last word. What was
    settled after as many attempts is over. Records without a revision, as of tables, never come
    late.
    """
    if record["revision"] is None or known["revision"] is None:
        return False
    return _rank(record) < _rank(known)


def _rank(record: Mapping[str, Any]) -> tuple[int, int, bool]:
    return record["revision"], record["attempts"] or 0, record["status"] == RESOLVED


def read_refusal(record: Mapping[str, Any]) -> Refusal | None:
    """Return the refusal of an open `psa.command.Exception`, None where a table raised it.

    Raises InvalidEntityError where its command lacks its identity.
    """
    if record["revision"] is None:
        return None
    command = Command.from_record({**record, "target": record["system"]})
    problem = Problem(
        record["error_code"],
        record["detail"] or "",
        record["field"],
        read_reason(record["reason"]),
        bool(record["is_held"]),
    )
    return Refusal(
        record["exception_id"],
        command,
        problem,
        record["attempts"],
        record["refusals"],
        record["raised_at"].timestamp(),
        record["attempted_at"].timestamp(),
        record["retry_at"].timestamp(),
    )


def read_reason(name: str | None) -> Reason:
    """Return a reason by its name; one that a newer version of us wrote is unclear to us."""
    return Reason(name) if name in {reason.value for reason in Reason} else Reason.UNCLEAR


def _identity(identity: str, command: Command) -> Payload:
    return {
        "exception_id": identity,
        "system": command.target,
        "kind": command.kind,
        "natural_key": command.natural_key,
        "command_id": command.command_id,
        "payload": shown_payload(command),
        "amount": command.amount,
        "currency": command.currency,
        "correlation_id": command.correlation_id,
    }


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
