"""Where topics land: a table each, with the columns of its contract and the message key.

Records within records and lists are JSON; instants are UTC, decimals keep all their digits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from psastream.query.session import CATALOG, dtypes_of, public_topics
from schemas.contracts import record_schema
from schemas.errors import ConfigError
from schemas.topics import COMMAND_PREFIX, Cleanup, Topic

KEY: Final = "record_key"
"""Column of the message key, the primary key: of a row that moves it holds the place, too."""
ALL_COMMANDS: Final = "all_commands"
PAY: Final = "cost_rate"
"""Beginning of the fields that tell what a person costs."""
_TYPES: Final[Mapping[type[pl.DataType], str]] = {
    pl.Boolean: "boolean",
    pl.Int32: "integer",
    pl.Int64: "bigint",
    pl.Float32: "real",
    pl.Float64: "double precision",
    pl.String: "text",
    pl.Date: "date",
    pl.Datetime: "timestamptz",
    pl.Binary: "bytea",
    pl.List: "jsonb",
    pl.Struct: "jsonb",
    pl.Null: "text",
}
_NUL: Final = "\N{SYMBOL FOR NULL}"
"""What stands for the one character that PostgreSQL's text cannot hold."""


@dataclass(frozen=True, slots=True)
class LandingTable:
    """The table of a topic. `columns`: types of PostgreSQL by name, without the key."""

    name: str
    topic: Topic
    columns: Mapping[str, str]

    @property
    def has_pay(self) -> bool:
        """Whether its rows tell what a person costs."""
        return any(name.startswith(PAY) or name in self.topic.pay_data for name in self.columns)


def landing_tables(topics: Iterable[Topic]) -> tuple[LandingTable, ...]:
    """Return the tables of those topics that keep their rows: public ones that are compacted.

    Raises ConfigError where two topics would have one table.
    """
    tables: dict[str, LandingTable] = {}
    for topic in public_topics(topics):
        if topic.cleanup is not Cleanup.COMPACT:
            continue
        name = topic.name.removeprefix(f"{CATALOG}.").replace(".", "_").lower()
        if name in tables:
            raise ConfigError(
                f"the topics {tables[name].topic.name} and {topic.name} would have one table",
                hint="give one of the two another name",
            )
        # What a command says is in its payload, too: the records of its kinds are left out.
        dtypes = {
            each: dtype for each, dtype in dtypes_of(topic).items() if each not in topic.contents
        }
        tables[name] = LandingTable(name, topic, _columns(dtypes))
    return tuple(tables.values())


def definitions(schema: str, tables: Sequence[LandingTable], pay_role: str) -> list[str]:
    """Return the statements that make a landing schema.

    Rows that tell what a person costs are for the owner, who writes, and for `pay_role`.
    """
    statements = [f"CREATE SCHEMA {schema}"]
    for table in tables:
        place = f'{schema}."{table.name}"'
        statements.append(_table(place, table.columns))
        if table.has_pay:
            statements += [
                f"ALTER TABLE {place} ENABLE ROW LEVEL SECURITY",
                f"CREATE POLICY pay ON {place} FOR SELECT TO {pay_role} USING (true)",
            ]
    commands = [table for table in tables if table.topic.name.startswith(COMMAND_PREFIX)]
    columns = _columns(pl.Schema(_command_dtypes()))
    listed = ", ".join(f'"{name}"' for name in (KEY, *columns))
    if commands:
        rows = " UNION ALL ".join(
            f'SELECT {listed} FROM {schema}."{table.name}"' for table in commands
        )
        statements.append(f"CREATE VIEW {schema}.{ALL_COMMANDS} AS {rows}")
    else:
        statements.append(_table(f"{schema}.{ALL_COMMANDS}", columns))
    return statements


def fingerprint(tables: Sequence[LandingTable], topic_ids: Mapping[str, str]) -> str:
    """Return what tells one layout from another: columns of tables, and which topics they hold.

    A topic that was deleted and made anew has another id.
    """
    parts = [
        [table.name, list(table.columns.items()), topic_ids.get(table.topic.name, "")]
        for table in sorted(tables, key=lambda each: each.name)
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def landed(frame: pl.DataFrame, table: LandingTable) -> pl.DataFrame:
    """Return decoded rows as the columns of a table, in forms that its COPY takes."""
    return frame.select(
        _json(frame[name]) if kind == "jsonb" else _hex(frame[name]) if kind == "bytea" else name
        for name, kind in table.columns.items()
    )


def as_csv(frame: pl.DataFrame) -> bytes:
    """Return rows as CSV for COPY: null is an empty field, an empty text is quoted."""
    data = frame.write_csv(include_header=False, null_value="").encode()
    return data.replace(b"\0", _NUL.encode())


def without_nul(text: str) -> str:
    """Return a text as PostgreSQL can hold it."""
    return text.replace("\0", _NUL)


def ends_early(data: bytes) -> bool:
    r"""Whether PostgreSQL before 18 would take a line of a text, `\.`, for the end of the CSV."""
    return data.startswith(b"\\.") or b"\n\\." in data


def _columns(dtypes: Mapping[str, pl.DataType]) -> dict[str, str]:
    return {name: _type(dtype) for name, dtype in dtypes.items()}


def _type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Decimal):
        return f"numeric({dtype.precision},{dtype.scale})"
    return _TYPES[type(dtype)]


def _command_dtypes() -> dict[str, pl.DataType]:
    from schemas.codec.columnar import frame_dtypes

    return frame_dtypes(record_schema("command/command"))


def _table(place: str, columns: Mapping[str, str]) -> str:
    listed = "".join(f', "{name}" {kind}' for name, kind in columns.items())
    return f"CREATE TABLE {place} ({KEY} text PRIMARY KEY{listed})"


def _json(series: pl.Series) -> pl.Series:
    texts = [None if each is None else _json_text(each) for each in series.to_list()]
    return pl.Series(series.name, texts, pl.String)


def _json_text(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    if "\\u0000" not in text:
        return text
    # A backslash before u0000 is written as two: only the values tell which of both it was.
    return json.dumps(_shown(value), default=str, ensure_ascii=False)


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return without_nul(value)
    if isinstance(value, Mapping):
        return {name: _shown(each) for name, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value


def _hex(series: pl.Series) -> pl.Series:
    return ("\\x" + series.bin.encode("hex")).alias(series.name)
