"""A measure of the firm's own: a SQL file with a header, checked as it is loaded.

```sql
-- name: client_time
-- key: customer_id, month
-- sums: seconds, entries
-- unit: s, entries
-- period: month
SELECT customer_id, STRFTIME(work_on, '%Y-%m') AS month,
       SUM(seconds) AS seconds, COUNT(*) AS entries
FROM time_entry WHERE status = 'approved'
GROUP BY customer_id, month
```

The query is run on the rows that change, once as they were and once as they are: the difference is
what they add. So totals equal the query over all rows that are left, whatever happened to them;
only a SUM of nothing is 0 here. Sums are integers or decimals: those are exact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

import polars as pl

from schemas.codec.columnar import frame_dtypes
from schemas.codec.record import AvroSchema, load_schema
from schemas.contracts import record_schema
from schemas.errors import ConfigError
from schemas.exact import unscaled
from schemas.topics import CANONICAL, METRICS, Criticality, Topic
from tables.foundation import columns as rules
from tables.foundation.columns import as_decimal, made, named
from tables.measures.measure import Amounts, Measure, Quantity
from tables.measures.sql import ROWS, Column, Problem, Query, read_query

METRIC_PREFIX: Final = "psa.metric."
OBJECTS: Final = {topic.name.removeprefix("psa."): topic for topic in CANONICAL}
CONTEXT: Final = ("project_id", "engagement_id", "customer_id", "legal_entity_id")
"""Columns of the project of a row, for objects that name their project."""
NO_PERIOD: Final = "none"
ROWS_VERSION: Final = 2
"""Of what rows measures find: totals over other rows are not theirs."""
_HINT: Final = "psastream docs metrics says what the file of a measure holds"
_HEADER: Final = re.compile(r"--\s*(\w+)\s*:\s*(.*?)\s*$")
_FIELDS: Final = ("name", "key", "sums", "unit", "period")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")
_TAKEN: Final = ("version", "as_of", ROWS)
_SPECIAL: Final = re.compile(r"([\\|])")
_NULL: Final = "\\N"


@dataclass(frozen=True)
class OwnMeasure:
    """A measure of the firm's own. `kinds` are the types of its columns."""

    name: str
    key: tuple[str, ...]
    units: Mapping[str, str]  # by sum
    period: str
    query: Query
    kinds: Mapping[str, pl.DataType]

    @property
    def of(self) -> str:
        """The object whose rows are counted."""
        return self.query.table

    @cached_property
    def definition(self) -> str:
        """Digest of all that decides its figures: totals of another definition are not its."""
        kinds = {name: str(kind) for name, kind in self.kinds.items()}
        said = [ROWS_VERSION, self.name, self.key, list(self.units), self.query.text, kinds]
        return blake2b(json.dumps(said).encode(), digest_size=8).hexdigest()

    @cached_property
    def measure(self) -> Measure:
        """What the fold keeps: the number of rows, and the sums as unscaled integers."""
        return Measure(
            name=self.name,
            topic=f"{METRIC_PREFIX}{self.name}",
            prefix=f"n:{self.name}|",
            key=self.key,
            sums=dict.fromkeys((ROWS, *self.units), Quantity.MICROS),
            columns={
                **{name: self.kinds[name] for name in self.key},
                **dict.fromkeys(self.units, pl.Int128()),
                "version": pl.Int64(),
            },
            shown={
                **{name: named(name) for name in self.key},
                **{name: _shown(name, self.kinds[name]) for name in self.units},
                "version": named("version"),
            },
        )

    @cached_property
    def topic(self) -> Topic:
        """The topic of its rows, with the contract that follows from its columns."""
        return Topic(
            name=f"{METRIC_PREFIX}{self.name}",
            record=None,
            key="|".join(self.key),
            owner="measures",
            criticality=Criticality.MEDIUM,
            contract=self._contract(),
        )

    def contributions(self, rows: pl.DataFrame) -> list[tuple[str, Amounts]]:
        """Return what rows add, by key: the number of rows and the sums."""
        if rows.is_empty():
            return []
        found = _run(self.of, rows, self.query.text)
        kept = found.select(
            *(pl.col(name).cast(self.kinds[name]) for name in self.key),
            *(
                (unscaled(pl.col(name)) if kind.is_decimal() else pl.col(name))
                .cast(pl.Int128)
                .fill_null(0)
                for name, kind in [(ROWS, pl.Int64()), *((n, self.kinds[n]) for n in self.units)]
            ),
        )
        parts = len(self.key)
        return [(key_text(row[:parts]), row[parts:]) for row in kept.iter_rows()]

    def key_values(self, text: str) -> tuple[Any, ...]:
        """Return the values of a key."""
        parts = zip(key_parts(text), self.key, strict=True)
        return tuple(
            None if part is None else _PARSERS[type(self.kinds[name])](part) for part, name in parts
        )

    def _contract(self) -> AvroSchema:
        fields = [(name, f"Of the rows of {self.of}.") for name in self.key]
        fields += [(name, f"Sum in {unit}.") for name, unit in self.units.items()]
        record = {
            "type": "record",
            "name": "".join(part.capitalize() for part in self.name.split("_")),
            "namespace": "psa.metric",
            "doc": f"A measure of the firm's own over {self.of}, by {', '.join(self.key)}.",
            "fields": [
                *(_field(name, _avro(self.kinds[name]), doc) for name, doc in fields),
                _field("version", "long", "Grows with every change of the key."),
                _field(
                    "as_of",
                    {"type": "long", "logicalType": "timestamp-millis"},
                    "Timestamp of the latest change that went in.",
                ),
            ],
        }
        return load_schema(json.dumps(record))


