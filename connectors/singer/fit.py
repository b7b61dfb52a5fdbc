"""Whether the rows that a tap's SCHEMA announces fit the contract of the object. Does no IO.

Rows are checked one by one all the same. What is seen here is told once, by the column, before the
first row: a column that is not announced, and one of a type of which no value fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from connectors.singer.declaration import StreamConfig
from schemas.codec.record import AvroSchema

ANY: Final = frozenset({"string", "boolean", "integer", "number", "array", "object"})
_FITTING: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"string", "integer"}),
    "boolean": frozenset({"boolean", "string"}),
    "int": frozenset({"integer", "number", "string"}),
    "long": frozenset({"integer", "number", "string"}),
    "date": frozenset({"string"}),
    "decimal": frozenset({"number", "integer", "string"}),
    "array": frozenset({"array"}),
    "map": frozenset({"object", "array"}),
    "record": frozenset({"object"}),
}
"""By Avro type, the JSON types of which some value can be converted."""


def misfits(
    contract: AvroSchema, of: StreamConfig, key: str, schema: Mapping[str, Any]
) -> Iterator[str]:
    """Say which columns cannot come as the contract has them. A schema that says nothing fits.

    `key` is the key column, which `key_properties` make up.
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        return
    fields: Any = contract.parsed["fields"]
    for field in fields:
        name = field["name"]
        if of.key_properties and name == key:
            continue
        found, _, nested = of.columns.get(name, name).partition(".")
        if found not in properties:
            if name not in of.optional:
                yield f"there is no property {found}"
            continue
        told, kind = json_types(properties[found]), _kind(field["type"])
        if not nested and not told & _FITTING[kind] and told:
            yield f"{name} is {' or '.join(sorted(told))}, and {kind} in the contract"
    for found in of.key_properties or ():
        if found not in properties:
            yield f"there is no property {found}"


def json_types(schema: object) -> frozenset[str]:
    """The types but null that a JSON schema lets pass: all where it names none."""
    if not isinstance(schema, dict):
        return ANY
    told = schema.get("type")
    names = [told] if isinstance(told, str) else told if isinstance(told, list) else None
    if names is not None:
        return frozenset(name for name in names if isinstance(name, str)) - {"null"}
    for word in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(word), list) and branches:
            return frozenset[str]().union(*map(json_types, branches))
    return ANY


def _kind(branches: Any) -> str:
    [schema] = [branch for branch in branches if branch != "null"]
    if isinstance(schema, str):
        return schema
    return str(schema.get("logicalType") or schema["type"])
