"""Change events as Debezium documents them for PostgreSQL, by the settings of a connector file.

https://debezium.io/documentation/reference/stable/connectors/postgresql.html: data types, events,
properties. What a connector file leaves out has Debezium's own default. Rows are given as
`row_to_json` shows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from psastream.conformance.documented import Table
from schemas.codec.framing import frame
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.errors import ConfigError
from schemas.mapping.declared import clock_time

Row = dict[str, Any]
SNAPSHOTS: Final = ("initial", "always", "initial_only", "when_needed")
"""Modes of `snapshot.mode` that read the rows that are there."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ROUTER: Final = "org.apache.kafka.connect.transforms.RegexRouter"
_COLUMN: Final = re.compile(r"([a-z][a-z ]*?)(?:\((\d+)(?:, ?(\d+))?\))?( not null)?")
_TRUNCATED: Final = re.compile(r"column\.truncate\.to\.[0-9]+\.chars")
_TEXTS: Final = frozenset(
    {"text", "varchar", "character varying", "char", "character", "uuid", "json", "jsonb", "enum",
     "citext", "xml"}
)  # fmt: skip
_PLAIN: Final = {
    "bigint": "long", "integer": "int", "smallint": "int", "boolean": "boolean",
    "double precision": "double", "real": "float",
}  # fmt: skip
_US: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its type by PostgreSQL's name, and its digits, None where none are said."""

    kind: str
    precision: int | None = None
    scale: int | None = None
    is_nullable: bool = True

    @property
    def is_text(self) -> bool:
        """Whether its values are texts, which may lie outside of their row."""
        return self.kind in _TEXTS


def read_column(text: str) -> Column:
    """Return a column as `\\d` shows it: `numeric(9,2) not null`. Raises ConfigError."""
    found = _COLUMN.fullmatch(text)
    known = {*_TEXTS, *_PLAIN, "numeric", "date", "timestamp", "timestamptz", "time", "interval"}
    if found is None or found[1] not in known:
        raise ConfigError(f"{text!r} is no column", hint=f"types are {', '.join(sorted(known))}")
    first, second = (None if each is None else int(each) for each in (found[2], found[3]))
    return Column(found[1], first, second, is_nullable=found[4] is None)


class Debezium:
    """One connector. Raises ConfigError for what it cannot play."""

    def __init__(self, document: Mapping[str, Any], schema: str) -> None:
        self._settings: Mapping[str, str] = document["config"]
        self._schema = schema
        self._schemas: dict[str, AvroSchema] = {}
        for name in filter(None, self._setting("transforms", "").split(",")):
            if self._setting(f"transforms.{name}.type", "") != _ROUTER:
                raise ConfigError(f"the suite cannot play the transform {name}")

    def _setting(self, name: str, default: str) -> str:
        return str(self._settings.get(name, default))

    def topic(self, table: str) -> str | None:
        """Return the topic of a table, None where it is not captured."""
        name = f"{self._schema}.{table}"
        if not _named(name, self._setting("table.include.list", ".*")):
            return None
        if _named(name, self._setting("table.exclude.list", "")):
            return None
        topic = f"{self._setting('topic.prefix', '')}.{name}"
        for each in filter(None, self._setting("transforms", "").split(",")):
            pattern = self._setting(f"transforms.{each}.regex", "")
            if re.fullmatch(pattern, topic):
                to = self._setting(f"transforms.{each}.replacement", "")
                topic = re.sub(pattern, re.sub(r"\$(\d)", r"\\\1", to), topic)
        return topic

    @property
    def reads_rows(self) -> bool:
        """Whether the rows that are there are read first."""
        return self._setting("snapshot.mode", "initial") in SNAPSHOTS

    def tells(self, operation: str) -> bool:
        """Whether changes of a kind are told; by default all but truncations."""
        return operation not in self._setting("skipped.operations", "t").split(",")

    @property
    def has_tombstones(self) -> bool:
        """Whether a delete is followed by a record without a value."""
        return self._setting("tombstones.on.delete", "true") == "true"

    def columns(self, name: str, table: Table) -> dict[str, Column]:
        """Return the columns that are captured."""
        hidden = self._setting("column.exclude.list", "")
        return {
            column: read_column(text)
            for column, text in table.columns.items()
            if not _named(f"{self._schema}.{name}.{column}", hidden)
        }

    def envelope(self, topic: str, columns: Mapping[str, Column]) -> AvroSchema:
        """Return the schema of the events of a table."""
        fields = [_field(name, self._avro(each), each) for name, each in columns.items()]
        row = {"type": "record", "name": "Value", "fields": fields}
        envelope: Any = (
            {
                "type": "record", "name": "Envelope", "namespace": topic,
                "fields": [
                    {"name": "before", "type": ["null", row], "default": None},
                    {"name": "after", "type": ["null", "Value"], "default": None},
                    {"name": "source", "type": _SOURCE},
                    {"name": "transaction", "type": ["null", _TRANSACTION], "default": None},
                    {"name": "op", "type": "string"},
                    *(_optional(name, "long") for name in ("ts_ms", "ts_us", "ts_ns")),
                ],
            }
        )  # fmt: skip
        return load_schema(envelope)

    def event(
        self,
        schema_id: int,
        schema: AvroSchema,
        columns: Mapping[str, Column],
        *,
        op: str,
        before: Row | None,
        after: Row | None,
        source: Mapping[str, Any],
    ) -> bytes:
        """Return a record's value."""
        envelope = {
            "before": before and self._written(source["table"], columns, before),
            "after": after and self._written(source["table"], columns, after),
            "source": {**_NO_SOURCE, "schema": self._schema, **source},
            "op": op,
            "ts_ms": source["ts_ms"],
        }
        if "Avro" not in self._setting("value.converter", ""):
            return json.dumps(envelope, default=str).encode()
        return frame(schema_id, RecordCodec(schema).encode(envelope))

    def _cut(self, name: str) -> int | None:
        """How many characters of a column are told at most."""
        found = [
            int(key.split(".")[3])
            for key, names in self._settings.items()
            if _TRUNCATED.fullmatch(key) and _named(name, names)
        ]
        return min(found, default=None)

    def _written(self, table: str, columns: Mapping[str, Column], row: Row) -> Row:
        cuts = {name: self._cut(f"{self._schema}.{table}.{name}") for name in columns}
        return {
            name: None if row.get(name) is None else self._value(each, row[name], cuts[name])
            for name, each in columns.items()
            if each.is_nullable or row.get(name) is not None
        } | {
            # Of a key alone: what else is not null is what its type begins with.
            name: _BLANKS[self._kind(each)]
            for name, each in columns.items()
            if not each.is_nullable and row.get(name) is None
        }

    def _kind(self, column: Column) -> str:
        avro = self._avro(column)
        return avro if isinstance(avro, str) else str(avro["type"])

    def _avro(self, column: Column) -> Any:
        """The Avro type of a column."""
        if column.is_text or column.kind == "timestamptz":
            return "string"
        if column.kind in _PLAIN:
            return _PLAIN[column.kind]
        found: Any = "long"
        match column.kind:
            case "numeric":
                mode = self._setting("decimal.handling.mode", "precise")
                digits, scale = column.precision or 38, column.scale or 0
                number = {"logicalType": "decimal", "precision": digits, "scale": scale}
                found = {"type": "bytes", **number} if mode == "precise" else mode
            case "interval" if self._setting("interval.handling.mode", "numeric") == "string":
                found = "string"
            case "date":
                found = "int"
            case "time" if self._us(column) > 1:
                found = "int"
        return found

    def _value(self, column: Column, value: Any, cut: int | None) -> Any:
        """A value as it is written; one that is no text stands for what is written already."""
        avro = self._avro(column)
        if column.is_text:
            return value[:cut]
        if column.kind == "numeric":
            return {"double": float, "string": str}.get(str(avro), _decimal)(value)
        if not isinstance(value, str):
            return float(value) if avro in ("double", "float") else value
        return self._time(column, value, avro)

    def _time(self, column: Column, value: str, avro: Any) -> Any:
        match column.kind:
            case "date":
                return date.fromisoformat(value).toordinal() - EPOCH.toordinal()
            case "timestamptz":
                return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
            case "timestamp":
                since = datetime.fromisoformat(value).replace(tzinfo=UTC) - EPOCH
                return since // _US // self._us(column)
            case "interval" if value.startswith("P"):
                return value
            case "interval" if avro == "string":
                return _period(clock_time(value))
        return clock_time(value) // _US // self._us(column)

    def _us(self, column: Column) -> int:
        """Microseconds to the unit of a time."""
        if column.kind == "interval":
            return 1
        mode = self._setting("time.precision.mode", "adaptive")
        digits = column.precision if column.precision is not None else 6
        is_coarse = mode == "connect" or (mode == "adaptive" and digits <= 3)
        return 1000 if is_coarse else 1


