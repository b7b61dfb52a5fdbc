"""Can Debezium read the change log of a PostgreSQL database, and is its slot sound?

https://debezium.io/documentation/reference/stable/connectors/postgresql.html#setting-up-postgresql
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg

from connectors.debezium.client import ConnectorFile
from psastream.check.findings import Finding
from psastream.verdict import Verdict
from runtime.secrets import remember

DATABASES: Final = "databases"
POSTGRES: Final = "io.debezium.connector.postgresql.PostgresConnector"
CONNECT_S: Final = 8
_PLACEHOLDER: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
"""Of a table, where the file names it: anything else is a pattern, which only Debezium reads."""
_NOT_REACHED: Final = re.compile(
    r"Connection refused|could not translate host name|failed to resolve host|timeout expired"
    r"|connection timeout|No route to host|Network is unreachable|No such file or directory"
)
"""What libpq and psycopg say where no server answers, which is no matter of users and rights."""
_AUTOMATIC: Final = ("filtered", "all_tables")
"""Values of `publication.autocreate.mode` with which Debezium makes the publication."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, as libpq takes it."""

    host: str
    port: str
    dbname: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot: `wal_status` is `lost` once changes are gone that it has not sent."""

    plugin: str
    database: str
    wal_status: str | None


@dataclass(frozen=True, slots=True)
class Database:
    """What a database told. `tables`: whether the user may read it, by `schema.table`.

    `slots_left` and `senders_left`: how many more there may be. `publication`: its tables, None
    where there is none.
    """

    at: datetime
    wal_level: str
    may_replicate: bool
    tables: Mapping[str, bool]
    slot: Slot | None = None
    slots_left: int = 1
    publication: frozenset[str] | None = None


def address_of(connector: ConnectorFile, environment: Mapping[str, str]) -> Address | list[str]:
    """Return where the database of a file is, or the variables that are not set here."""
    missing: list[str] = []

    def value(key: str, otherwise: str) -> str:
        text = str(connector.config.get(key, otherwise))
        missing.extend(name for name in _PLACEHOLDER.findall(text) if name not in environment)
        return _PLACEHOLDER.sub(lambda found: environment.get(found[1], ""), text)

    address = Address(
        host=value("database.hostname", ""),
        port=value("database.port", "5432"),
        dbname=value("database.dbname", ""),
        user=value("database.user", ""),
        password=value("database.password", ""),
    )
    remember(address.password)
    return missing or address


def ask_database(address: Address, connector: ConnectorFile) -> Database:
    """Ask a database; changes nothing. Raises psycopg.Error where it does not answer."""
    names = named_tables(connector)
    with psycopg.connect(
        host=address.host,
        port=address.port,
        dbname=address.dbname,
        user=address.user,
        password=address.password,
        connect_timeout=CONNECT_S,
        autocommit=True,
    ) as connection:
        at, wal_level, may_replicate, slots_left = connection.execute(_TRAITS).fetchone() or (
            datetime.now(UTC), "", False, 0,
        )  # fmt: skip
        slot = connection.execute(_SLOT, (_setting(connector, "slot.name", "debezium"),)).fetchone()
        publication = _setting(connector, "publication.name", "dbz_publication")
        is_there = connection.execute(_PUBLICATION, (publication,)).fetchone()
        published = connection.execute(_PUBLISHED, (publication,)).fetchall()
        tables = connection.execute(_TABLES, (names,)).fetchall()
    return Database(
        at,
        wal_level,
        may_replicate,
        dict(tables),
        Slot(*slot) if slot else None,
        slots_left,
        frozenset(name for (name,) in published) if is_there else None,
    )


def named_tables(connector: ConnectorFile) -> list[str]:
    """Return the tables that a file names, without those that it gives by a pattern."""
    listed = str(connector.config.get("table.include.list", "")).split(",")
    names = [name.strip() for name in listed if name.strip()]
    return [
        name
        for name in names
        if name.count(".") == 1 and all(_NAME.fullmatch(part) for part in name.split("."))
    ]


def database_findings(connector: ConnectorFile, told: Database) -> Iterator[Finding]:
    """Yield what is found of a database."""
    name = connector.name
    problems = [*_log(name, told), *_slot(connector, told), *_publication(connector, told)]
    problems += _tables(connector, told)
    yield from problems
    if not problems:
        yield Finding(DATABASES, name, Verdict.OK, "its change log, slot and tables can be read")


def _log(name: str, told: Database) -> Iterator[Finding]:
    if told.wal_level != "logical":
        yield Finding(
            DATABASES,
            name,
            Verdict.FAIL,
            f"wal_level is {told.wal_level}, not logical",
            "ALTER SYSTEM SET wal_level = logical, and restart the database",
        )
    if not told.may_replicate:
        yield Finding(
            DATABASES,
            name,
            Verdict.FAIL,
            "the user may not replicate",
            "ALTER ROLE … REPLICATION; on a managed database its own role for it",
        )


def _slot(connector: ConnectorFile, told: Database) -> Iterator[Finding]:
    slot, wanted = told.slot, _setting(connector, "slot.name", "debezium")
    plugin = _setting(connector, "plugin.name", "decoderbufs")
    if slot is None:
        if not told.slots_left:
            yield Finding(
                DATABASES,
                connector.name,
                Verdict.FAIL,
                f"there is no slot {wanted}, and no room for one more",
                "raise max_replication_slots, or drop a slot that nobody uses",
            )
    elif slot.wal_status == "lost":
        yield Finding(
            DATABASES,
            connector.name,
            Verdict.FAIL,
            f"the slot {wanted} is lost: changes that it had not sent are gone",
            "psastream docs runbooks/database-silent",
        )
    elif slot.plugin != plugin:
        yield Finding(
            DATABASES,
            connector.name,
            Verdict.FAIL,
            f"the slot {wanted} is of {slot.plugin}, not of {plugin}",
            "give plugin.name what the slot is of, or slot.name another name",
        )


def _publication(connector: ConnectorFile, told: Database) -> Iterator[Finding]:
    wanted = _setting(connector, "publication.name", "dbz_publication")
    if _setting(connector, "plugin.name", "decoderbufs") != "pgoutput":
        return
    makes = _setting(connector, "publication.autocreate.mode", "all_tables") in _AUTOMATIC
    if told.publication is None:
        if not makes:
            yield Finding(
                DATABASES,
                connector.name,
                Verdict.FAIL,
                f"there is no publication {wanted}, and publication.autocreate.mode makes none",
                f"CREATE PUBLICATION {wanted} FOR TABLE {', '.join(named_tables(connector))}",
            )
        return
    absent = [each for each in named_tables(connector) if each not in told.publication]
    if absent and not makes:
        yield Finding(
            DATABASES,
            connector.name,
            Verdict.FAIL,
            f"the publication {wanted} lacks {', '.join(absent)}",
            f"ALTER PUBLICATION {wanted} ADD TABLE {', '.join(absent)}",
        )


def _tables(connector: ConnectorFile, told: Database) -> Iterator[Finding]:
    names = named_tables(connector)
    if absent := [name for name in names if name not in told.tables]:
        yield Finding(
            DATABASES,
            connector.name,
            Verdict.FAIL,
            f"there is no table {', '.join(absent)}",
            "correct table.include.list, or make the table",
        )
    if hidden := [name for name in names if told.tables.get(name) is False]:
        yield Finding(
            DATABASES,
            connector.name,
            Verdict.FAIL,
            f"the user may not read {', '.join(hidden)}",
            f"GRANT SELECT ON {', '.join(hidden)} TO the user, and USAGE on the schema",
        )


def _setting(connector: ConnectorFile, key: str, otherwise: str) -> str:
    """Return a setting; what a file leaves out is Debezium's default."""
    return str(connector.config.get(key, otherwise))


