"""The PSA's users: rows written to its database, one transaction a change."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql


class PsaDatabase:
    """Inserts, updates and deletes rows of the schema `inhouse`."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row; its id is part of it."""
        columns = sql.SQL(", ").join(map(sql.Identifier, row))
        marks = sql.SQL(", ").join(sql.Placeholder() * len(row))
        statement = sql.SQL("INSERT INTO inhouse.{} ({}) VALUES ({})")
        self._connection.execute(
            statement.format(sql.Identifier(table), columns, marks), list(row.values())
        )

    def update(self, table: str, row_id: int, **changes: object) -> None:
        """Change columns of a row."""
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in changes
        )
        statement = sql.SQL("UPDATE inhouse.{} SET {} WHERE id = {}")
        self._connection.execute(
            statement.format(sql.Identifier(table), assignments, sql.Placeholder()),
            [*changes.values(), row_id],
        )

    def delete(self, table: str, row_id: int) -> None:
        """Remove a row."""
        statement = sql.SQL("DELETE FROM inhouse.{} WHERE id = {}")
        self._connection.execute(
            statement.format(sql.Identifier(table), sql.Placeholder()), [row_id]
        )
