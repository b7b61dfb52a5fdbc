"""One request of a declared API, as data: what a paginator changes from page to page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self
from urllib.parse import quote

PAGE_SIZE: Final = "page_size"
_PLACEHOLDER: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request below the connector's url. `path` may carry a query of its own."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def having(self, name: str, value: str | int, *, in_body: bool) -> Self:
        """The same request with one more parameter, or with another value of it."""
        if in_body:
            return replace(self, body={**(self.body or {}), name: value})
        return replace(self, params={**self.params, name: str(value)})


def fill_path(path: str, words: Mapping[str, str | None]) -> str:
    """Fill the placeholders of a path; a value stays one step of it."""
    return _PLACEHOLDER.sub(lambda found: quote(words[found[1]] or "", safe=""), path)


def fill_text(text: str, words: Mapping[str, str | None]) -> str | None:
    """Fill the placeholders of a text; None where one of them has no value."""
    if any(words[name] is None for name in _PLACEHOLDER.findall(text)):
        return None
    return _PLACEHOLDER.sub(lambda found: words[found[1]] or "", text)


def fill_params(params: Mapping[str, str], words: Mapping[str, str | None]) -> dict[str, str]:
    """Fill the placeholders of parameters; one without a value is left out."""
    filled = {name: fill_text(text, words) for name, text in params.items()}
    return {name: text for name, text in filled.items() if text is not None}


def fill_body(value: Any, words: Mapping[str, str | None]) -> Any:
    """Fill the placeholders in a body; `{page_size}` alone is a number."""
    match value:
        case "{page_size}":
            return int(words[PAGE_SIZE] or 0)
        case str():
            return fill_text(value, words)
        case dict():
            return {name: fill_body(item, words) for name, item in value.items()}
        case list():
            return [fill_body(item, words) for item in value]
        case _:
            return value
