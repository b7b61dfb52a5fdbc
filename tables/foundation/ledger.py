"""Commands as the difference between desired and observed.

For one natural key the ledger remembers the last content ordered from the target and the last
content seen there. A command follows when the desired content is new, or when the target shows
content that is neither the desired one nor an echo of an order of ours. Deriving is
level-triggered: the same facts, replayed or split over chunks in any way, order nothing twice.
Upholds I8 together with `connectors.dispatch`, and I12.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

ECHOES_KEPT: Final = 8
GONE: Final = "gone"


class LedgerEntry(BaseModel):
    """State of one natural key. `ordered` and `observed` are content hashes."""

    model_config = ConfigDict(frozen=True)

    revision: int = 0
    ordered: str = ""
    observed: str = ""
    is_confirmed: bool = False  # the target has shown the ordered content
    losses: int = 0  # orders in a row of which the target has shown nothing
    lost: str = ""  # what was ordered and shown when an order last counted as lost
    echoes: tuple[str, ...] = ()  # contents ordered before, which may still be seen on their way


def observe(entry: LedgerEntry, observed: str) -> tuple[LedgerEntry, bool]:
    """Take in the content the target shows now (empty: it holds nothing).

    Returns the new entry and whether what it shows is an edit by somebody else.
    """
    if observed == entry.observed:
        return entry, False
    if observed == entry.ordered or (observed == "" and entry.ordered == GONE):
        return entry.model_copy(update={"observed": observed, "is_confirmed": True}), False
    is_echo = observed in entry.echoes and not entry.is_confirmed
    is_foreign = bool(entry.ordered) and not is_echo and (bool(observed) or entry.is_confirmed)
    return entry.model_copy(update={"observed": observed}), is_foreign


def forget(entry: LedgerEntry) -> LedgerEntry:
    """Return the entry after the row that held the content is gone, and with it what was ordered.

    Only the revision stays, so that later commands still count as later.
    """
    return LedgerEntry(revision=entry.revision)


def lose(entry: LedgerEntry, revision: int) -> LedgerEntry:
    """Return the entry after an order was carried out and nothing of it was left to be seen.

    It is open again, unless something newer was ordered or what was ordered has shown. Where the
    target shows another content, it is once: it may round, or have a rule of its own.
    """
    if entry.revision != revision or entry.is_confirmed:
        return entry
    again = f"{entry.ordered}|{entry.observed}"
    if entry.observed and entry.lost == again:
        return entry
    losses = entry.losses if entry.observed else entry.losses + 1
    return entry.model_copy(update={"ordered": "", "lost": again, "losses": losses})


def withdraw(
    entry: LedgerEntry, timestamp_ms: int, *, is_deletion_too: bool = False
) -> tuple[LedgerEntry, bool]:
    """Return the entry without its wish, and whether a withdrawal must be sent.

    It must where the order may still be open: on its way or refused, it is not to be carried out
    any more. What it did all the same shows as an echo. A deletion goes on unless it is meant too.
    """
    is_open_deletion = entry.ordered == GONE and not entry.is_confirmed
    if not (_in_flight(entry) or (is_deletion_too and is_open_deletion)):
        return entry, False
    revision = max(entry.revision + 1, timestamp_ms)
    return entry.model_copy(update={"ordered": "", "revision": revision}), True


def decide(
    entry: LedgerEntry,
    desired: str | None,
    observed: str,
    timestamp_ms: int,
) -> tuple[LedgerEntry, bool]:
    """Return the new entry and whether a command must be sent.

    `desired` is the hash of what the target should hold (`GONE`: nothing; None: we have no wish),
    `observed` the hash of what it does hold, over the same fields, empty where it holds nothing.
    """
    entry, is_foreign = observe(entry, observed)
    never_ordered_nothing_there = entry.ordered == "" and desired == GONE and observed == ""
    if desired is None or never_ordered_nothing_there:
        # An edit that nobody wants undone now: the next wish has to be ordered anew.
        return entry.model_copy(update={"ordered": ""}) if is_foreign else entry, False
    in_sync = observed == desired or (desired == GONE and observed == "" and not _in_flight(entry))
    if in_sync:
        if entry.ordered == desired and entry.is_confirmed:
            return entry, False
        if entry.ordered in ("", desired):
            return entry.model_copy(update={"ordered": desired, "is_confirmed": True}), False
        # Another order of ours may still be on its way there: only a new one undoes it.
        if entry.is_confirmed:
            return entry.model_copy(update={"ordered": desired}), False
    if entry.ordered == desired and not is_foreign:
        return entry, False
    return (
        LedgerEntry(
            revision=max(entry.revision + 1, timestamp_ms),
            ordered=desired,
            observed=entry.observed,
            is_confirmed=False,
            losses=0 if entry.is_confirmed else entry.losses,
            lost=entry.lost,
            echoes=(*entry.echoes, entry.ordered, desired)[-ECHOES_KEPT:],
        ),
        True,
    )


def _in_flight(entry: LedgerEntry) -> bool:
    return entry.ordered not in ("", GONE) and not entry.is_confirmed
