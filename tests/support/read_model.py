"""A read model for tests: a database of its own, topics of its own, and what both must hold."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final

import polars as pl
import psycopg
from confluent_kafka import Message
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from psastream.query.session import Session, dtypes_of
from psastream.query.views import packaged_views
from psastream.read_model.landing import KEY, LandingTable, as_csv, landed, landing_tables
from psastream.read_model.star import SCHEMA, star_views
from psastream.read_model.store import Generation, Store
from runtime.kafka import KafkaSettings, read_compacted
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec
from schemas.contracts import value_schema
from schemas.keys import encode_keys
from schemas.topics import Topic
from tests.support.catalogue import BY_NAME, CATALOGUE
from tests.support.eventually import eventually

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by the topics of the catalogue."""

AT: Final = datetime(2026, 3, 9, 12, tzinfo=UTC)
SCHEMA_ID: Final = 7
DROP_S: Final = 60.0
DIMENSIONS: Final = {
    "resource_id": "dim_person",
    "project_id": "dim_project",
    "customer_id": "dim_customer",
}
"""Dimensions by the column of the views of which it has a row for each value."""
POOLS: Final[Mapping[str, Sequence[Any]]] = {
    "project_id": ["eng-1-DE", "eng-1-FR", "psa:project:9", None],
    "project_ref": ["psa:project:1", "psa:project:2", "psa:project:9", None],
    "customer_id": ["cus-1", "cus-2", None],
    "engagement_id": ["eng-1", None],
    "resource_id": ["res-1", "res-2", "res-3", "adr-1", None],
    "address_id": ["adr-1", "res-2", None],
    "role_ref": ["rm:role:1", None],
    "iso_week": ["2026-W01", "2026-W53", "2027-W01"],
    "period": ["2026-01", "2026-02"],
    "currency": ["EUR", "USD"],
    "status": ["approved", "completed", "open", "active", "succeeded", None],
    "command_id": ["c1", "c2"],
    "revision": [1, 2, None],
    "natural_key": [
        "netsuite:project:eng-1-DE", "float:project:eng-1-FR", "netsuite:customer:cus-1",
        "netsuite:time_bill:tb", "psa:project:2", "adr-8", "a::b", None,
    ],
    "payload": [
        '{"project_id":"eng-1-DE"}', '{"customer_id":"cus-2"}', "{}", "", None, "no json",
        '{"project_ref":"psa:project:9"}', '{"cut":"\\u0000"}',
    ],
}  # fmt: skip
"""Values of fields by their name, so that joins find something, and sometimes nothing."""


@contextmanager
def own_database(dsn: str) -> Iterator[str]:
    """A database of its own beside that of a stack; its libpq URI."""
    name = sql.Identifier(f"read_model_{uuid.uuid4().hex[:8]}")

    # A connection that is kept does not outlive a server that a test kills.
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    try:
        yield as_user(dsn, str(conninfo_to_dict(dsn)["user"]), name.as_string().strip('"'))
    finally:
        drop_database(dsn, name)


def drop_database(dsn: str, name: sql.Identifier) -> None:
    """Drop a database, whoever is connected."""

    def is_dropped() -> bool:
        with psycopg.connect(dsn, autocommit=True) as connection:
            try:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            except psycopg.errors.InsufficientPrivilege:
                return False  # an autovacuum worker is not ours to end, and soon ends by itself
        return True

    eventually(is_dropped, deadline_s=DROP_S)


def as_user(dsn: str, user: str, database: str | None = None) -> str:
    """Return the URI of a database for another user, or of another database."""
    parts = conninfo_to_dict(make_conninfo(dsn, user=user))
    return f"postgresql://{user}@{parts['host']}:{parts['port']}/{database or parts['dbname']}"


def any_rows(topic: Topic, count: int, random: Random) -> list[dict[str, Any]]:
    """Return rows with values of every type, nulls among them; ids are their own."""
    dtypes = dtypes_of(topic)
    return [
        {name: _value(name, dtype, number, topic, random) for name, dtype in dtypes.items()}
        for number in range(count)
    ]


