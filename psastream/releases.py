"""Has commands sent that were held back; those of a whole target once workers have read all.

What half-read tables order is wrong, and is put right only later: hours billed and taken back. So
the exception that has all commands of a target wait is not released before. One of a single command
is: it was refused for itself, and what is unread elsewhere says nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from connectors.dispatch.guard import is_hold
from connectors.dispatch.signals import REQUESTS
from psastream.anew import ORDERS_NOTHING
from psastream.exceptions import (
    Filter,
    awaits_word,
    is_shadowed,
    meant,
    publish,
    ranked,
    refuse_asked,
    requests,
    worth,
)
from psastream.landscape import read_firm
from psastream.lines import say, say_of
from psastream.people import is_meant
from psastream.status.gathering import unread_groups
from psastream.status.model import GroupState
from runtime.settings import Settings
from schemas.errors import ConfigError, FatalError


def release_exceptions(
    settings: Settings,
    wanted: Filter,
    *,
    note: str | None = None,
    is_dry: bool = False,
    is_sure: bool = False,
    despite_unread: bool = False,
) -> None:
    """Ask the dispatchers to send what was held back, where that is meant.

    Asking twice sends once: what was sent is not held any more. Raises ConfigError where nothing is
    named, an id has no open exception, or is of a command that was not held back; FatalError where
    a target's commands as a whole are meant and workers have not read everything, unless they are
    released `despite_unread`.
    """
    rows = meant(settings, wanted, "released")
    held = ranked(row for row in rows if row["is_held"])
    refuse_asked(wanted, rows)
    if wanted.ids and (shadowed := [row["natural_key"] for row in rows if is_shadowed(row)]):
        raise ConfigError(
            f"in shadow: {', '.join(shadowed)}",
            hint="take its kind out of shadow in the sink's file: then it is looked up, and sent"
            " where the target does not hold it",
        )
    held = [row for row in held if not (awaits_word(row) or is_shadowed(row))]
    if wanted.ids and (sent := [row for row in rows if not row["is_held"]]):
        raise ConfigError(
            f"not held back: {', '.join(row['exception_id'] for row in sent)}",
            hint="psastream exceptions retry has what was refused tried again",
        )
    for row in held:
        what = "commands are sent" if is_hold(row) else f"{row['kind']} is sent{worth(row)}"
        say_of(row["exception_id"], what)
    if not held:
        say("nothing of it is held back")
        return
    if holds := [row["exception_id"] for row in held if is_hold(row)]:
        unread = unread_by_tables(lambda: unread_groups(settings, read_firm(settings)))
        say(said_of_unread(unread), "unread by workers: ")
        if not despite_unread:
            require_read(holds, unread)
    if not is_meant(f"send {len(held)}?", is_dry=is_dry, is_sure=is_sure):
        return
    chosen = Filter(ids=[row["exception_id"] for row in held])
    publish(settings, REQUESTS, "request_id", requests(chosen, at=datetime.now(UTC), note=note))
    say(f"{len(held)} are sent, a few at first; the rest follows once those are taken")


def unread_by_tables(ask: Callable[[], Sequence[GroupState]]) -> list[GroupState]:
    """Return the groups that orders follow from and that have not read everything.

    Where none lags it is asked once more: what one publishes is not there to be read before its
    transaction is over.
    """
    found: list[GroupState] = []
    for _ in range(2):
        found = found or [
            each for each in ask() if each.records and each.group not in ORDERS_NOTHING
        ]
    return found


def said_of_unread(unread: Sequence[GroupState]) -> str:
    """Return how many messages groups have not read, in all and each.

    >>> said_of_unread([GroupState("engagement", 1, 1200), GroupState("project", 1, 7)])
    '1,207 messages (engagement 1,200, project 7)'
    """
    count = sum(each.records for each in unread)
    if not count:
        return "nothing"
    each_said = ", ".join(f"{each.group} {each.records:,}" for each in unread)
    return f"{count:,} message{'' if count == 1 else 's'} ({each_said})"


def require_read(holds: Sequence[str], unread: Sequence[GroupState]) -> None:
    """Raise FatalError where commands of whole targets would be sent by what is half read."""
    if unread:
        raise FatalError(
            f"not released: {', '.join(holds)}: workers have {said_of_unread(unread)} to read, and"
            " what half-read tables order is wrong",
            hint="wait until psastream status says no lag and that stays so; --despite-unread sends"
            " all the same, as where those came just now",
        )
