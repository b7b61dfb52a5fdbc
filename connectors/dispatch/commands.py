"""What dispatch reads and writes, as values: commands, intents, outcomes.

The field names are those of the contracts in `schemas/avro/command`; conversion from and to
records is here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Self, TypeVar

from pydantic import ValidationError

from connectors.toolkit.body import Bounds, parse_json
from connectors.toolkit.faults import Reason
from runtime.secrets import mask
from schemas.canonical_json import canonical_json
from schemas.commands import CONTENTS, CommandContent
from schemas.errors import InvalidEntityError

Payload = dict[str, Any]
Content = TypeVar("Content", bound=CommandContent)

IDENTITY_MAX: Final = 4_096
"""Longest text of a command but its payload, in characters: each is in several records."""
DETAIL_MAX: Final = 10_000
"""Longest text of a record of ours about a command, in characters."""
PAYLOAD_BOUNDS: Final = Bounds(size_bytes=1024 * 1024, values=10_000, depth=16)


class Status(Enum):
    """What became of a command. A refused one is tried again until it is out of date."""

    SUCCEEDED = "succeeded"  # this dispatcher saw the target accept it
    ADOPTED = "adopted"  # an earlier attempt of unknown outcome turned out to have landed
    REJECTED = "rejected"  # the target refuses it as things are; an exception is open
    SUPERSEDED = "superseded"  # a newer revision took its place before it had an effect
    WITHDRAWN = "withdrawn"  # nobody wants it any more, and it had no effect


CARRIED_OUT: Final = frozenset({Status.SUCCEEDED, Status.ADOPTED})
ENDED: Final = CARRIED_OUT | {Status.WITHDRAWN}
"""Statuses after which a command waits for nothing any more."""


@dataclass(frozen=True, slots=True)
class Command:
    """An order to one target. `payload` is its content as canonical JSON, kept as text."""

    command_id: str
    target: str
    kind: str
    natural_key: str
    revision: int
    payload: str
    origin_key: str
    correlation_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    issued_at: datetime | None = None
    traceparent: str | None = field(default=None, compare=False)
    """Context of the trace that its record belongs to, while tracing is on."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read a `psa.command.Command`.

        Raises InvalidEntityError where identity or content is missing, a text of its identity is
        too long, or its content is none of its kind or not what its payload says.
        """
        record = {**record, "payload": _said(record)}
        required = ("command_id", "target", "kind", "natural_key", "payload", "origin_key")
        missing = [name for name in required if not record.get(name)]
        if record.get("revision") is None:
            missing.append("revision")
        if missing:
            raise InvalidEntityError(
                f"a command lacks {', '.join(missing)}",
                hint="the table that derives the command must set them",
                context={"command_id": record.get("command_id")},
            )
        values: dict[str, Any] = {name: record.get(name) for name in cls.__slots__}
        long = [
            name
            for name, value in values.items()
            if name != "payload" and isinstance(value, str) and len(value) > IDENTITY_MAX
        ]
        if long:
            raise InvalidEntityError(
                f"a command's text is longer than {IDENTITY_MAX} characters: {', '.join(long)}",
                hint="only a payload may be long",
            )
        return cls(**values)

    @property
    def named(self) -> dict[str, str | None]:
        """What a log line about it names it by."""
        return {
            "target": self.target,
            "kind": self.kind,
            "command_id": self.command_id,
            "natural_key": self.natural_key,
            "correlation_id": self.correlation_id,
        }

    def content(self) -> Payload:
        """Return the parsed payload; JSON numbers become Decimal, never float. Upholds I7.

        Raises InvalidEntityError where it is not a JSON object within the bounds of one.
        """
        try:
            parsed = parse_json(self.payload.encode(), PAYLOAD_BOUNDS)
        except ValueError as error:
            raise InvalidEntityError(
                f"the payload of command {self.command_id} cannot be used: {error}"
            ) from error
        if not isinstance(parsed, dict):
            raise InvalidEntityError(f"the payload of command {self.command_id} is not an object")
        return parsed

    def read(self, model: type[Content]) -> Content:
        """Return what the command says.

        Raises InvalidEntityError naming the fields that are missing or of another type.
        """
        try:
            return model.model_validate(self.content())
        except ValidationError as error:
            fields = ", ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['type']}"
                for item in error.errors(include_url=False, include_input=False)
            )
            raise InvalidEntityError(
                f"the payload of {self.kind} breaks its contract: {fields}",
                hint="schemas/commands.py has the fields of each kind",
                context={"command_id": self.command_id},
            ) from error


def _said(record: Mapping[str, Any]) -> str | None:
    """Return the content of a command record as canonical JSON, None where there is none.

    A command of before its kind had a contract says it as text alone, and so does a withdrawal,
    which says nothing. Read by its field, so that a kind that nobody here knows can be refused by
    its target.
    """
    kind, payload = str(record.get("kind")), record.get("payload")
    context = {"command_id": record.get("command_id")}
    others = [name for name in CONTENTS if name != kind and record.get(name) is not None]
    if others:
        raise InvalidEntityError(
            f"a command of the kind {kind[:IDENTITY_MAX]} holds the content of {', '.join(others)}",
            hint="a command holds content in the field of its kind alone",
            context=context,
        )
    content = record.get(kind)
    if not isinstance(content, Mapping):
        return payload
    try:
        said = canonical_json(content)
    except (TypeError, ValueError) as error:
        raise InvalidEntityError(
            f"the content of a {kind} holds what no content holds: {type(error).__name__}",
            hint="a content is flat: texts, numbers, truth values, decimals and dates",
            context=context,
        ) from error
    if payload is not None and payload != said:
        raise InvalidEntityError(
            f"the content of a {kind} is not what its payload says",
            hint="the payload is the canonical JSON of the content; the id of the command is its"
            " hash",
            context=context,
        )
    return said


def shown_payload(command: Command) -> str:
    """Return the payload as other records hold it: whole, if it can be carried out at all.

    A cut one is no JSON, so that nothing is made of a part of it.
    """
    size_bytes = len(command.payload.encode())
    if size_bytes <= PAYLOAD_BOUNDS.size_bytes:
        return command.payload
    return f"{command.payload[:DETAIL_MAX]} ... cut, {size_bytes} bytes"


@dataclass(frozen=True, slots=True)
class Intent:
    """A record that an attempt was about to begin.

    `started_at` is by the clock of the process that wrote it, which need not be ours.
    """

    command_id: str
    revision: int
    attempt: int
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The last result of a natural key: what was settled, after how many attempts.

    `target_id` is the record's id inside the target as last known, None where there is no record.
    `status` is None where nobody needs it, or a newer version of us wrote one unknown to us.
    """

    revision: int
    attempts: int = 0
    target_id: str | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What a person must put right: stable code, the target's own words, the field it blames.

    `reason` says which kind of cure it waits for. `is_held`: the command was not sent, since the
    last ones of its kind were refused for this cause.
    """

    code: str
    detail: str
    field: str | None = None
    reason: Reason = Reason.VALIDATION
    is_held: bool = False

    def __post_init__(self) -> None:
        """Half of a surrogate pair, which JSON may hold, can be written in no record."""
        for name in ("code", "detail", "field"):
            if (text := getattr(self, name)) is not None:
                object.__setattr__(self, name, text.encode(errors="replace").decode())


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command was settled after `attempts` attempts, of all its trials together.

    `problem` says why it was rejected; `warning` what to tidy up although it was carried out.
    `is_gone`: the target holds no record any more.
    """

    status: Status
    attempts: int
    target_id: str | None = None
    problem: Problem | None = None
    warning: Problem | None = None
    is_gone: bool = False


