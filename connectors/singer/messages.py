"""What the lines of a tap say, by the Singer specification (0.3.0). Does no IO.

A message is a JSON object a line; its `type` is read in any case. SCHEMA, RECORD and STATE have
the meaning that the specification gives them; ACTIVATE_VERSION and BATCH are extensions. Messages
of other types are permitted and mean nothing here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from connectors.polled.answers import name_of
from connectors.singer.lines import LINE_BYTES_MAX, Line
from connectors.toolkit.body import ROWS, UnusableBodyError, parse_json
from schemas.errors import SchemaMismatchError

TOKEN_CHARACTERS_MAX: Final = 256 * 1024
"""A bookmark is one record of a topic."""
_HINT: Final = "run the tap by hand and see what it writes on standard output"
_RECORD: Final = re.compile(
    rb'\s*\{\s*"type"\s*:\s*"RECORD"\s*,\s*"stream"\s*:\s*"((?:[^"\\]|\\.)*+)"', re.I
)


class TapOutputError(SchemaMismatchError):
    """A tap writes what is no message of Singer, or one that nothing here can take."""

    code = "record.tap_output"


@dataclass(frozen=True, slots=True)
class Schema:
    """What the rows of a stream look like from now on."""

    stream: str
    schema: Mapping[str, Any]
    key_properties: frozenset[str]


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a stream, as the tap tells it: any JSON value."""

    stream: str
    row: object


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A row of a stream that nobody can read: `head` is how its line begins."""

    stream: str
    head: str
    detail: str


@dataclass(frozen=True, slots=True)
class State:
    """Where the tap goes on, in its own words: the text of a JSON object."""

    token: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message without meaning here, by its type."""

    type: str


Message = Schema | Record | BrokenRecord | State | Ignored


def read_message(line: Line) -> Message:
    """Return what a line says. Raises TapOutputError where it says nothing that can be taken."""
    try:
        if line.is_cut:
            raise UnusableBodyError(f"more than {LINE_BYTES_MAX} bytes")
        message = parse_json(line.data, ROWS)
    except UnusableBodyError as error:
        if found := _RECORD.match(line.data):
            head = line.data[:200].decode("utf-8", "replace")
            return BrokenRecord(found[1].decode("utf-8", "replace"), head, f"the line is {error}")
        raise TapOutputError(f"the tap wrote a line that is {error}", hint=_HINT) from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise TapOutputError("the tap wrote JSON that is no message of Singer", hint=_HINT)
    match message["type"].upper():
        case "RECORD":
            return Record(_stream(message), _member(message, "record"))
        case "SCHEMA":
            return _schema(message)
        case "STATE":
            _member(message, "value")
            return _state(line.data)
        case "BATCH":
            raise TapOutputError(
                "the tap hands over files (BATCH), which are not read",
                hint="take batch_config out of the tap's configuration: it writes rows then",
            )
        case other:
            return Ignored(other[:40].encode("utf-8", "replace").decode())


def _member(message: Mapping[str, Any], name: str) -> Any:
    if name not in message:
        raise TapOutputError(f"a {message['type'][:40]!a} of the tap has no {name}", hint=_HINT)
    return message[name]


def _stream(message: Mapping[str, Any]) -> str:
    stream = _member(message, "stream")
    if not isinstance(stream, str):
        raise TapOutputError(f"the stream of a message is {name_of(stream)}", hint=_HINT)
    return stream


def _schema(message: Mapping[str, Any]) -> Schema:
    stream, schema = _stream(message), _member(message, "schema")
    if not isinstance(schema, dict):
        raise TapOutputError(f"a schema is {name_of(schema)}, not an object", hint=_HINT)
    keys = message.get("key_properties") or []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise TapOutputError("key_properties are no list of names", hint=_HINT)
    return Schema(stream, schema, frozenset(keys))


def _state(line: bytes) -> State:
    """Read a STATE again, with every number as it came: what the tap wrote, it gets back."""
    try:
        value = json.loads(line, parse_float=Decimal, object_pairs_hook=_once)["value"]
    except ValueError as error:
        raise TapOutputError(
            f"the tap's STATE cannot be given back: {error}", hint=_HINT
        ) from error
    if not isinstance(value, dict):
        raise TapOutputError(f"the tap's STATE is {name_of(value)}, not an object", hint=_HINT)
    token = exact_json(value)
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise TapOutputError(
            f"the tap's STATE is longer than {TOKEN_CHARACTERS_MAX} characters",
            hint="read fewer partitions with one connector",
        )
    return State(token)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def exact_json(value: object) -> str:
    """Return the JSON of a value read with `parse_float=Decimal`: every number as it came."""
    match value:
        case dict():
            pairs = (f"{json.dumps(name)}:{exact_json(item)}" for name, item in value.items())
            return "{" + ",".join(pairs) + "}"
        case list():
            return "[" + ",".join(map(exact_json, value)) + "]"
        case Decimal():
            return str(value)
        case _:
            return json.dumps(value)
