"""What `docs/canonical.md` says of each canonical entity, made from its contract."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any, Final

from schemas.contracts import PUBLIC_LISTS, record_schema, vocabularies
from schemas.sealing import FIELD as SEALED

_NAMES: Final = {
    "string": "text",
    "long": "whole number",
    "int": "whole number",
    "boolean": "truth value",
    "bytes": "bytes",
    "date": "day",
    "timestamp-millis": "instant",
    "timestamp-micros": "instant",
}
_ANGLED: Final = re.compile(r"`[^`]*`|(?:[\w.:]*<[^<>`]+>)+")
_LISTS: Final = {"currency": "a currency of ISO 4217", "country": "a country of ISO 3166-1 alpha-2"}


def entities() -> list[str]:
    """Names of the canonical entities."""
    folder = files("schemas").joinpath("avro", "canonical")
    return sorted(each.name.removesuffix(".avsc") for each in folder.iterdir())


def page() -> str:
    """A section an entity, a row a field."""
    return "\n\n".join(_section(entity) for entity in entities())


def _section(entity: str) -> str:
    record = record_schema(f"canonical/{entity}")
    words = vocabularies(record)
    parsed: Any = record.parsed
    lines = [f"## {entity}", "", parsed["doc"], "", "| field | type | meaning | words |"]
    lines.append("| --- | --- | --- | --- |")
    for field in parsed["fields"]:
        if field["name"] == SEALED:
            continue  # no mapping makes it
        cells = (
            f"`{field['name']}`",
            type_of(field["type"]),
            angled(field["doc"].replace("|", "\\|")),
            _words(words.get(field["name"], ())),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def angled(text: str) -> str:
    """Return a text with each `<name>` in backticks: elsewhere a page would take it for HTML."""
    return _ANGLED.sub(lambda found: f"`{found[0].strip('`')}`", text)


def type_of(avro: Any) -> str:
    """Return a type in words."""
    match avro:
        case list():
            [only] = [each for each in avro if each != "null"]
            return type_of(only)
        case dict():
            return _named(avro)
        case _:
            return _NAMES[avro]


def _named(avro: dict[str, Any]) -> str:
    match avro:
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            return f"decimal({precision},{scale})"
        case {"logicalType": logical}:
            return _NAMES[logical]
        case {"type": "array", "items": items}:
            return f"list of {type_of(items)}"
        case {"type": "record", "fields": fields}:
            inner = ", ".join(f"`{each['name']}` {type_of(each['type'])}" for each in fields)
            return f"record ({inner})"
        case _:
            return type_of(avro["type"])


def _words(words: tuple[str, ...] | str) -> str:
    if isinstance(words, str):
        assert words in PUBLIC_LISTS, words
        return _LISTS[words]
    return ", ".join(f"`{word}`" for word in words)
