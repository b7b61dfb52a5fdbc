"""A folder to begin with, from what a PostgreSQL database says of its tables.

The tables are declared as they are and nothing is made of them yet: what a row means nobody can
read from metadata. Whatever cannot be declared is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import psycopg
import yaml

from schemas.errors import ConfigError
from schemas.mapping.sql_text import suggestion

CONNECTOR: Final = "connector.json"
MAPPING: Final = "mapping.yaml"

_TYPES: Final[Mapping[str, str]] = {
    "int2": "int",
    "int4": "int",
    "int8": "long",
    "bool": "boolean",
    "float4": "real",
    "float8": "double",
    "date": "date",
    "timestamptz": "timestamptz",
    "interval": "interval",
    "text": "text",
    "varchar": "text",
    "bpchar": "text",
    "citext": "text",
    "uuid": "text",
    "json": "text",
    "jsonb": "text",
    "xml": "text",
}
"""Declared types by PostgreSQL's; `schemas.mapping.declared` says what they are."""
_TEXTS: Final = frozenset(name for name, declared in _TYPES.items() if declared == "text")
_KEYS: Final = ("int", "long", "text")
_PARTS_OF_KEYS: Final = (*_KEYS, "date")
"""Types of which ids are made."""
_PRECISE: Final = ("timestamp", "time")
"""Types with digits of a second, of which 6 are not said."""
PERSONAL: Final = re.compile(r"mail|phone|first_?name|last_?name|birth|iban|salary|passport|ssn")
_SECRET: Final = re.compile(r"passw|secret|api_?key|private_?key|(^|_)(token|salt|hash)$")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_TABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_COLUMN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names that Avro has; the connector writes another one for any other."""
_DIGITS_MAX: Final = 38

_COLUMNS: Final = """
    SELECT c.relname, a.attname, t.typname, t.typtype::text,
           CASE WHEN t.typname = 'numeric' AND m.typmod > 3 THEN ((m.typmod - 4) >> 16) END,
           CASE WHEN t.typname = 'numeric' AND m.typmod > 3 THEN (m.typmod - 4) & 2047
                WHEN t.typname IN ('timestamp', 'time') AND m.typmod >= 0 THEN m.typmod END,
           COALESCE(a.attnum = ANY (i.indkey), false), c.relreplident::text
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type d ON d.oid = a.atttypid
      JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
     CROSS JOIN LATERAL (SELECT CASE WHEN d.typtype = 'd' THEN d.typtypmod ELSE a.atttypmod END
                         AS typmod) m
      LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
     WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column by PostgreSQL's catalogue: its type, below all domains, and its digits.

    `scale` is of a number, or of the seconds of a time; None where none is said.
    """

    name: str
    type: str
    is_enum: bool = False
    precision: int | None = None
    scale: int | None = None
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `has_full_identity`: its change events carry whole rows before."""

    name: str
    columns: tuple[Column, ...]
    has_full_identity: bool = False


@dataclass(frozen=True, slots=True)
class Starter:
    """What to begin with, and what could not be said in it."""

    mapping: dict[str, Any]
    connector: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def read_tables(dsn: str, schema: str) -> list[Table]:
    """Return the tables of a schema. Raises ConfigError where the database cannot be read."""
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            rows = connection.execute(_COLUMNS, (schema,)).fetchall()
    except psycopg.Error as error:
        raise ConfigError(
            f"the database cannot be read: {' '.join(str(error).split()) or type(error).__name__}",
            hint="give a libpq URI, and a user that may read the catalogue",
        ) from error
    columns: dict[str, list[Column]] = {}
    full: set[str] = set()
    for table, name, type_name, type_kind, precision, scale, is_key, identity in rows:
        is_enum = type_kind == "e"
        column = Column(name, type_name, is_enum, precision, scale, is_key)
        columns.setdefault(table, []).append(column)
        if identity == "f":
            full.add(table)
    return [Table(name, tuple(found), name in full) for name, found in columns.items()]


def starter_of(
    schema: str,
    tables: Sequence[Table],
    *,
    system: str | None = None,
    only: Sequence[str] = (),
) -> Starter:
    """Return what to begin with for the tables of a schema, or for `only` some of them.

    `system` is the name of the system, by default the schema's. Raises ConfigError where nothing of
    it can be captured.
    """
    name = system or schema
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name} cannot be the name of a system",
            hint="lower-case letters, digits and underscores; --system gives it another one",
        )
    known = {table.name for table in tables}
    if missing := [each for each in only if each not in known]:
        raise ConfigError(
            f"{schema} has no table {missing[0]}{suggestion(missing[0], known)}",
            hint="--tables names tables of the schema that this user sees",
        )
    warnings: list[str] = []
    objects: dict[str, dict[str, Any]] = {}
    unread: list[str] = []
    for table in tables:
        if only and table.name not in only:
            continue
        declared = _declared(table, warnings, unread)
        if declared is not None:
            objects[table.name] = declared
    if not objects:
        raise ConfigError(
            f"no table of {schema} can be captured",
            hint="; ".join(warnings) or "the schema has no tables that this user sees",
        )
    mapping = {"system": name, "capture": "debezium", "objects": objects}
    connector = _connector(name, schema, list(objects))
    if hidden := [each for each in unread if each.partition(".")[0] in objects]:
        excluded = ",".join(f"{schema}.{each}" for each in hidden)
        connector["config"]["column.exclude.list"] = excluded
    return Starter(mapping, connector, warnings)


