"""Whether a target holds the content a command asks for. Pure.

The type of the wanted value says how it is compared: text as text, so that "007" is not "7";
numbers (`Decimal`, `int`) as exact numbers in whatever spelling the target echoes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

SHOWN_MAX: Final = 200
"""Characters of a value that a person is shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that holds another value than the one that is wanted.

    >>> str(Difference("hours", None, Decimal("7.50")))
    'hours: none → 7.50'
    """

    field: str
    held: object
    wanted: object

    def __str__(self) -> str:
        return f"{self.field}: {_shown(self.held)} → {_shown(self.wanted)}"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):  # a reference
        said = ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    elif value is None:
        said = "none"
    else:
        said = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return said if len(said) <= SHOWN_MAX else f"{said[:SHOWN_MAX]}…"


def holds(held: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Whether every wanted field has its value; further fields of the target do not count.

    A reference is held only if the target names it by the same kind of id. Where it does not, the
    answer is no, and the caller repeats a write that changes nothing.
    """
    return not differences(held, wanted)


def differences(held: Mapping[str, object], wanted: Mapping[str, object]) -> tuple[Difference, ...]:
    """Return the fields that do not have their wanted values, as `holds` compares them."""
    return tuple(
        Difference(name, held.get(name), value)
        for name, value in wanted.items()
        if not _is_same(held.get(name), value)
    )


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
