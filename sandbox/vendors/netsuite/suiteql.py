"""SuiteQL over the ERP's tables: SQLite with the vendor's functions, limits and answer shapes.

Only reading: an authorizer refuses every other statement. Every value comes back as text, a null
column is left out, and a date that was not put through TO_CHAR comes in the user's format. A
date-time is in the user's time zone wherever it is shown or compared, unless it goes through
SYS_EXTRACT_UTC.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sandbox.vendors.drift import Drift
from sandbox.vendors.netsuite.errors import NetSuiteError
from sandbox.vendors.netsuite.tables import HIDDEN, TABLES

ROWS_MAX: Final = 100_000
"""Rows one query can reach by paging."""

_QUOTED_OR_WORD: Final = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|[A-Za-z_]\w*|;")
_NOT_IN_SUITEQL: Final = frozenset({"LIMIT", "OFFSET", "PRAGMA", "GLOB", ";"})
SqlValue = str | bytes | int | float | None

USERS_ZONE: tzinfo = timezone(timedelta(hours=-8))
"""Of the integration user: accounts begin in Pacific time. In summer, too: one zone will do."""

_IN_USERS_ZONE: Final = re.compile(
    r"(?:\w+\.)?\b(?:lastmodifieddate|deleteddate)\b(?=\s*(?:,\s*(?:'|\w+\.\w+\Z)|[<>=]|\Z))",
    re.IGNORECASE,
)
"""A date-time column that is shown by a mask, compared or ordered by."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*\Z")
_MASK_PARTS: Final = {
    "YYYY": "%Y",
    "MM": "%m",
    "DD": "%d",
    "HH24": "%H",
    "MI": "%M",
    "SS": "%S",
    "T": "T",
}
_MASK: Final = re.compile(r"YYYY|HH24|MM|DD|MI|SS|[A-Za-z]+|[^A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an answer; `total` counts all rows of the query, `labels` name its columns."""

    items: list[dict[str, Any]]
    total: int
    labels: tuple[str, ...] = ()


class SuiteQl:
    """Runs queries on its own read-only connection."""

    def __init__(self, uri: str, drift: Drift) -> None:
        self._drift = drift
        sqlite3.register_converter("DATETEXT", _in_user_format)
        self._database = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            detect_types=sqlite3.PARSE_DECLTYPES,
        )
        self._database.create_function("TO_CHAR", -1, _to_char, deterministic=True)
        self._database.create_function("TO_TIMESTAMP", 2, _to_timestamp, deterministic=True)
        self._database.create_function("SYS_EXTRACT_UTC", 1, _instant, deterministic=True)
        self._database.create_function("IN_USERS_ZONE", 1, _in_users_zone, deterministic=True)
        self._database.create_function("TO_DATE", 2, _to_date, deterministic=True)
        self._database.create_function("ROUND", -1, _round, deterministic=True)
        self._database.create_function("NVL", 2, _first_set, deterministic=True)
        self._database.set_authorizer(self._authorize)

    def run(self, query: str, *, limit: int, offset: int) -> Page:
        """One page. Raises NetSuiteError (400) for a query the vendor would refuse."""
        statement = _translated(query)
        try:
            total = self._database.execute(f"SELECT COUNT(*) FROM ({statement})").fetchone()[0]  # noqa: S608
            cursor = self._database.execute(f"{statement} LIMIT {limit} OFFSET {offset}")
            names = _labels([column[0] for column in cursor.description])
            rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise _refused(str(error)) from error
        return Page([_item(names, row) for row in rows], total, tuple(names))

    def _authorize(
        self, action: int, table: str | None, column: str | None, schema: str | None, _: str | None
    ) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION):
            return sqlite3.SQLITE_OK
        if action != sqlite3.SQLITE_READ or table is None or table not in TABLES:
            return sqlite3.SQLITE_DENY
        is_removed = column is not None and self._drift.is_removed(table, column)
        if is_removed or (table, column) in HIDDEN:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK


def _translated(query: str) -> str:
    """The query for SQLite, where `transaction` is a keyword and date-times are kept in UTC."""

    def replace(match: re.Match[str]) -> str:
        token = match.group()
        if token.upper() in _NOT_IN_SUITEQL:
            raise _refused(f"Syntax error at '{token}'")
        return f'"{token.lower()}"' if token.lower() == "transaction" else token

    if not query.lstrip().upper().startswith("SELECT"):
        raise _refused("a query starts with SELECT")
    query = _IN_USERS_ZONE.sub(lambda match: f"IN_USERS_ZONE({match.group()})", query)
    return _QUOTED_OR_WORD.sub(replace, query)


def _refused(reason: str) -> NetSuiteError:
    return NetSuiteError(
        400,
        "INVALID_PARAMETER",
        "Invalid search query. Detailed unprocessed description follows."
        f" Search error occurred: {reason}.",
        locator="o:errorQueryParam",
        place="q",
    )


def _labels(names: Sequence[str]) -> list[str]:
    return [
        name.lower() if _IDENTIFIER.match(name) else f"expr{position}"
        for position, name in enumerate(names, start=1)
    ]


def _item(names: Sequence[str], row: Sequence[object]) -> dict[str, Any]:
    values = {name: str(value) for name, value in zip(names, row, strict=True) if value is not None}
    return {"links": [], **values}


def _in_user_format(value: bytes) -> str:
    day = datetime.fromisoformat(value.decode())
    return f"{day.month}/{day.day}/{day.year}"


def _directives(mask: str) -> str:
    parts = []
    for part in _MASK.findall(mask.strip('"')):
        letters = part.isalpha() or part == "HH24"
        if letters and part.upper() not in _MASK_PARTS:
            raise ValueError(f"mask {mask} is not supported")
        parts.append(_MASK_PARTS[part.upper()] if letters else part)
    return "".join(parts)


def _to_char(value: object, mask: str | None = None) -> str | None:
    if value is None or mask is None:
        return None if value is None else str(value)
    return datetime.fromisoformat(str(value)).strftime(_directives(mask))


def _instant(value: str | None) -> str | None:
    """A date-time as it is kept. A date is none: Oracle has ORA-30175 for it."""
    if value is None:
        return None
    if len(value) <= len("2026-01-31"):
        raise ValueError("ORA-30175")
    return datetime.fromisoformat(value).isoformat(sep=" ")


def _in_users_zone(value: str | None) -> str | None:
    if value is None:
        return None
    instant = datetime.fromisoformat(value).replace(tzinfo=UTC).astimezone(USERS_ZONE)
    return instant.replace(tzinfo=None).isoformat(sep=" ")


def _to_timestamp(text: str, mask: str) -> str:
    instant = datetime.strptime(text, _directives(mask))  # noqa: DTZ007 - SuiteQL has no zones
    return instant.isoformat(sep=" ")


def _to_date(text: str, mask: str) -> str:
    instant = datetime.strptime(text, _directives(mask))  # noqa: DTZ007 - SuiteQL has no zones
    return instant.date().isoformat()


def _round(value: object, digits: int = 0) -> str | None:
    if value is None:
        return None
    unit = Decimal(1).scaleb(-digits)
    return str(Decimal(str(value)).quantize(unit, rounding=ROUND_HALF_UP))


def _first_set(value: SqlValue, fallback: SqlValue) -> SqlValue:
    return fallback if value is None else value
