"""Avro schemas as the registry holds them: parsed, validated, comparable.

Parsing and name resolution are fastavro's; what the specification demands beyond that is checked
here, because a schema accepted by this registry must be accepted by Java's parser too. Whether one
schema can read another is `compatibility`'s question.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastavro.schema import SchemaParseException, parse_schema

from sandbox.registry.errors import invalid_schema

Definition = str | list[Any] | dict[str, Any]  # one Avro type in its JSON form, names in full

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INT_LIMIT = 2**31
_LONG_LIMIT = 2**63
_COMPOUND_KINDS = ("record", "enum", "array", "map")
_PARSER_ERRORS = (
    SchemaParseException,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """A valid schema.

    `text` is what clients get back, `definition` the same with full names, `named` the definitions
    of its records, enums and fixed types by full name. Schemas with equal `fingerprint` are the
    same schema: layout, key order and the spelling of namespaces are ignored, docs are not.
    """

    text: str
    fingerprint: str
    definition: Definition = field(repr=False, compare=False)
    named: Mapping[str, dict[str, Any]] = field(repr=False, compare=False)


def parse(text: str) -> AvroSchema:
    """Parse schema JSON. Raises RequestRefusedError (42201) saying what is wrong and where."""
    named: dict[str, dict[str, Any]] = {}
    try:
        # A bare type name is valid JSON only in quotes, but clients send it without.
        document = text.strip() if _NAME.fullmatch(text.strip()) else json.loads(text)
        _check_fields(document)
        definition: Definition = parse_schema(document, named_schemas=named, _write_hint=False)
        _Validator(named).check(definition, "")
        given_back = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        given_back.encode()  # half a character cannot be kept
    except _PARSER_ERRORS as error:
        raise invalid_schema(ascii(f"{type(error).__name__}: {error}")[1:-1]) from error
    return AvroSchema(
        text=given_back,
        fingerprint=json.dumps(definition, separators=(",", ":"), sort_keys=True),
        definition=definition,
        named=named,
    )


def kind_of(definition: Definition) -> str:
    """The Avro type: 'union', a primitive, a complex type, or the full name of a named type."""
    if isinstance(definition, list):
        return "union"
    return definition if isinstance(definition, str) else str(definition["type"])


class _Validator:
    """The rules of the specification that fastavro leaves to whoever uses the schema."""

    def __init__(self, named: Mapping[str, dict[str, Any]]) -> None:
        self._named = named

    def check(self, definition: Definition, path: str) -> None:
        if isinstance(definition, list):
            self._check_union(definition, path)
        elif isinstance(definition, dict):
            kind = definition["type"]
            if kind == "error":
                raise invalid_schema(f"{definition['name']}: errors belong to protocols, not data")
            if kind == "record":
                self._check_record(definition)
            elif kind == "enum":
                self._check_enum(definition)
            elif kind == "fixed":
                self._check_fixed(definition)
            elif kind == "array":
                self.check(definition["items"], f"{path}[]")
            elif kind == "map":
                self.check(definition["values"], f"{path}{{}}")

    def _check_union(self, branches: list[Any], path: str) -> None:
        kinds = []
        for branch in branches:
            if isinstance(branch, list):
                raise invalid_schema(f"{path or 'the union'}: a union directly inside a union")
            is_named = isinstance(branch, dict) and "name" in branch
            kinds.append(branch["name"] if is_named else kind_of(branch))
            self.check(branch, path)
        if len(kinds) != len(set(kinds)):
            raise invalid_schema(f"{path or 'the union'}: two branches of the same type")

    def _check_record(self, record: dict[str, Any]) -> None:
        _check_full_name(record)
        _check_aliases(record, str(record["name"]))
        seen: set[str] = set()
        for record_field in record["fields"]:
            name = record_field["name"]
            path = f"{record['name']}.{name}"
            if not _NAME.fullmatch(name):
                raise invalid_schema(f"{path}: not a valid field name")
            if name in seen:
                raise invalid_schema(f"{path}: field defined twice")
            seen.add(name)
            _check_aliases(record_field, path)
            self.check(record_field["type"], path)
            if "default" in record_field and not self._is_value(
                record_field["type"], record_field["default"]
            ):
                raise invalid_schema(f"{path}: the default does not match the field's type")

    def _check_enum(self, enum: dict[str, Any]) -> None:
        _check_full_name(enum)
        wrong = [symbol for symbol in enum["symbols"] if not _NAME.fullmatch(symbol)]
        if wrong:
            raise invalid_schema(f"{enum['name']}: not valid symbols: {', '.join(wrong)}")

    def _check_fixed(self, fixed: dict[str, Any]) -> None:
        _check_full_name(fixed)
        if not isinstance(fixed["size"], int) or fixed["size"] < 0:
            raise invalid_schema(f"{fixed['name']}: size is not a whole number of bytes")

    def _is_value(self, definition: Definition, value: Any) -> bool:
        """Whether the JSON `value` can be a default of this type (of any branch of a union)."""
        if isinstance(definition, list):
            return any(self._is_value(branch, value) for branch in definition)
        if isinstance(definition, str):
            definition = self._named.get(definition, definition)
        if isinstance(definition, dict) and definition["type"] in _COMPOUND_KINDS:
            return self._is_compound_value(definition, value)
        return _is_primitive_value(kind_of(definition), value)

    def _is_compound_value(self, definition: dict[str, Any], value: Any) -> bool:
        kind = definition["type"]
        if kind == "enum":
            return value in definition["symbols"]
        if kind == "array":
            return isinstance(value, list) and all(
                self._is_value(definition["items"], item) for item in value
            )
        if not isinstance(value, dict):
            return False
        if kind == "map":
            return all(self._is_value(definition["values"], item) for item in value.values())
        return all(
            self._is_value(member["type"], value[member["name"]])
            if member["name"] in value
            else "default" in member
            for member in definition["fields"]
        )


def _check_fields(node: object) -> None:
    """fastavro takes any collection for the fields of a record, and forgets which it was."""
    if isinstance(node, dict):
        if not isinstance(node.get("fields", []), list):
            raise invalid_schema("the fields of a record are a list")
        for value in node.values():
            _check_fields(value)
    elif isinstance(node, list):
        for value in node:
            _check_fields(value)


def _check_aliases(named: Mapping[str, Any], path: str) -> None:
    aliases = named.get("aliases", [])
    if not (isinstance(aliases, list) and all(isinstance(alias, str) for alias in aliases)):
        raise invalid_schema(f"{path}: aliases are a list of names")


def _check_full_name(definition: dict[str, Any]) -> None:
    if not all(_NAME.fullmatch(part) for part in definition["name"].split(".")):
        raise invalid_schema(f"{definition['name']}: not a valid name")


def _is_primitive_value(kind: str, value: Any) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("int", "long"):
        limit = _INT_LIMIT if kind == "int" else _LONG_LIMIT
        return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    if kind in ("float", "double"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)  # string; bytes and fixed are written as strings in JSON
