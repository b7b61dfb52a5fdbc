"""The life of an exception: opened by a rejection, resolved by the next success. Pure.

There is one exception a natural key and system, and one more where a carried-out command leaves
something to tidy up. Both keep their identity, so each is one row of a compacted topic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from connectors.dispatch.commands import Command, Outcome, Payload, Problem, Status
from connectors.dispatch.remedies import remedy

OPEN = "open"
RESOLVED = "resolved"


def exception_id(command: Command) -> str:
    """Identity of the exception of a rejected command."""
    return f"{command.target}:{command.natural_key}"


def warning_id(command: Command) -> str:
    """Identity of the exception of a command that was carried out and left something behind."""
    return f"{exception_id(command)}:warning"


def exception_changes(
    command: Command, outcome: Outcome, open_ids: Collection[str], *, at: datetime
) -> Iterator[Payload]:
    """Yield the `psa.command.Exception` records that an outcome calls for.

    A superseded command changes nothing: its successor will tell.
    """
    if outcome.problem is not None:
        yield _record(exception_id(command), command, outcome.problem, at)
    if outcome.status not in (Status.SUCCEEDED, Status.ADOPTED):
        return
    if exception_id(command) in open_ids:
        yield _record(exception_id(command), command, None, at)
    if outcome.warning is not None:
        yield _record(warning_id(command), command, outcome.warning, at)
    elif warning_id(command) in open_ids:
        yield _record(warning_id(command), command, None, at)


def _record(identity: str, command: Command, problem: Problem | None, at: datetime) -> Payload:
    return {
        "exception_id": identity,
        "status": OPEN if problem else RESOLVED,
        "system": command.target,
        "kind": command.kind,
        "natural_key": command.natural_key,
        "command_id": command.command_id,
        "error_code": problem.code if problem else None,
        "detail": problem.detail if problem else None,
        "hint": remedy(command.target, problem) if problem else None,
        "field": problem.field if problem else None,
        "payload": command.payload,
        "amount": command.amount,
        "currency": command.currency,
        "correlation_id": command.correlation_id,
        "raised_at": at,
    }