def _named(name: str, patterns: str) -> bool:
    return any(re.fullmatch(each.strip(), name) for each in filter(None, patterns.split(",")))


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))


def _period(length: timedelta) -> str:
    seconds = Decimal(length // _US).scaleb(-6)
    hours, rest = divmod(abs(seconds), 3600)
    sign = "-" if seconds < 0 else ""
    minutes, left = divmod(rest, 60)
    return f"P0Y0M0DT{sign}{hours:f}H{sign}{minutes:f}M{sign}{left.normalize():f}S"


def _field(name: str, avro: Any, column: Column) -> Row:
    return _optional(name, avro) if column.is_nullable else {"name": name, "type": avro}


def _optional(name: str, avro: Any) -> Row:
    return {"name": name, "type": ["null", avro], "default": None}


_BLANKS: Final[Mapping[str, Any]] = {
    "long": 0, "int": 0, "string": "", "boolean": False, "double": 0.0, "float": 0.0,
    "bytes": Decimal(0),
}  # fmt: skip
_SOURCE: Final[Row] = {
    "type": "record", "name": "Source", "namespace": "io.debezium.connector.postgresql",
    "fields": [
        *({"name": name, "type": "string"} for name in ("version", "connector", "name")),
        {"name": "ts_ms", "type": "long"},
        {"name": "snapshot", "type": ["string", "null"], "default": "false"},
        {"name": "db", "type": "string"},
        _optional("sequence", "string"),
        *(_optional(name, "long") for name in ("ts_us", "ts_ns")),
        *({"name": name, "type": "string"} for name in ("schema", "table")),
        *(_optional(name, "long") for name in ("txId", "lsn", "xmin")),
    ],
}  # fmt: skip
_TRANSACTION: Final[Row] = {
    "type": "record", "name": "block", "namespace": "event",
    "fields": [
        {"name": "id", "type": "string"},
        *({"name": name, "type": "long"} for name in ("total_order", "data_collection_order")),
    ],
}  # fmt: skip
_NO_SOURCE: Final[Row] = {
    "version": "3.3.1.Final", "connector": "postgresql", "name": "src", "snapshot": "false",
    "db": "db", "sequence": None, "table": "", "lsn": None,
}  # fmt: skip
