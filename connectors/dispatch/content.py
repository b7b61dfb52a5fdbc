"""Whether a target holds the content a command asks for. Pure.

Vendors echo values in their own spelling: amounts as number or text, empty fields left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation


def holds(held: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Whether every wanted field has its value; further fields of the target do not count.

    A reference is held only if the target names it by the same kind of id. Where it does not, the
    answer is no, and the caller repeats a write that changes nothing.
    """
    return all(_is_same(held.get(name), value) for name, value in wanted.items())


def _is_same(held: object, wanted: object) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(held, Mapping) and holds(held, wanted)
    if isinstance(held, Mapping):  # a choice shown as a reference
        return wanted in (held.get("id"), held.get("refName"))
    if wanted is None or held is None:
        return held is wanted
    if isinstance(wanted, bool) or isinstance(held, bool):
        return held is wanted
    if str(held) == str(wanted):
        return True
    held_number, wanted_number = _number(held), _number(wanted)
    return held_number is not None and held_number == wanted_number


def _number(value: object) -> Decimal | None:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None
