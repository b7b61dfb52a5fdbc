"""Tools for who brings a system: is its folder sound, and what is made of its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl
import typer

from connectors.polled.conversion import Layout, RowReader
from connectors.systems import Systems, read_text
from connectors.toolkit.vendor import Vendor
from psastream.connector_files import connector_problems
from psastream.lines import plain, say
from psastream.tried_lookups import tried_lookups
from schemas.codec.columnar import ChunkDecoder
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.envelope import Operation
from schemas.errors import ConfigError, SchemaMismatchError
from schemas.mapping.compiled import MappedRows, ObjectMapping
from schemas.mapping.declared import as_written
from schemas.system import SystemBundle

_VENDORS: Final = Path(__file__).parents[1] / "connectors" / "vendors"
_DOUBLES: Final = ("double", "float")
_CAPTURED: Final = "nothing: it is captured only"
_LSN: Final = "00000001:00000001:0001"
_SOURCE: Final = {
    "ts_ms": 0,
    "snapshot": None,
    "sequence": '["1"]',
    "lsn": 1,
    **{"file": "binlog.000001", "pos": 4, "row": 0},
    **{"change_lsn": _LSN, "commit_lsn": _LSN, "event_serial_no": 1},
}
"""Of a change that was streamed."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What is made of one row: canonical records by entity and part, or why it is refused.

    `ignored` are its columns that nothing reads (of `tried_row`: those that the contract does not
    have), `unmade` the entities of which it
    makes none since their `when` is not true. `waits` says why the row waits for what it looks up.
    """

    row: object
    id: str | None = None
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    unmade: list[str] = field(default_factory=list)
    refused: str | None = None
    hint: str = ""
    is_delete: bool = False
    waits: str | None = None


def check_system(folder: Path, beside: Sequence[Path] = (), *, as_json: bool) -> bool:
    """Print what follows from a folder, or each of its problems; return whether it has none."""
    try:
        system, vendor = read_system(folder, beside)
        if problems := connector_problems(folder, system, vendor):
            raise ConfigError(
                "; ".join(problems), problems=problems, hint="correct the connector files"
            )
    except ConfigError as error:
        if as_json:
            told = {"system": folder.name, "problems": list(error.problems), "hint": error.hint}
            typer.echo(json.dumps(told, indent=2))
        else:
            for problem in error.problems:
                say(problem)
            say(f"problems: {len(error.problems)}; {error.hint}")
        return False
    makes = {
        mapping.topic: [target.name for target in mapping.targets] for mapping in system.mappings
    }
    if as_json:
        objects = {
            obj: {
                "topic": topic.name,
                "makes": makes.get(topic.name, []),
                "personal_data": list(topic.personal_data),
            }
            for obj, topic in system.topics.items()
        }
        said = {"system": system.name, "objects": objects, "problems": []}
        typer.echo(json.dumps(said, indent=2))
        return True
    for obj, topic in system.topics.items():
        unread = "nothing: it is looked up" if topic.name in makes else _CAPTURED
        made = ", ".join(makes.get(topic.name, ())) or unread
        say(f"{topic.name} makes {made}", f"{obj}: ")
    say(f"{system.name} is sound: {len(system.topics)} objects")
    return True


def read_system(folder: Path, beside: Sequence[Path] = ()) -> tuple[SystemBundle, Vendor]:
    """Return the system of a folder, one of the product's too, and its code. Raises ConfigError.

    `beside` are the folders of other systems of the firm, to whose rows its own may refer.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder {folder}",
            hint="psastream docs configuration describes such folders",
        )
    folder = folder.resolve()
    others = [each for each in beside if each.resolve() != folder]
    systems = Systems(others if folder.parent == _VENDORS else [*others, folder])
    system = systems.read(folder.name)
    vendor = systems.vendor(system.vendor)
    if vendor.source is not None:
        vendor.source.objects_of(system)  # raises where its code cannot read what is declared
    return system, vendor