def _value(  # noqa: PLR0911 - one return for each type
    name: str, dtype: pl.DataType, number: int, topic: Topic, random: Random
) -> Any:
    if name in POOLS:
        return random.choice(POOLS[name])
    if name == "id" and topic.name == "psa.project":
        return ["psa:project:1", "psa:project:2", "psa:project:9", f"erp:project:{number}"][
            min(number, 3)
        ]
    if name == "id" and topic.name == "psa.role":
        return f"rm:role:{number}"
    if name in ("id", "exception_id"):
        return f"{topic.name}:{number}"
    if random.random() < 0.1:
        return None
    match dtype:
        case pl.String():
            return random.choice(["", "ä ☃", "it's", 'a "b"', f"{name} {number}", "x\ny"])
        case pl.Decimal():
            whole = random.randrange(-(10 ** (dtype.precision - 1)), 10 ** (dtype.precision - 1))
            return Decimal(random.choice([0, 1, 7, whole])).scaleb(-dtype.scale)
        case pl.Date():
            return date(2026, 1, 1) + timedelta(days=random.randrange(60))
        case pl.Datetime():
            return AT + timedelta(milliseconds=random.randrange(10**9))
        case pl.Boolean():
            return random.random() < 0.5
        case pl.Int32() | pl.Int64():
            return random.choice([0, 1, 3600, -3600])
        case pl.List(inner=pl.String()):
            return random.choice([[], ["a", "b"]])
    return None


def load(
    store: Store, generation: Generation, rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Put rows into the tables of a generation, by the topics of the catalogue."""
    tables = {table.topic.name: table for table in landing_tables(CATALOGUE)}
    for name, found in rows.items():
        table = tables[name]
        columns = dtypes_of(table.topic)
        data = pl.DataFrame([dict.fromkeys(columns) | dict(row) for row in found], columns)
        keys = pl.Series(KEY, [str(number) for number in range(len(found))])
        csv = as_csv(landed(data, table).insert_column(0, keys))
        listed = ", ".join(f'"{column}"' for column in (KEY, *table.columns))
        with (
            store.connection.transaction(),
            store.connection.cursor() as cursor,
            cursor.copy(
                f'COPY {generation.schema}."{table.name}" ({listed}) FROM STDIN (FORMAT csv)'
            ) as copy,
        ):
            copy.write(csv)


def asked(rows: Rows) -> Session:
    """Return what `psastream sql` answers from, with these rows in its topics."""

    def frames(names: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
        for name in names:
            columns = dtypes_of(BY_NAME[name])
            found = [dict.fromkeys(columns) | dict(row) for row in rows.get(name, ())]
            yield name, pl.DataFrame(found, columns)

    return Session(CATALOGUE, packaged_views(), frames)


def message(
    topic: Topic, offset: int, key: str, row: Mapping[str, Any] | bytes | None, partition: int = 0
) -> Message:
    """Return a message as a consumer gives it. `row`: None deletes, bytes are the value itself."""
    value = row
    if isinstance(row, Mapping):
        value = frame(SCHEMA_ID, RecordCodec(value_schema(topic)).encode(row))
    [named] = encode_keys(1, [key])
    return Message(topic.name, partition, offset, named, value)


def joined(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    """Return by view and column the ids that are in no dimension, and those that are in one."""
    found = {}
    for view in star_views():
        names = {column.name for column in view.columns}
        for column, dimension in DIMENSIONS.items():
            if column not in names or view.name == dimension:
                continue
            query = f"""SELECT count(v.{column}) - count(d.{column}), count(d.{column})
                        FROM {SCHEMA}.{view.name} AS v
                        LEFT JOIN {SCHEMA}.{dimension} AS d USING ({column})"""
            [row] = connection.execute(query).fetchall()
            found[f"{view.name}.{column}"] = row
    return found


def differences(
    connection: psycopg.Connection[Any],
    schema: str,
    tables: Sequence[LandingTable],
    kafka: KafkaSettings,
    registry: Registry,
) -> dict[str, list[str]]:
    """Return by topic what a read model has otherwise than the last values of its keys say.

    Reads the topics and decodes each value by itself, with none of the product's columns.
    """
    serde = Serde(registry)
    found: dict[str, list[str]] = {}
    for table in tables:
        wanted = {
            serde.read_key(key): _row(table, serde.read(value))
            for key, value in read_compacted(kafka, table.topic.name).items()
        }
        listed = ", ".join(f'"{name}"' for name in (KEY, *table.columns))
        rows = connection.execute(f'SELECT {listed} FROM {schema}."{table.name}"').fetchall()
        held = {row[0]: tuple(_plain(value) for value in row[1:]) for row in rows}
        wrong = [
            f"{key}: {held.get(key)} is not {wanted.get(key)}"
            for key in held.keys() | wanted.keys()
            if held.get(key) != wanted.get(key)
        ]
        if wrong:
            found[table.topic.name] = wrong
    return found


def _row(table: LandingTable, record: Mapping[str, Any]) -> tuple[Any, ...]:
    values = []
    for name, kind in table.columns.items():
        value = record.get(name)
        if kind == "jsonb" and value is not None:
            value = json.loads(json.dumps(value, default=str))
        values.append(_plain(value))
    return tuple(values)


def _plain(value: Any) -> Any:
    """Return a value so that equal ones are equal, whatever zone or trailing zeros they have."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value
