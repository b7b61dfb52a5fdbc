"""Spans of commands: each step of a command whose change is traced, and each refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from connectors.dispatch.commands import Command, Outcome, Status
from connectors.dispatch.ledger import Step
from runtime.tracing import Attribute, tracing
from schemas.topics import COMMAND_PREFIX

_NS: Final = 1_000_000_000

Failed = Callable[[BaseException | None], None]
"""Takes in why a step must be repeated, if it must."""


@contextmanager
def step_span(step: Step) -> Iterator[Failed]:
    """Make the span of a step, below the record of its command, where that is traced.

    Requests and records of the block belong to it.
    """
    made, command = tracing(), step.command
    if made is None or command.traceparent is None:
        yield lambda _: None
        return
    attributes = _attributes(command) | {"psastream.command.step": type(step).__name__.lower()}
    span = made.start(
        f"process {COMMAND_PREFIX}{command.target}",
        "CONSUMER",
        attributes,
        parent=command.traceparent,
    )

    def failed(error: BaseException | None) -> None:
        if error is not None:
            made.failed(span, error)

    try:
        with made.as_current(span):
            yield failed
    except BaseException as error:
        made.failed(span, error)
        raise
    finally:
        span.end()


def tell_outcome(command: Command, outcome: Outcome) -> None:
    """Note on the current span how a command was settled.

    A refusal of a command whose change is not traced gets a trace of its own: what somebody has to
    look at is always there.
    """
    made = tracing()
    if made is None:
        return
    span = made.current()
    is_own = span is None
    if span is None:
        if outcome.status is not Status.REJECTED:
            return
        issued_at = command.issued_at
        span = made.start(
            f"process {COMMAND_PREFIX}{command.target}",
            "CONSUMER",
            _attributes(command),
            is_chosen=True,
            start_ns=None if issued_at is None else int(issued_at.timestamp() * _NS),
        )
    span.set_attribute("psastream.command.status", outcome.status.value)
    span.set_attribute("psastream.command.attempts", outcome.attempts)
    if outcome.problem is not None:
        made.failed(span, outcome.problem.reason.value)
    if is_own:
        span.end()


def _attributes(command: Command) -> dict[str, Attribute]:
    found: dict[str, Attribute | None] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": f"{COMMAND_PREFIX}{command.target}",
        "psastream.target": command.target,
        "psastream.command.kind": command.kind,
        "psastream.command.id": command.command_id,
        "psastream.command.revision": command.revision,
        "psastream.correlation_id": command.correlation_id,
    }
    return {name: value for name, value in found.items() if value is not None}
