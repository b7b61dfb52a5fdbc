"""Whether a ledger is the one of its target: nothing is written before that is known. Pure.

A ledger that knows of nothing is that of a first start, or one that was lost: with its topics, with
the cluster, or because this is another cluster than the one that has written so far. One that knows
of much may be that of an older day. Kafka cannot tell which; the target can. The record of ours
that it holds as its newest was announced by an intent before it was made: a ledger without that
intent is not the one that has written last. Then tables may be reading anew, too, and order by half
of what they will know: nothing is written until a person has said that it may.

What the target held when it was said is no trace any more: the record of a person's word names it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

from connectors.dispatch.commands import CARRIED_OUT, Intent, Payload, Settled
from connectors.dispatch.exceptions import OPEN, RESOLVED
from connectors.dispatch.refusals import RetryRequest

ADOPTED_FOR_S: Final = 86_400.0
"""How long after a person's word commands are looked up before they are sent."""
LEDGER_LOST: Final = "LEDGER_LOST"
"""Code of the exception: the target holds what the ledger does not know of."""
TABLES_ANEW: Final = "TABLES_ANEW"
"""Code of the exception: what tables order is wrong until they have read their topics."""
KIND: Final = "send_commands"
_COMPARE: Final = (
    "compare `psastream commands list` with the target; then `psastream exceptions release"
    " {identity}`; psastream docs disaster-recovery says why"
)
HINTS: Final = {
    LEDGER_LOST: "stop other dispatchers of this account; wait until the workers have read all"
    f" topics and the pollers every object; {_COMPARE}",
    TABLES_ANEW: f"wait until no group lags and stays so (psastream status); {_COMPARE}",
}
NEWEST: Final = "newest"

Newest = Mapping[str, Sequence[str]]
"""As a sink tells it: ids of records of ours by the noun of their natural keys, newest first."""


def hold_id(target: str) -> str:
    """Identity of the exception that has all commands of a target wait; its natural key, too."""
    return f"{target}:ledger"


def hold_record(target: str, detail: str, at: datetime, *, code: str = LEDGER_LOST) -> Payload:
    """Return the `psa.command.Exception` that has all commands of a target wait.

    A dispatcher reads it as its session begins, and no later.
    """
    return {
        **_record(target, at),
        "status": OPEN,
        "error_code": code,
        "detail": detail,
        "hint": HINTS[code].format(identity=hold_id(target)),
        "is_held": True,
    }


def is_hold(record: Mapping[str, Any]) -> bool:
    """Whether a `psa.command.Exception` is such a one."""
    return bool(record["exception_id"] == hold_id(record["system"] or ""))


@dataclass(frozen=True, slots=True)
class Hold:
    """A record of it: since when commands wait, or since when they may be sent (seconds).

    `seen` are natural keys of what the target held when a person let commands be sent; None where
    nobody has looked since. `is_lost`: what the ledger knows is not to be relied on.
    """

    at_s: float
    is_open: bool
    seen: frozenset[str] | None = None
    is_lost: bool = True


def read_hold(record: Mapping[str, Any]) -> Hold:
    """Read a `psa.command.Exception` that `is_hold`."""
    seen = None
    if record["payload"] is not None:
        seen = frozenset(json.loads(record["payload"])[NEWEST])
    is_lost = record.get("error_code") != TABLES_ANEW
    return Hold(record["raised_at"].timestamp(), record["status"] == OPEN, seen, is_lost)


def announced(
    settled: Mapping[str, Settled], intents: Mapping[str, Intent]
) -> Callable[[str], bool]:
    """Return whether a ledger has announced a record of a natural key, or found it."""

    def is_announced(natural_key: str) -> bool:
        last = settled.get(natural_key)
        return natural_key in intents or (last is not None and last.status in CARRIED_OUT)

    return is_announced


