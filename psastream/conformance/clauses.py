"""The clauses: what a system must hold to, each with a name, a sentence and its check.

A check drives a bench and raises BrokenClauseError for what it sees. It brings one hostility only,
so that what breaks it is told by its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from psastream.conformance.bench import Bench
from psastream.conformance.databases import DatabaseBench
from psastream.conformance.targets import SinkBench

Check = Callable[[Bench], Awaitable[None]]
SinkCheck = Callable[[SinkBench], Awaitable[None]]
DatabaseCheck = Callable[[DatabaseBench], None]
Applies = Callable[[Bench], str]


def always(_: Bench) -> str:
    """A clause that holds for every object."""
    return ""


@dataclass(frozen=True)
class Clause:
    """`says` is the promise. `spared` tells why an object need not hold to it, "" where it must.

    `per_object`: each object is judged, since it is about rows; else one of those that are read in
    the same way stands for the others.
    """

    name: str
    says: str
    check: Check
    spared: Applies = always
    per_object: bool = False


CLAUSES: Final[dict[str, Clause]] = {}
FIRST: Final = ("one id", "whole list")
"""Clauses without which no other can be judged: rows could not be told apart, or are not there."""


def clause(
    name: str, says: str, spared: Applies = always, *, per_object: bool = False
) -> Callable[[Check], Check]:
    """Put a check on the list."""

    def listed(check: Check) -> Check:
        assert name not in CLAUSES, name
        CLAUSES[name] = Clause(name, says, check, spared, per_object)
        return check

    return listed


OF_TAPS_TOO: Final = (
    "whole list", "one id", "ties", "silent changes", "changes", "told once", "doubled rows",
    "deletes", "restored rows", "emptied list", "new columns", "missing columns", "nulls",
    "odd rows", "exact values", "samples", "secrets",
)  # fmt: skip
"""Clauses about rows, whoever tells them: a Singer tap is held to them, too."""
TAP_CLAUSES: Final[dict[str, Clause]] = {}


def tap_clause(name: str, says: str) -> Callable[[Check], Check]:
    """Put a check of the runs of a tap on the list."""

    def listed(check: Check) -> Check:
        assert name not in TAP_CLAUSES, name
        TAP_CLAUSES[name] = Clause(name, says, check)
        return check

    return listed


@dataclass(frozen=True)
class SinkClause:
    """A clause about a kind of command."""

    name: str
    says: str
    check: SinkCheck


SINK_CLAUSES: Final[dict[str, SinkClause]] = {}


def sink_clause(name: str, says: str) -> Callable[[SinkCheck], SinkCheck]:
    """Put a check of sinks on the list."""

    def listed(check: SinkCheck) -> SinkCheck:
        assert name not in SINK_CLAUSES, name
        SINK_CLAUSES[name] = SinkClause(name, says, check)
        return check

    return listed


@dataclass(frozen=True)
class DatabaseClause:
    """A clause about a table."""

    name: str
    says: str
    check: DatabaseCheck


DATABASE_CLAUSES: Final[dict[str, DatabaseClause]] = {}
FIRST_OF_TABLES: Final = ("captured", "rows that are there")
"""Clauses without which no other can be judged of a table."""


def database_clause(name: str, says: str) -> Callable[[DatabaseCheck], DatabaseCheck]:
    """Put a check of databases on the list."""

    def listed(check: DatabaseCheck) -> DatabaseCheck:
        assert name not in DATABASE_CLAUSES, name
        DATABASE_CLAUSES[name] = DatabaseClause(name, says, check)
        return check

    return listed