_TRAITS: Final = """
    SELECT clock_timestamp(), current_setting('wal_level'),
           (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
               OR EXISTS (SELECT FROM pg_roles r
                          WHERE r.rolname IN ('rds_replication', 'rds_superuser')
                            AND pg_has_role(current_user, r.oid, 'MEMBER')),
           current_setting('max_replication_slots')::int
               - (SELECT count(*) FROM pg_replication_slots)::int
"""
_SLOT: Final = """
    SELECT plugin::text, database::text, wal_status FROM pg_replication_slots WHERE slot_name = %s
"""
_PUBLICATION: Final = "SELECT 1 FROM pg_publication WHERE pubname = %s"
_PUBLISHED: Final = """
    SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = %s
"""
_TABLES: Final = """
    SELECT n.nspname || '.' || c.relname,
           has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY (%s)
"""


def away(connector: ConnectorFile, address: Address, error: psycopg.Error) -> Finding:
    """Return what is told of a database that does not answer, without its secrets."""
    text = str(error).strip()
    where = f"its database at {address.host}:{address.port}"
    if found := _NOT_REACHED.search(text):
        return Finding(
            DATABASES,
            connector.name,
            Verdict.FAIL,
            f"{where} is not reached: {found[0]}",
            "check host and port, and that it runs and listens there",
        )
    lines = text.splitlines() or [type(error).__name__]
    return Finding(
        DATABASES,
        connector.name,
        Verdict.FAIL,
        f"{where} does not let us in: {lines[-1].strip()}",
        "check user, password and pg_hba.conf; with TLS, sslmode by PGSSLMODE",
    )


def not_asked(connector: ConnectorFile, missing: Sequence[str]) -> Finding:
    """Return what is told of a database whose address only the Connect worker knows."""
    return Finding(
        DATABASES,
        connector.name,
        Verdict.SKIP,
        f"not asked: {', '.join(missing)} not set here",
        "set them here, too; Connect's own validation is told under connectors",
    )