class Guard:
    """Of one target: whether its ledger was compared with it, and whether its commands wait."""

    def __init__(self, target: str, *, told: Hold | None = None, now_s: float = 0.0) -> None:
        """`told`: what was recorded last."""
        self._identity = hold_id(target)
        self._target = target
        self._is_compared = False
        self._held_since_s = told.at_s if told and told.is_open else None
        self._said_at_s = told.at_s if told and not told.is_open else None
        self._is_lost = bool(told and told.is_lost and told.is_open)
        self._seen = (told.seen if told else None) or frozenset()
        # What the target holds at the next look is what the person has seen who let commands go.
        self._takes_in = self._said_at_s is not None and told is not None and told.seen is None
        self._adopts = self._said_at_s is not None and now_s - self._said_at_s < ADOPTED_FOR_S

    @property
    def is_held(self) -> bool:
        """Whether nothing is to be sent until a person has said so."""
        return self._held_since_s is not None

    @property
    def is_compared(self) -> bool:
        """Whether the target holds nothing newer than what the ledger has announced."""
        return self._is_compared

    @property
    def adopts(self) -> bool:
        """Whether what the target holds already is not to be written again."""
        return self._adopts

    def unknown(self, newest: Newest, is_announced: Callable[[str], bool]) -> list[str]:
        """Return the natural keys of newest records that the ledger knows nothing of."""
        if self._takes_in:
            return []
        firsts = (key for keys in self._keys(newest) for key in keys[:1])
        return [key for key in firsts if not is_announced(key) and key not in self._seen]

    def compared(self, newest: Newest) -> Payload | None:
        """Take in that nothing is unknown; return the record of what was seen, if it is new."""
        self._is_compared = True
        if not self._takes_in or self._said_at_s is None:
            return None
        self._takes_in = False
        self._seen = frozenset(key for keys in self._keys(newest) for key in keys)
        return self._word(self._said_at_s, self._seen)

    def hold(self, unknown: Iterable[str], now_s: float) -> Payload:
        """Hold everything back from now on; return the record that says so."""
        self._held_since_s, self._is_lost = now_s, True
        detail = (
            f"{self._target} holds {', '.join(unknown)}, and no intent of it is recorded: the"
            " ledger of commands was lost, is of an older day, or this is another cluster than the"
            " one that has written last. No command is sent."
        )
        return hold_record(self._target, detail, datetime.fromtimestamp(now_s, UTC))

    def is_released(self, request: RetryRequest, now_s: float) -> bool:
        """Whether a person lets the commands be sent that are held back: tell, then `release`.

        What was said in former days counts by its record alone.
        """
        if request.exception_id != self._identity:
            return False
        if self._held_since_s is not None:
            return request.tried_before_s > self._held_since_s
        if request.tried_before_s == inf and not self._is_compared:
            self._is_lost = True
            self.release(now_s)  # another process holds them back, and tells
        return False

    def word(self, now_s: float) -> Payload:
        """Return the record that says that commands are sent from now on."""
        return self._word(now_s, None if self._is_lost else self._seen)

    def release(self, now_s: float) -> None:
        """Take in that it is recorded."""
        self._takes_in = self._is_lost
        self._held_since_s, self._said_at_s = None, now_s
        self._is_compared, self._is_lost, self._adopts = False, False, True

    def _keys(self, newest: Newest) -> Iterable[list[str]]:
        for noun, identities in newest.items():
            yield [f"{self._target}:{noun}:{identity}" for identity in identities]

    def _word(self, at_s: float, seen: Collection[str] | None) -> Payload:
        payload = None if seen is None else json.dumps({NEWEST: sorted(seen)})
        record = _record(self._target, datetime.fromtimestamp(at_s, UTC))
        return {**record, "status": RESOLVED, "payload": payload}


def _record(target: str, at: datetime) -> Payload:
    return {
        "exception_id": hold_id(target),
        "system": target,
        "kind": KIND,
        "natural_key": hold_id(target),
        "raised_at": at,
    }