def load_measure(text: str, file: str) -> OwnMeasure:
    """Read the file of a measure. Raises ConfigError with file and line."""
    try:
        return _load(text)
    except Problem as problem:
        raise ConfigError(f"{file}: {problem}", hint=_HINT) from problem


def rows_schema(name: str) -> dict[str, pl.DataType]:
    """Return the columns a measure finds in the rows of an object."""
    topic = OBJECTS[name]
    schema = frame_dtypes(record_schema(str(topic.record)))
    if "project_ref" in schema and topic.route_field == "project_ref":
        project = frame_dtypes(record_schema("canonical/project"))
        schema |= {each: project[each] for each in CONTEXT if each not in schema}
    return schema


def key_text(values: tuple[Any, ...]) -> str:
    """Return a key: its parts with `|` between them; `\\` before a bar of a part, null as `\\N`."""
    return "|".join(
        _NULL
        if value is None
        else str(value).lower()
        if isinstance(value, bool)
        else _SPECIAL.sub(r"\\\1", str(value))
        for value in values
    )


def key_parts(text: str) -> list[str | None]:
    """Return the parts of a key."""
    parts: list[str | None] = []
    for part in re.findall(r"(?:^|\|)((?:\\.|[^\\|])*)", text, flags=re.DOTALL):
        parts.append(None if part == _NULL else re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL))
    return parts


def _load(text: str) -> OwnMeasure:
    header = _header(text)
    query = read_query(text)
    name = header["name"][0]
    if not _NAME.fullmatch(name):
        raise Problem(header["name"][1], f"{name!r} is no name: lower case, digits, underscores")
    if f"{METRIC_PREFIX}{name}" in {topic.name for topic in METRICS}:
        raise Problem(header["name"][1], f"{name} is a measure of the product")
    keys = [column for column in query.columns if not column.is_sum]
    sums = [column for column in query.columns if column.is_sum]
    for field, columns in (("key", keys), ("sums", sums)):
        told, line = _list(header[field][0]), header[field][1]
        found = [column.name for column in columns]
        if not found or sorted(told) != sorted(found):
            raise Problem(line, f"{field}: {', '.join(told)}, and the query has {_or(found)}")
    units = _list(header["unit"][0])
    if len(units) != len(sums):
        raise Problem(header["unit"][1], "unit: one for each of the sums, in their order")
    period, line = header["period"]
    told_key, told_sums = _list(header["key"][0]), _list(header["sums"][0])
    if period not in (*told_key, NO_PERIOD):
        raise Problem(line, f"period: a column of the key, or {NO_PERIOD}")
    kinds = _kinds(query)
    return OwnMeasure(
        name=name,
        key=tuple(told_key),
        units=dict(zip(told_sums, units, strict=True)),
        period=period,
        query=query,
        kinds=kinds,
    )


def _header(text: str) -> dict[str, tuple[str, int]]:
    """Return what the comments before the query say, with their lines."""
    found: dict[str, tuple[str, int]] = {}
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip() and not content.lstrip().startswith("--"):
            break
        said = _HEADER.match(content.strip())
        if said is None:
            continue
        field, value = said.groups()
        if field not in _FIELDS:
            near = get_close_matches(field, _FIELDS, n=1)
            asked = f", did you mean {near[0]}" if near else ""
            raise Problem(line, f"the header has no {field}{asked}")
        if field in found:
            raise Problem(line, f"{field} is there twice")
        if not value:
            raise Problem(line, f"{field} says nothing")
        found[field] = value, line
    if missing := [field for field in _FIELDS if field not in found]:
        raise Problem(1, f"the header has no {', '.join(missing)}, as in -- {missing[0]}: …")
    return found


