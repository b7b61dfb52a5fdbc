"""Whether a target holds the content a command asks for. Pure.

The type of the wanted value says how it is compared: text as text, so that "007" is not "7";
numbers (`Decimal`, `int`) as exact numbers in whatever spelling the target echoes them.
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
        return any(_is_same(held.get(name), wanted) for name in ("id", "refName") if name in held)
    if wanted is None or held is None:
        return held is wanted
    if isinstance(wanted, bool) or isinstance(held, bool):
        return held is wanted
    if isinstance(wanted, Decimal | int):
        return _number(held) == wanted
    return isinstance(held, str | int | Decimal) and str(held) == str(wanted)


def _number(value: object) -> Decimal | None:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
