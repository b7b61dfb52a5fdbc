"""What a dispatcher may do whose ledger remembers little of a target: ask before it writes. Pure.

A ledger without results is that of a first start, or one that was lost: with its topics, with the
cluster, or because this is another cluster than the one that has written so far. Kafka cannot tell
which; the target can. A record that bears an id of ours, and that no result knows of, was made by a
ledger that is not here. Then tables may be reading anew, too, and order by half of what they will
know: nothing is written until a person has said that it may.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

from connectors.dispatch.commands import Command, Payload
from connectors.dispatch.exceptions import OPEN, RESOLVED
from connectors.dispatch.refusals import RetryRequest
from connectors.dispatch.sink import Applied
from schemas.commands import CONTENTS

FEW: Final = 20
"""Commands carried out until a ledger is held to be the one of its target."""
CONFIRMED_FOR_S: Final = 86_400.0
"""How long a person's word counts for a ledger that still remembers few."""
LEDGER_LOST: Final = "LEDGER_LOST"
"""Code of the exception."""
KIND: Final = "send_commands"
HINT: Final = (
    "stop other dispatchers of this account; wait until the workers have read all topics and the"
    " pollers every object; compare `psastream commands list` with the target; then `psastream"
    " exceptions release {identity}`; psastream docs disaster-recovery says why"
)


def hold_id(target: str) -> str:
    """Identity of the exception of a target whose ledger was lost; its natural key, too."""
    return f"{target}:ledger"


def hold_record(target: str, detail: str, at: datetime) -> Payload:
    """Return the `psa.command.Exception` that has all commands of a target wait."""
    return {
        **_record(target, at),
        "status": OPEN,
        "error_code": LEDGER_LOST,
        "detail": detail,
        "hint": HINT.format(identity=hold_id(target)),
        "is_held": True,
    }


def is_hold(record: Any) -> bool:
    """Whether a `psa.command.Exception` is such a one."""
    return bool(record["exception_id"] == hold_id(record["system"] or ""))


@dataclass(frozen=True, slots=True)
class Hold:
    """A record of it: since when commands wait, or since when they may be sent (seconds)."""

    at_s: float
    is_open: bool


class FirstCommands:
    """Of one target: how much its ledger remembers, and whether its commands wait."""

    def __init__(
        self, target: str, *, carried_out: int = FEW, told: Hold | None = None, now_s: float = 0.0
    ) -> None:
        """`carried_out`: so many natural keys have a result. `told`: what was recorded last."""
        self._identity = hold_id(target)
        self._target = target
        self._carried_out = carried_out
        self._since_s = told.at_s if told and told.is_open else None
        self._is_confirmed = bool(told and not told.is_open and now_s - told.at_s < CONFIRMED_FOR_S)

    @property
    def is_held(self) -> bool:
        """Whether nothing is to be sent until a person has said so."""
        return self._since_s is not None

    @property
    def ask_first(self) -> bool:
        """Whether a command of a natural key without a record is looked up before it is sent."""
        return self._carried_out < FEW or self._is_confirmed

    @property
    def is_confirmed(self) -> bool:
        """Whether a person has said that commands are to be sent although the ledger was lost."""
        return self._is_confirmed

    def carried_out(self) -> None:
        """Take in that the target holds the content of one more command."""
        self._carried_out += 1

    def contradicts(self, command: Command, found: Applied | None) -> bool:
        """Whether the target holds what was never sent, as far as the ledger knows.

        A record that the command only changes was made by another one, which another process may
        have sent.
        """
        content = CONTENTS.get(command.kind)
        is_change = content is not None and content.changes is not None
        is_there = found is not None and not found.is_gone
        return is_there and not is_change and not self._is_confirmed

    def hold(self, command: Command, now_s: float) -> Payload:
        """Hold everything back from now on; return the record that says so."""
        self._since_s = now_s if self._since_s is None else self._since_s
        detail = (
            f"{command.target} holds {command.natural_key} already, and neither intent nor result"
            " of it is recorded: the ledger of commands was lost, or this is another cluster than"
            " the one that has written so far. No command is sent."
        )
        return hold_record(self._target, detail, datetime.fromtimestamp(self._since_s, UTC))

    def release(self, request: RetryRequest, now_s: float) -> Payload | None:
        """Take in a person's word; return the record of it where commands were held back."""
        if request.exception_id != self._identity:
            return None
        if self._since_s is None:
            # What was said in former days counts by its record alone.
            self._is_confirmed = self._is_confirmed or request.tried_before_s == inf
            return None
        if request.tried_before_s <= self._since_s:
            return None
        self._since_s, self._is_confirmed = None, True
        at = datetime.fromtimestamp(now_s, UTC)
        return {**_record(self._target, at), "status": RESOLVED}


def _record(target: str, at: datetime) -> Payload:
    return {
        "exception_id": hold_id(target),
        "system": target,
        "kind": KIND,
        "natural_key": hold_id(target),
        "raised_at": at,
    }