def intent_record(command: Command, attempt: int, *, started_at: datetime) -> Payload:
    """Return the `psa.command.CommandIntent` of an attempt."""
    return {
        "command_id": command.command_id,
        "target": command.target,
        "natural_key": command.natural_key,
        "revision": command.revision,
        "attempt": attempt,
        "started_at": started_at,
    }


def result_record(command: Command, outcome: Outcome, *, finished_at: datetime) -> Payload:
    """Return the `psa.command.CommandResult` of a settled command."""
    problem = outcome.problem
    return {
        "command_id": command.command_id,
        "target": command.target,
        "kind": command.kind,
        "natural_key": command.natural_key,
        "revision": command.revision,
        "status": outcome.status.value,
        "target_id": outcome.target_id,
        "error_code": problem.code if problem else None,
        "error_detail": mask(problem.detail)[:DETAIL_MAX] if problem else None,
        "error_field": problem.field[:IDENTITY_MAX] if problem and problem.field else None,
        "attempts": outcome.attempts,
        "origin_key": command.origin_key,
        "correlation_id": command.correlation_id,
        "amount": command.amount,
        "currency": command.currency,
        "finished_at": finished_at,
    }


@dataclass(frozen=True, slots=True)
class OpenException:
    """A command that waits for a person, with the money that waits with it, and since when.

    `plan` is what one in shadow would do.
    """

    system: str
    natural_key: str
    amount: Decimal | None
    currency: str | None
    raised_at: datetime
    kind: str | None = None
    plan: str | None = None
