"""Canonical JSON: one text for one content, so that contents can be compared and hashed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

PayloadValue = str | int | bool | Decimal | date | list[str] | None
Payload = Mapping[str, PayloadValue]


def plain(value: PayloadValue) -> str | int | bool | list[str] | None:
    """Return the canonical JSON form: decimals without trailing zeros, dates in ISO 8601."""
    match value:
        case Decimal():
            return _digits(value)
        case date():
            return value.isoformat()
        case _:
            return value


def _digits(value: Decimal) -> str:
    """All digits of it, however many: arithmetic would round to those of its context."""
    text = format(value, "f") if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


def canonical_json(payload: Payload) -> str:
    """Return the payload as JSON with sorted keys and no spaces."""
    content = {name: plain(value) for name, value in payload.items()}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
