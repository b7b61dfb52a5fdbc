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

CONNECTOR: Final = "connector.json"
MAPPING: Final = "mapping.yaml"

_TYPES: Final[Mapping[str, str]] = {
    "int2": "int",
    "int4": "int",
    "int8": "long",
    "bool": "boolean",
    "date": "date",
    "text": "text",
    "varchar": "text",
    "bpchar": "text",
    "uuid": "text",
    "json": "text",
    "jsonb": "text",
    "timestamptz": "text",  # Debezium's ZonedTimestamp: ISO 8601
    "interval": "long",  # Debezium's MicroDuration: microseconds
}
"""Declared types by PostgreSQL's: https://debezium.io/documentation/reference/stable/connectors/
postgresql.html#postgresql-data-types, with the modes of the connector file."""
_PERSONAL: Final = re.compile(r"mail|phone|first_?name|last_?name|birth|iban|salary|passport|ssn")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_TABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_COLUMN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names that Avro has; the connector writes another one for any other."""
_DIGITS_MAX: Final = 38

_COLUMNS: Final = """
    SELECT c.relname, a.attname, t.typname, t.typtype::text,
           CASE WHEN t.typname = 'numeric' AND a.atttypmod > 3 THEN ((a.atttypmod - 4) >> 16) END,
           CASE WHEN t.typname = 'numeric' AND a.atttypmod > 3 THEN (a.atttypmod - 4) & 2047 END,
           COALESCE(a.attnum = ANY (i.indkey), false), c.relreplident::text
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
     WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column by PostgreSQL's catalogue: its type, and the digits of a number that has a scale."""

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
            f"the database cannot be read: {type(error).__name__}",
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


def starter_of(schema: str, tables: Sequence[Table]) -> Starter:
    """Return what to begin with for the tables of a schema, which becomes the system's name.

    Raises ConfigError where nothing of it can be captured.
    """
    if not _NAME.fullmatch(schema):
        raise ConfigError(
            f"the schema {schema} cannot be the name of a system",
            hint="lower-case letters, digits and underscores; a view in such a schema may help",
        )
    warnings: list[str] = []
    objects = {}
    for table in tables:
        declared = _declared(table, warnings)
        if declared is not None:
            objects[table.name] = declared
    if not objects:
        raise ConfigError(
            f"no table of {schema} can be captured",
            hint="; ".join(warnings) or "the schema has no tables that this user sees",
        )
    mapping = {"system": schema, "capture": "debezium", "objects": objects}
    return Starter(mapping, _connector(schema, list(objects)), warnings)


def write_starter(starter: Starter, folder: Path) -> list[Path]:
    """Write the files of a system; return them. Raises ConfigError where one is there already."""
    texts = {
        MAPPING: yaml.safe_dump(starter.mapping, sort_keys=False, default_flow_style=False),
        CONNECTOR: json.dumps(starter.connector, indent=2) + "\n",
    }
    for name in texts:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} is there already", hint="name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in texts]


def _declared(table: Table, warnings: list[str]) -> dict[str, Any] | None:
    if not _TABLE.fullmatch(table.name):
        warnings.append(f"{table.name} is left out: no topic can have this name")
        return None
    keys = [column.name for column in table.columns if column.is_key]
    if len(keys) != 1:
        why = "no primary key" if not keys else f"a primary key of {len(keys)} columns"
        warnings.append(f"{table.name} is left out: it has {why}")
        return None
    columns = {}
    for column in table.columns:
        declared = _type(column)
        if declared is None:
            warnings.append(f"{table.name}.{column.name} is left out: {_why(column)}")
        else:
            columns[column.name] = declared
    if keys[0] not in columns or columns[keys[0]] not in ("int", "long", "text"):
        warnings.append(f"{table.name} is left out: its key is no whole number and no text")
        return None
    if not table.has_full_identity and "text" in columns.values():
        warnings.append(
            f"{table.name}: a long text that does not change is not sent; set REPLICA IDENTITY"
            " FULL, or keep it by unset_kept"
        )
    found: dict[str, Any] = {"kind": table.name.lower(), "key": keys[0]}
    if personal := [name for name in columns if _PERSONAL.search(name.lower())]:
        found["personal_data"] = personal
    return found | {"columns": columns}


def _type(column: Column) -> str | None:
    if not _COLUMN.fullmatch(column.name):
        return None
    if column.is_enum:
        return "text"
    if column.type == "numeric":
        precision, scale = column.precision, column.scale
        if precision is None or scale is None or precision > _DIGITS_MAX or scale > precision:
            return None
        return f"decimal({precision},{scale})"
    return _TYPES.get(column.type)


def _why(column: Column) -> str:
    if not _COLUMN.fullmatch(column.name):
        return "no field of a record can have this name"
    if column.type == "numeric":
        return "a number without a scale, or of more than 38 digits; cast it in a view or a column"
    return f"no mapping reads the type {column.type}"


def _connector(schema: str, tables: Sequence[str]) -> dict[str, Any]:
    """A connector file for the tables of a database."""
    text = (files("connectors") / "debezium" / "postgresql.json").read_text("utf-8")
    common: dict[str, Any] = json.loads(text)
    prefix, slot = schema.upper(), f"psastream_{schema}"
    return {
        "name": schema.replace("_", "-"),
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
        },
    }
