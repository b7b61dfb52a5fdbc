"""Paths into an answer: names joined by dots, a number where a list is meant.

A name that holds dots itself stands in double quotes: `"@odata.nextLink"`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator

ABSENT: Final = object()
"""What a path leads to that leads nowhere: not the same as null."""
_STEP: Final = re.compile(r'"([^"\s]+)"|([^".\s]+)')
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

    Below null everything is null: a record that is not there has no fields.
    """
    for name in steps(path):
        if value is None:
            return None
        if isinstance(value, dict):
            value = value.get(name, ABSENT)
        elif isinstance(value, list) and name.isascii() and name.isdigit():
            value = value[int(name)] if int(name) < len(value) else ABSENT
        else:
            return ABSENT
        if value is ABSENT:
            return ABSENT
    return value
