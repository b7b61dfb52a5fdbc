"""Reading and writing JSON by paths, and JSON with exact numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

import orjson

from connectors.rest.paths import at, step, steps


def get(value: Any, path: str) -> Any:
    """Return what is at a path, the ABSENT of `connectors.rest.paths` where nothing is."""
    return at(value, path)


def put(value: Any, path: str, found: object) -> Any:
    """Return a copy with something at a path; records on the way are made."""
    changed = deepcopy(value)
    *way, last = steps(path)
    inner = changed
    for name in way:
        if isinstance(inner, list):
            inner = inner[int(name)]
            continue
        if inner.get(name) is None:
            inner[name] = {}
        inner = inner[name]
    inner[last] = found
    return changed


def drop(value: Any, path: str) -> Any:
    """Return a copy without what is at a path."""
    changed = deepcopy(value)
    *way, last = steps(path)
    inner = changed
    for name in way:
        inner = inner[int(name)] if isinstance(inner, list) and inner else _below(inner, name)
        if not isinstance(inner, dict | list):
            return changed
    if isinstance(inner, dict):
        inner.pop(last, None)
    return changed


def _below(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def leaves(value: Any, path: str = "", within: str | None = None) -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each field that is no record.

    `within`: the path of a list whose first item counts as a record.
    """
    for name, inner in value.items():
        here = f"{path}.{step(name)}" if path else step(name)
        if here == within and inner:
            yield from leaves(inner[0], f"{here}.0", within)
        elif isinstance(inner, dict) and inner:
            yield from leaves(inner, here, within)
        else:
            yield here, inner


def dump(value: object) -> bytes:
    """Return JSON; decimals, and integers of any size, are the numbers they are."""
    return orjson.dumps(_with_long_numbers(value), default=_exact)


def load(text: str | bytes) -> Any:
    """Return the value of JSON; fractions are decimals. Raises ValueError."""
    return json.loads(text, parse_float=Decimal)


def _with_long_numbers(value: object) -> object:
    match value:
        case dict():
            return {name: _with_long_numbers(inner) for name, inner in value.items()}
        case list():
            return [_with_long_numbers(inner) for inner in value]
        case int() if abs(value) >= 2**63:
            return Decimal(value)
    return value


def _exact(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form")