def write_starter(starter: Starter, folder: Path) -> list[Path]:
    """Write the files of a system; return them. Raises ConfigError where one is there already."""
    texts = {
        MAPPING: yaml.safe_dump(starter.mapping, sort_keys=False, default_flow_style=False),
        CONNECTOR: json.dumps(starter.connector, indent=2) + "\n",
    }
    return write_files(texts, folder)


def write_files(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Write files by their paths in a folder. Raises ConfigError where one is there already."""
    for name in texts:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} is there already", hint="name another folder")
    try:
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in texts]


def _declared(table: Table, warnings: list[str], unread: list[str]) -> dict[str, Any] | None:
    """Return what a mapping says of a table. Columns that are not to be captured go to `unread`.

    What no mapping reads is among them: a connector cuts texts and bytes, and no lists, which would
    stop it where they are larger than a message may be.
    """
    if not _TABLE.fullmatch(table.name):
        warnings.append(f"{table.name} is left out: no topic can have this name")
        return None
    keys = [column.name for column in table.columns if column.is_key]
    if not keys:
        warnings.append(f"{table.name} is left out: it has no primary key")
        return None
    columns = {}
    for column in table.columns:
        if _SECRET.search(column.name.lower()) and column.type in _TEXTS and not column.is_key:
            unread.append(f"{table.name}.{column.name}")
            warnings.append(f"{table.name}.{column.name} is not captured: it may hold a secret")
            continue
        declared = _type(column)
        if declared is None:
            if _COLUMN.fullmatch(column.name) and not column.is_key:
                unread.append(f"{table.name}.{column.name}")
            warnings.append(f"{table.name}.{column.name} is left out: {_why(column)}")
            continue
        columns[column.name] = declared
        if column.type == "numeric" and declared == "text":
            warnings.append(
                f"{table.name}.{column.name} has numbers of any scale, as text: CAST it to"
                " DECIMAL(p,s) in sql"
            )
    fit = _KEYS if len(keys) == 1 else _PARTS_OF_KEYS
    if unfit := [key for key in keys if columns.get(key) not in fit]:
        warnings.append(f"{table.name} is left out: no id is made of its key {unfit[0]}")
        return None
    if not table.has_full_identity and "text" in columns.values():
        warnings.append(
            f"{table.name}: a long text that does not change is not sent; set REPLICA IDENTITY"
            " FULL, or keep it by unset_kept"
        )
    found: dict[str, Any] = {"kind": table.name.lower(), "key": keys[0] if len(keys) == 1 else keys}
    if personal := [name for name in columns if PERSONAL.search(name.lower())]:
        found["personal_data"] = personal
    return found | {"columns": columns}


def _type(column: Column) -> str | None:
    if not _COLUMN.fullmatch(column.name):
        return None
    if column.is_enum:
        return "text"
    if column.type == "numeric":
        precision, scale = column.precision, column.scale
        is_fixed = scale is not None and scale <= (precision or 0) <= _DIGITS_MAX
        return f"decimal({precision},{scale})" if is_fixed else "text"
    if column.type in _PRECISE:
        return column.type if column.scale is None else f"{column.type}({column.scale})"
    return _TYPES.get(column.type)


def _why(column: Column) -> str:
    if not _COLUMN.fullmatch(column.name):
        return "no field of a record can have this name"
    return f"no mapping reads the type {column.type}"


def _connector(system: str, schema: str, tables: Sequence[str]) -> dict[str, Any]:
    """A connector file for the tables of a database.

    Debezium names topics after schemas: those of a system with another name are routed.
    """
    text = (files("connectors") / "debezium" / "postgresql.json").read_text("utf-8")
    common: dict[str, Any] = json.loads(text)
    prefix, slot = system.upper(), f"psastream_{system}"
    return {
        "name": system.replace("_", "-"),
        "config": common
        | {
            "database.hostname": f"${{env:{prefix}_HOST}}",
            "database.port": f"${{env:{prefix}_PORT}}",
            "database.user": f"${{env:{prefix}_USER}}",
            "database.password": f"${{env:{prefix}_PASSWORD}}",
            "database.dbname": f"${{env:{prefix}_DATABASE}}",
            "slot.name": slot,
            "publication.name": slot,
            "table.include.list": ",".join(f"{schema}.{table}" for table in tables),
            "column.truncate.to.1000000.chars": f"{schema}[.].*[.].*",
        }
        | (_routed(system, schema) if system != schema else {}),
    }


def _routed(system: str, schema: str) -> dict[str, str]:
    return {
        "transforms": "system",
        "transforms.system.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.system.regex": f"src[.]{re.escape(schema)}[.](.*)",
        "transforms.system.replacement": f"src.{system}.$1",
    }