def try_rows(
    folder: Path, obj: str, rows_file: Path, beside: Sequence[Path] = (), *, as_json: bool
) -> bool:
    """Print what is made of source rows; return whether none of them is refused.

    Raises ConfigError where the folder or the file of rows cannot be read.
    """
    system, vendor = read_system(folder, beside)
    if obj not in system.topics:
        raise ConfigError(
            f"{system.name} has no object {obj}", hint=f"it has {', '.join(system.topics)}"
        )
    topic = system.topics[obj]
    mapping = next((each for each in system.mappings if each.topic == topic.name), None)
    if mapping is None:
        raise ConfigError(f"nothing is made of {obj}", hint="give it targets in mapping.yaml")
    shape = partial(vendor.shape, system, obj)
    declared = system.objects[obj].columns
    tried = []
    for row in read_rows(rows_file):
        shaped = shape(row)
        if isinstance(shaped, list):
            tried += [tried_row(mapping, topic.contract, each, declared) for each in shaped]
            continue
        found = tried_row(mapping, topic.contract, shaped, declared)
        tried.append(replace(found, ignored=unread(found.ignored, row, shape)))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in tried], indent=2, default=plain))
    else:
        for number, each in enumerate(tried, 1):
            for head, said in _lines(number, each):
                say(said, head)
    return all(each.refused is None for each in tried)


def unread(names: Sequence[str], row: object, shape: Callable[[object], Any]) -> list[str]:
    """Return which of a row's fields nothing reads, nested ones as `project.name`.

    `names` are those that the contract does not have. A field is read if the others have another
    shape without it.
    """
    if not isinstance(row, dict):
        return list(names)
    whole = shape(row)
    return [told for name in names for told in _unread(name, (name,), row, whole, shape)]


def _unread(
    told: str,
    path: Sequence[str],
    row: dict[str, Any],
    whole: dict[str, Any],
    shape: Callable[[object], Any],
) -> Iterator[str]:
    if _but(shape(_without(row, path)), path[0]) == _but(whole, path[0]):
        yield told
        return
    held: Any = row
    for name in path:
        held = held[name]
    for name in sorted(held) if isinstance(held, dict) else ():
        yield from _unread(f"{told}.{name}", (*path, name), row, whole, shape)


