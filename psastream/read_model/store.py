"""The database of the read model: its migrations, generations, and which of them views stand on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Final

import psycopg
from psycopg import errors

from psastream.read_model.conservation import DIFFERENCES, Row
from psastream.read_model.landing import LandingTable, definitions
from psastream.read_model.star import (
    BI_ROLE,
    PAY_ROLE,
    SCHEMA,
    publication,
    published_names,
    star_fingerprint,
)
from runtime.kafka import Place
from runtime.secrets import remember_url
from schemas.errors import ConfigError, ReadModelUnavailableError

META: Final = "read_model"
LANDING: Final = "psa_landing_"
VERSION_MIN: Final = 160_000
CONNECT_S: Final = 8
LOCK_WAIT_MS: Final = 5_000
"""How long a change of views waits for queries on them, before those that come wait for it."""
ROLES_BY_HAND: Final = (
    f"as an administrator: CREATE ROLE {BI_ROLE}; CREATE ROLE {PAY_ROLE}; GRANT {PAY_ROLE} TO"
    " the user of the read model"
)
_LOCK: Final = "psastream read model"


@dataclass(frozen=True, slots=True)
class Generation:
    """A landing schema, and since when what it holds is known to be whole."""

    number: int
    layout: str
    seen_at: datetime

    @property
    def schema(self) -> str:
        """The schema of its tables."""
        return f"{LANDING}{self.number}"


class Store:
    """One connection to the read model. Not thread-safe; `close` when done.

    Its methods raise ReadModelUnavailableError for whatever PostgreSQL refuses, and ConfigError
    where only a person can help.
    """

    def __init__(self, url: str) -> None:
        """Raises ReadModelUnavailableError, and ConfigError for a server that is too old."""
        remember_url(url)
        with as_ours():
            self.connection = psycopg.connect(
                url, autocommit=True, connect_timeout=CONNECT_S, application_name="psastream"
            )
        if self.connection.info.server_version < VERSION_MIN:
            version = self.connection.info.parameter_status("server_version")
            self.close()
            raise ConfigError(
                f"the read model needs PostgreSQL 16 or later, this is {version}",
                hint="name another with PSASTREAM_READ_MODEL_URL",
            )

    def close(self) -> None:
        """End the connection, and with it what it has locked."""
        self.connection.close()

    def migrate(self) -> list[str]:
        """Bring schemas, tables of our own and roles up to date; return what was applied."""
        with as_ours(), self.connection.transaction():
            self._wait_alone("migration")
            for schema in (META, SCHEMA):
                if not self._has_schema(schema):
                    self.connection.execute(f"CREATE SCHEMA {schema}")
            self._make_roles()
            return list(self._apply())

    def lacks(self) -> list[str]:
        """Return the migrations that were not applied yet; changes nothing.

        Raises ConfigError where the database is of another version than this one can go on with.
        """
        with as_ours():
            done = self._applied()
        _require_known(done)
        return [name for name, _ in migrations() if name not in done]

    def take(self, generation: Generation | None) -> bool:
        """Become the writer of a generation, or of the next one; False where another is.

        It lasts as long as the connection.
        """
        part = "next" if generation is None else str(generation.number)
        with as_ours():
            [taken] = self.connection.execute(
                "SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))", (_LOCK, part)
            ).fetchone() or (False,)
        return bool(taken)

    def give(self, generation: Generation | None) -> None:
        """Be its writer no longer."""
        part = "next" if generation is None else str(generation.number)
        with as_ours():
            self.connection.execute(
                "SELECT pg_advisory_unlock(hashtext(%s), hashtext(%s))", (_LOCK, part)
            )

    def live(self) -> Generation | None:
        """Return the generation that views stand on."""
        with as_ours():
            row = self.connection.execute(
                f"SELECT id, layout, seen_at FROM {META}.generation WHERE state = 'live'"
            ).fetchone()
        return Generation(*row) if row else None

    def begin(self, tables: Sequence[LandingTable], layout: str) -> Generation:
        """Make an empty generation; those that were begun before and not finished are dropped."""
        self._drop("building")
        with as_ours(), self.connection.transaction():
            row = self.connection.execute(
                f"INSERT INTO {META}.generation (layout, state) VALUES (%s, 'building')"
                " RETURNING id, layout, seen_at",
                (layout,),
            ).fetchone()
            assert row is not None
            generation = Generation(*row)
            for statement in definitions(generation.schema, tables, PAY_ROLE):
                self.connection.execute(statement)
        return generation

    def go_live(self, generation: Generation, tables: Sequence[LandingTable]) -> None:
        """Move the views to a generation, in one transaction, and drop the former one."""
        with as_ours(), self.connection.transaction():
            self.connection.execute(
                f"UPDATE {META}.generation SET state = 'retired' WHERE state = 'live'"
            )
            self.connection.execute(
                f"UPDATE {META}.generation SET state = 'live', live_at = clock_timestamp(),"
                " seen_at = clock_timestamp() WHERE id = %s",
                (generation.number,),
            )
            self._publish(generation, tables)
        self.drop_retired()

    def drop_retired(self) -> None:
        """Drop what was replaced, unless queries are still on it: then the next time."""
        with suppress(ReadModelUnavailableError):
            self._drop("retired")

    def publish(self, generation: Generation, tables: Sequence[LandingTable]) -> bool:
        """Make the views of the live generation as they are now; False where they are so.

        Those of a generation that has not all of the tables stay: another is filled for them.
        """
        wanted = (generation.number, star_fingerprint(tables))
        with as_ours():
            row = self.connection.execute(
                f"SELECT generation, star FROM {META}.published"
            ).fetchone()
            if row == wanted or not self._has(generation, tables):
                return False
            with self.connection.transaction():
                self._publish(generation, tables)
        return True

    def places(self, generation: Generation) -> dict[Place, int]:
        """Return up to where a generation holds its topics."""
        with as_ours():
            rows = self.connection.execute(
                f"SELECT topic, partition, next_offset FROM {META}.place WHERE generation = %s",
                (generation.number,),
            ).fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def unreadable(self, generation: Generation) -> list[tuple[str, str, str]]:
        """Return topic, key and reason of the records that are no rows."""
        with as_ours():
            return self.connection.execute(
                f"SELECT topic, record_key, reason FROM {META}.unreadable WHERE generation = %s"
                " ORDER BY topic, record_key",
                (generation.number,),
            ).fetchall()

    def differences(self, generation: Generation) -> list[Row]:
        """Return the projects whose numbers differ, as `DIFFERENCES` says."""
        with as_ours():
            return self.connection.execute(DIFFERENCES.format(schema=generation.schema)).fetchall()

    def counts(self, generation: Generation, tables: Sequence[LandingTable]) -> Mapping[str, int]:
        """Return how many rows the tables hold, by topic."""
        found = {}
        with as_ours():
            for table in tables:
                [count] = self.connection.execute(
                    f'SELECT count(*) FROM {generation.schema}."{table.name}"'
                ).fetchone() or (0,)
                found[table.topic.name] = count
        return found

    def _publish(self, generation: Generation, tables: Sequence[LandingTable]) -> None:
        connection = self.connection
        connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        statements = list(publication(generation.schema, tables))
        withdrawn = self._withdrawn(published_names(tables))
        try:
            with connection.transaction():
                for statement in statements:
                    connection.execute(statement)
        except errors.InvalidTableDefinition:
            # Other columns than before: views are made anew, unless something was built on them.
            # With them those that only a later release has, which may stand on ours.
            names = ", ".join(f'{SCHEMA}."{name}"' for name in self._views())
            connection.execute(f"DROP VIEW {names}")
            for statement in statements:
                connection.execute(statement)
        for name in withdrawn:
            connection.execute(f'REVOKE SELECT ON {SCHEMA}."{name}" FROM {BI_ROLE}')
        connection.execute(
            f"INSERT INTO {META}.published (generation, star) VALUES (%s, %s)"
            " ON CONFLICT (is_only) DO UPDATE SET generation = excluded.generation,"
            " star = excluded.star",
            (generation.number, star_fingerprint(tables)),
        )

    def _has(self, generation: Generation, tables: Sequence[LandingTable]) -> bool:
        there = set(
            self.connection.execute(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = %s",
                (generation.schema,),
            ).fetchall()
        )
        return all((table.name, column) in there for table in tables for column in table.columns)

    def _views(self) -> list[str]:
        """Return the views of ours that there are in the schema of the star, of any release."""
        rows = self.connection.execute(
            "SELECT viewname FROM pg_views WHERE schemaname = %s AND viewowner = current_user",
            (SCHEMA,),
        ).fetchall()
        return [name for (name,) in rows]

    def _withdrawn(self, names: Sequence[str]) -> list[str]:
        """Return the views that are there and that the BI role may not read."""
        rows = self.connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s)"
            " AND relname = ANY(%s) AND NOT has_table_privilege(%s, oid, 'SELECT')",
            (SCHEMA, list(names), BI_ROLE),
        ).fetchall()
        return [name for (name,) in rows]

    def _drop(self, state: str) -> None:
        with as_ours():
            rows = self.connection.execute(
                f"SELECT id, layout, seen_at FROM {META}.generation WHERE state = %s", (state,)
            ).fetchall()
            for generation in (Generation(*row) for row in rows):
                with self.connection.transaction():
                    self.connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
                    self.connection.execute(f"DROP SCHEMA IF EXISTS {generation.schema} CASCADE")
                    self.connection.execute(
                        f"DELETE FROM {META}.generation WHERE id = %s", (generation.number,)
                    )

    def _wait_alone(self, what: str) -> None:
        self.connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", (_LOCK, what)
        )

    def _has_schema(self, name: str) -> bool:
        query = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
        return self.connection.execute(query, (name,)).fetchone() is not None

    def _make_roles(self) -> None:
        for role in (BI_ROLE, PAY_ROLE):
            query = "SELECT 1 FROM pg_roles WHERE rolname = %s"
            if self.connection.execute(query, (role,)).fetchone() is not None:
                continue
            try:
                with self.connection.transaction():
                    self.connection.execute(f"CREATE ROLE {role}")
                    self.connection.execute(f"GRANT {role} TO CURRENT_USER")
            except errors.InsufficientPrivilege as error:
                raise ConfigError(
                    f"the user of the read model may make no roles: {role} is missing",
                    hint=ROLES_BY_HAND,
                ) from error

    def _applied(self) -> dict[str, str]:
        found = self.connection.execute("SELECT to_regclass(%s)", (f"{META}.migration",)).fetchone()
        if found is None or found[0] is None:
            return {}
        rows = self.connection.execute(f"SELECT name, sha256 FROM {META}.migration").fetchall()
        return dict(rows)

    def _apply(self) -> Iterator[str]:
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS {META}.migration (name text PRIMARY KEY, sha256 text NOT"
            " NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        done = self._applied()
        _require_known(done)
        for name, text in migrations():
            if name in done:
                continue
            self.connection.execute(text)
            self.connection.execute(
                f"INSERT INTO {META}.migration (name, sha256) VALUES (%s, %s)",
                (name, _digest(text)),
            )
            yield name


def migrations() -> list[tuple[str, str]]:
    """Return the migrations in their order: name and SQL."""
    folder = files("psastream.read_model") / "migrations"
    found = sorted((file.name, file.read_text()) for file in folder.iterdir())
    return [(name.removesuffix(".sql"), text) for name, text in found if name.endswith(".sql")]


def _require_known(done: Mapping[str, str]) -> None:
    """Raise ConfigError unless what was applied is what this version would apply."""
    known = {name: _digest(text) for name, text in migrations()}
    if newer := sorted(done.keys() - known.keys()):
        raise ConfigError(
            f"the read model is of a later version: it has {newer[-1]}",
            hint="run the version of psastream that migrated it, or a later one",
        )
    if others := [name for name, digest in done.items() if digest != known[name]]:
        raise ConfigError(
            f"the migration {min(others)} is not the one that was applied",
            hint="a migration is never changed: add another",
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def as_ours() -> Iterator[None]:
    """Raise what PostgreSQL refuses as an error of ours, with what to do."""
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise ReadModelUnavailableError(
            f"the user of the read model lacks a right: {_said(error)}",
            hint="GRANT CREATE ON DATABASE to it, and let it own the schemas read_model and psa",
        ) from error
    except errors.DependentObjectsStillExist as error:
        raise ReadModelUnavailableError(
            f"the views get other columns, and something was built on them: {_said(error)}",
            hint="drop what is named, run psastream readmodel migrate, and make it again",
        ) from error
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName) as error:
        raise ReadModelUnavailableError(
            f"a part of the read model is gone: {_said(error)}",
            hint="psastream readmodel rebuild makes it anew from the topics",
        ) from error
    except errors.LockNotAvailable as error:
        raise ReadModelUnavailableError(
            "queries hold the views of the read model", hint="wait for them, or end them"
        ) from error
    except psycopg.OperationalError as error:
        raise ReadModelUnavailableError(
            f"the read model does not answer: {_said(error)}",
            hint="check that its PostgreSQL runs, and PSASTREAM_READ_MODEL_URL",
        ) from error
    except psycopg.Error as error:
        raise ReadModelUnavailableError(
            f"the read model refuses: {_said(error)}",
            hint="see the log of its PostgreSQL; psastream readmodel rebuild makes it anew",
        ) from error


def _said(error: psycopg.Error) -> str:
    """Return what PostgreSQL says, in one line."""
    said = error.diag.message_primary or str(error)
    detail = error.diag.message_detail or ""
    return " ".join(f"{said}; {detail}".rstrip("; ").split())[:300]