def _kinds(query: Query) -> dict[str, pl.DataType]:
    """Return the types of the columns, found on no rows at all."""
    if query.table not in OBJECTS:
        near = get_close_matches(query.table, OBJECTS, n=1)
        asked = f", did you mean {near[0]}" if near else ""
        raise Problem(query.table_line, f"there is no object {query.table}{asked}")
    schema = rows_schema(query.table)
    for column in query.columns:
        if column.name in _TAKEN or not _NAME.fullmatch(column.name):
            raise Problem(column.line, f"{column.name} cannot be the name of a column")
        if column.name in schema and not (column.is_plain or column.is_sum):
            raise Problem(column.line, f"{column.name} is a column of {query.table} already")
    names = [column.name for column in query.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Problem(query.columns[0].line, f"{', '.join(twice)} is there twice")
    try:
        result = _run(query.table, pl.DataFrame(schema=schema), query.text).schema
        sample = {name: [_SAMPLES.get(type(kind))] for name, kind in schema.items()}
        for text in (query.text, query.unfiltered):
            _run(query.table, pl.DataFrame(sample, schema=schema), text)
    except pl.exceptions.PolarsError as error:
        detail = re.split("[;\n]", str(error), maxsplit=1)[0]
        raise Problem(
            _line_of(query, detail), f"{detail}{_did_you_mean(detail, schema)}"
        ) from error
    return {column.name: _kind(column, result[column.name]) for column in query.columns}


def _did_you_mean(detail: str, schema: Mapping[str, pl.DataType]) -> str:
    named = re.search(r'column "(\w+)"', detail)
    near = get_close_matches(named[1], schema, n=1) if named else []
    return f", did you mean {near[0]}" if near else ""


def _line_of(query: Query, detail: str) -> int:
    """Return the line of the name that polars does not know, or of the first column."""
    named = re.search(r'column "(\w+)"', detail)
    lines = query.text.splitlines()
    for number, line in enumerate(lines, start=1):
        if named and re.search(rf"\b{named[1]}\b", line.partition("--")[0]):
            return number
    return query.columns[0].line


def _kind(column: Column, kind: pl.DataType) -> pl.DataType:
    if column.is_sum:
        if kind.is_integer():
            return pl.Int64()
        if isinstance(kind, pl.Decimal):
            return pl.Decimal(38, kind.scale)
        raise Problem(
            column.line,
            f"{column.name} is {kind}, which is not exact: a sum is of integers or decimals, "
            "as in SUM(CAST(… AS DECIMAL(38, 6)))",
        )
    if kind.is_integer():
        return pl.Int64()
    if type(kind) not in _PARSERS:
        raise Problem(column.line, f"{column.name} is {kind}: a key is of texts, integers or dates")
    return kind


def _run(table: str, rows: pl.DataFrame, query: str) -> pl.DataFrame:
    return pl.SQLContext({table: rows}, eager=True).execute(query)


def _shown(name: str, kind: pl.DataType) -> rules.Column:
    if isinstance(kind, pl.Decimal):
        return made(lambda whole: as_decimal(whole, 38, kind.scale), named(name))
    return made(
        lambda whole: whole.cast(pl.Int64) if isinstance(whole, pl.Expr) else whole, named(name)
    )


def _avro(kind: pl.DataType) -> Any:
    if isinstance(kind, pl.Decimal):
        digits = {"precision": 38, "scale": kind.scale}
        return {"type": "bytes", "logicalType": "decimal", **digits}
    return _AVRO[type(kind)]


def _field(name: str, kind: Any, doc: str) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "default": None, "doc": doc}


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _or(names: list[str]) -> str:
    return ", ".join(names) or "none"


_SAMPLES: Final[Mapping[type[pl.DataType], Any]] = {
    pl.String: "a",
    pl.Int64: 1,
    pl.Boolean: True,
    pl.Date: date(2026, 11, 2),
    pl.Datetime: datetime(2026, 11, 2, tzinfo=UTC),
    pl.Decimal: Decimal(1),
}
"""A row that every function of a row must be able to take: polars finds errors of types on values
only, and a CAST that fails would lose rows where a TRY_CAST gives null."""
_PARSERS: Final[Mapping[type[pl.DataType], Any]] = {
    pl.String: str,
    pl.Int64: int,
    pl.Boolean: lambda text: text == "true",
    pl.Date: date.fromisoformat,
}
_AVRO: Final[Mapping[type[pl.DataType], Any]] = {
    pl.String: "string",
    pl.Int64: "long",
    pl.Boolean: "boolean",
    pl.Date: {"type": "int", "logicalType": "date"},
}
