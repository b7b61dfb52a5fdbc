"""Commands that a person must approve before they are sent: those that move much money. Pure.

A sink's file says from which amount on, by kind and currency. Nothing is converted: an amount in a
currency without a bound waits, too. An approval is of one content: of what was shown to who gave
it. Any other command of the natural key, a newer one above all, needs its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from hashlib import sha256
from typing import Final

from connectors.dispatch.commands import Command, Problem
from connectors.dispatch.decisions import ALL, Approvals, Verb
from connectors.toolkit.faults import Reason
from schemas.canonical_json import canonical_json

APPROVAL_REQUIRED: Final = "APPROVAL_REQUIRED"
"""Code of the exception: nobody has said yet whether it may be sent."""
APPROVAL_REFUSED: Final = "APPROVAL_REFUSED"
"""Code of the exception: a person has said that it may not."""

Bounds = Mapping[str, Mapping[str, Decimal]]
"""Least amounts that need an approval, by kind (or `ALL`) and currency."""
Withholds = Callable[[Command], Problem | None]


def content_of(command: Command) -> str:
    """Return the digest of what a command says and moves."""
    said: dict[str, str | int | None] = {
        "target": command.target,
        "kind": command.kind,
        "natural_key": command.natural_key,
        "revision": command.revision,
        "payload": command.payload,
        "amount": None if command.amount is None else f"{command.amount.normalize():f}",
        "currency": command.currency,
    }
    return sha256(canonical_json(said).encode()).hexdigest()


def withheld(command: Command, bounds: Bounds, approvals: Approvals) -> Problem | None:
    """Return why a command may not be sent without a person's word, None where it may.

    What is taken back counts as what is given: an amount below zero by its size.
    """
    bound_of = bounds.get(command.kind, bounds.get(ALL))
    if bound_of is None or command.amount is None:
        return None
    bound = bound_of.get(command.currency or "")
    if bound is not None and abs(command.amount) < bound:
        return None
    word = approvals.of(command.target, content_of(command))
    if word is not None and word.verb is Verb.APPROVED:
        return None
    amount = f"{command.amount:,.2f} {command.currency or 'of no currency'}"
    if word is not None:
        by, why = word.decided_by or "somebody", f": {word.note}" if word.note else ""
        detail = f"{amount}: refused by {by}{why}"
        return Problem(APPROVAL_REFUSED, detail, reason=Reason.APPROVAL, is_held=True)
    least = (
        f"there is no bound in this currency, only in {', '.join(bound_of)}"
        if bound is None
        else f"an approval is needed from {bound:,.2f} on"
    )
    return Problem(APPROVAL_REQUIRED, f"{amount}: {least}", reason=Reason.APPROVAL, is_held=True)
