"""Paths into an answer: names joined by dots, a number where a list is meant."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator

ABSENT: Final = object()
"""What a path leads to that leads nowhere: not the same as null."""
_STEP: Final = re.compile(r"[^.\s]+")


def _sound(text: str) -> str:
    if not all(_STEP.fullmatch(step) for step in text.split(".")):
        raise ValueError("a path is names joined by dots")
    return text


Path = Annotated[str, AfterValidator(_sound)]


def at(value: Any, path: str) -> Any:
    """Return what is at a path, ABSENT where a name on it is missing.

    Below null everything is null: a record that is not there has no fields.
    """
    for step in path.split("."):
        if value is None:
            return None
        if isinstance(value, dict):
            value = value.get(step, ABSENT)
        elif isinstance(value, list) and step.isascii() and step.isdigit():
            value = value[int(step)] if int(step) < len(value) else ABSENT
        else:
            return ABSENT
        if value is ABSENT:
            return ABSENT
    return value
