"""Paths into an answer: names joined by dots, a number where a list is meant.

A name that holds dots itself stands in double quotes: `"@odata.nextLink"`. `[name=value]` is the
first element of a list that has this text, number or truth value
at a path.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator

ABSENT: Final = object()
"""What a path leads to that leads nowhere: not the same as null."""
_PICK: Final = r"\[[^\[\]=\s]+=[^\[\]]+\]"
_STEP: Final = re.compile(rf'"([^"\s]+)"|({_PICK}|[^".\s]+)')
_PATH: Final = re.compile(rf"(?:{_STEP.pattern})(?:\.(?:{_STEP.pattern}))*")


def _sound(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError("a path is names joined by dots")
    return text


Path = Annotated[str, AfterValidator(_sound)]


def steps(path: str) -> list[str]:
    """Return the names that a path leads along.

    >>> steps('page."@odata.nextLink"')
    ['page', '@odata.nextLink']
    """
    return [found[1] or found[2] for found in _STEP.finditer(path)]


def step(name: str) -> str:
    """Return a name as it stands in a path."""
    return f'"{name}"' if "." in name else name


def at(value: Any, path: str) -> Any:
    """Return what is at a path, ABSENT where a name on it is missing.

    Below null everything is null: a record that is not there has no fields. So has an element that
    no list of records holds.
    """
    for name in steps(path):
        if value is None:
            return None
        if isinstance(value, dict):
            value = value.get(name, ABSENT)
        elif isinstance(value, list) and name.startswith("["):
            value = _picked(value, name[1:-1])
        elif isinstance(value, list) and name.isascii() and name.isdigit():
            value = value[int(name)] if int(name) < len(value) else ABSENT
        else:
            return ABSENT
        if value is ABSENT:
            return ABSENT
    return value


def astray(value: Any, path: str) -> Any:
    """Return what a path meets where it needs another type, ABSENT where a name is just missing."""
    for name in steps(path):
        if value is None:
            return ABSENT
        is_pick = name.startswith("[")
        needs = list if is_pick or name.isdecimal() else dict
        if not isinstance(value, needs):
            return value
        inner = at(value, name if is_pick else step(name))
        if inner is ABSENT:
            return value if is_pick else ABSENT
        value = inner
    return ABSENT


def _picked(found: list[Any], pick: str) -> Any:
    """The first record with a value in a field, null where none has it."""
    name, _, value = pick.partition("=")
    if not all(isinstance(each, dict) for each in found):
        return ABSENT
    return next((each for each in found if _text_of(at(each, name)) == value), None)


def _text_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None
