"""JSON as vendors write it, with exact numbers: a decimal never becomes a float. And forms."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.responses import Response


def dumps(value: object) -> bytes:
    """JSON text of a value; decimals are written as the numbers they are."""
    return orjson.dumps(value, default=_exact_number)


def loads(data: bytes) -> Any:
    """Value of a JSON text; fractions are decimals. Raises ValueError for anything else."""
    return json.loads(data, parse_float=Decimal)


def read_form(data: bytes) -> dict[str, str]:
    """Fields of a URL-encoded form."""
    return dict(parse_qsl(data.decode(errors="replace")))


def _exact_number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form")


class ExactJSONResponse(Response):
    """A JSON answer that keeps decimals exact."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return dumps(content)
