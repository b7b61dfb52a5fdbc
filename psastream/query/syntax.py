"""What a query names, from the syntax tree that DuckDB makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import ConfigError

Name = tuple[str, ...]
"""Name of a table or view in its parts, lower-case."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a query names: `relations` are tables, views and what its WITH clauses define.

    `no_columns`: it asks for all that there are.
    """

    relations: frozenset[Name]
    functions: frozenset[str]
    no_columns: bool = False


def read_tree(text: str) -> Named:
    """Return what the query of a tree names. `text` is what `json_serialize_sql` says.

    Raises ConfigError where it says that it cannot: nobody would know which tables to fill.
    """
    tree = json.loads(text)
    if tree["error"]:
        raise ConfigError(
            f"which tables are asked for is not clear: {tree['error_message']}",
            hint="say it in another way: SELECT ... FROM ...",
        )
    nodes = list(_nodes(tree))
    relations = (
        (node["catalog_name"], node["schema_name"], node["table_name"])
        for node in nodes
        if node.get("type") == "BASE_TABLE"
    )
    functions = (
        node["function"]["function_name"] for node in nodes if node.get("type") == "TABLE_FUNCTION"
    )
    asked = [each["node"].get("select_list") or () for each in tree["statements"]]
    return Named(
        frozenset(map(name_of, relations)),
        frozenset(map(str.lower, functions)),
        no_columns=[[each["class"] for each in columns] for columns in asked] == [["STAR"]],
    )


def name_of(parts: tuple[str, ...]) -> Name:
    """Return a name without what stands there by default."""
    said = [part.lower() for part in parts if part]
    if said[:1] == ["memory"] and len(said) > 1:
        said = said[1:]
    return tuple(part for part in said[:-1] if part != "main") + tuple(said[-1:])


def quoted(name: str) -> str:
    """Return a name with points as SQL says it, whatever its parts mean there."""
    return ".".join(f'"{part}"' for part in name.split("."))


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a tree, but what is only described: nobody asks for its rows."""
    if isinstance(tree, Mapping):
        if tree.get("type") == "SHOW_REF" and tree["show_type"] != "SUMMARY":
            return
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)