def _without(row: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """A row without the field at a path."""
    name, *more = path
    if not more:
        return _but(row, name)
    return row | {name: _without(row[name], more)}


def _but(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def read_rows(file: Path) -> list[object]:
    """Return the rows of a file: a JSON list, one object, or one object a line."""
    text = read_text(file, str(file), hint="--rows names a file of source rows in JSON")
    try:
        found = json.loads(text, parse_float=Decimal)
    except ValueError:
        try:
            found = [json.loads(line, parse_float=Decimal) for line in text.splitlines() if line]
        except ValueError as error:
            hint = "give a list of rows, or one row a line"
            raise ConfigError(f"{file} is no JSON: {error}", hint=hint) from error
    return found if isinstance(found, list) else [found]


def tried_row(
    mapping: ObjectMapping,
    contract: AvroSchema | None,
    row: object,
    declared: Mapping[str, str] | None = None,
) -> Tried:
    """Map one source row as the normalizer would, as a change that was just made.

    What it looks up stands in it as an object, under the name of the lookup. `declared` are the
    column types of a database's table.
    """
    looked_up: dict[str, Any] = {}
    if isinstance(row, dict):
        names = {each.name for each in mapping.lookups}
        looked_up = {name: found for name, found in row.items() if name in names}
        row = {name: value for name, value in row.items() if name not in names}
    fields = _fields(mapping, "after")
    doubles = [each["name"] for each in fields if each["type"][-1] in _DOUBLES]
    record = contract or load_schema(
        {"type": "record", "name": "Row", "fields": [_readable(each) for each in fields]}
    )
    key = _fields(mapping, "before")[0]
    reader = RowReader(record, Layout(key["name"], null_is_absent=True))
    ignored = sorted(row.keys() - set(reader.fields)) if isinstance(row, dict) else []
    given = row if contract is not None else _as_debezium_writes(row, declared or {})
    try:
        sound, unreadable = reader.read([given])
    except SchemaMismatchError as error:
        return Tried(row, ignored=ignored, refused=error.detail, hint=error.hint)
    if unreadable:
        hint = "the row does not fit its contract"
        return Tried(row, ignored=ignored, refused=unreadable[0].detail, hint=hint)
    values = dict(sound[0].values)
    for name in doubles if contract is None else ():
        values[name] = None if values[name] is None else float(str(values[name]))
    change = _changes_of(mapping, [values])
    found, waits = tried_lookups(mapping.lookups, change, looked_up)
    mapped = mapping.apply(change, found)
    [told] = mapped.rows.to_dicts()
    if told["rejection"] is not None:
        reason = mapping.rejections[told["rejection"]]
        return Tried(row, told["id"], ignored=ignored, refused=reason.detail, hint=reason.hint)
    if told["is_delete"]:
        return Tried(row, told["id"], ignored=ignored, is_delete=True)
    if waits is None and told.get("unfit") is not None:
        waits = mapping.rejections[told["unfit"]].detail
    if waits is not None:
        return Tried(row, told["id"], ignored=ignored, waits=waits)
    records, unmade = {}, []
    for target, frame in zip(mapping.targets, mapped.targets, strict=True):
        if target.exists is None or told[target.exists]:
            records[target.name] = frame.to_dicts()[0]
        else:
            unmade.append(target.name)
    return Tried(row, told["id"], records, ignored, unmade)


def map_values(mapping: ObjectMapping, rows: Sequence[Mapping[str, object]]) -> MappedRows:
    """Map rows of a contract's values as the normalizer would, as changes that were just made."""
    return mapping.apply(_changes_of(mapping, rows))


def _changes_of(mapping: ObjectMapping, rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    known = {each["name"] for each in _fields(mapping, "source")}
    names = [each["name"] for each in _fields(mapping, "after")]
    codec = RecordCodec(mapping.reader)
    source = {name: value for name, value in _SOURCE.items() if name in known}
    payloads = [
        codec.encode(
            {
                "before": None,
                "after": {name: values[name] for name in names},
                "source": source,
                "op": Operation.UPDATE.value,
            }
        )
        for values in rows
    ]
    return ChunkDecoder(mapping.reader).decode(payloads, prefix=0)


def _fields(mapping: ObjectMapping, part: str) -> list[Any]:
    """Fields of a record in the envelope that a mapping reads."""
    envelope: Any = json.loads(mapping.reader.text)
    [found] = [each["type"] for each in envelope["fields"] if each["name"] == part]
    record = found[-1] if isinstance(found, list) else found
    return list(record["fields"])


def _as_debezium_writes(row: object, declared: Mapping[str, str]) -> object:
    """A row of a database as people write it: days, times and numbers become what is captured."""
    if not isinstance(row, dict):
        return row
    return {
        name: as_written(declared[name], value) if name in declared else value
        for name, value in row.items()
    }


def _readable(field: dict[str, Any]) -> dict[str, Any]:
    """A field as rows are read by: no contract has a double, so it is read as its text."""
    is_double = field["type"][-1] in _DOUBLES
    return {**field, "type": ["null", "string"]} if is_double else field


def _lines(number: int, tried: Tried) -> Iterator[tuple[str, str]]:
    """What is said of a row: the beginning of a line and what follows it."""
    yield f"row {number}: ", tried.id or "without an id"
    if tried.ignored:
        yield "  ignored: ", ", ".join(tried.ignored)
    if tried.refused is not None:
        yield "  refused: ", f"{tried.refused}; {tried.hint}"
    if tried.waits is not None:
        yield "  waits: ", tried.waits
    if tried.is_delete:
        yield "  ", "a delete"
    for entity in tried.unmade:
        yield f"  {entity}: ", "none, its `when` is not true"
    for entity, record in tried.records.items():
        said = [f"{name}={_shown(value)}" for name, value in record.items() if value is not None]
        yield f"  {entity}: ", " ".join(said)


def _shown(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)
