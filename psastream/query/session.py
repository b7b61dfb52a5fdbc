"""A DuckDB in the process: tables of topics, filled when a query needs them, and views of them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from psastream.query.syntax import Name, Named, name_of, quoted, read_tree
from psastream.query.views import View
from runtime.extras import install_hint
from schemas.codec.columnar import frame_dtypes
from schemas.contracts import record_of
from schemas.errors import ConfigError
from schemas.mapping.sql_text import suggestion
from schemas.sealing import FIELD
from schemas.topics import (
    BY_NAME,
    COMMAND_PREFIX,
    INTERNAL_PREFIX,
    SOURCE_PREFIX,
    Topic,
    command_topic,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CATALOG: Final = "psa"
METRIC: Final = f"{CATALOG}.metric."
ALL_COMMANDS: Final = "all_commands"
"""View of the command topics of every system: a firm's systems decide which there are."""
WITHOUT_DUCKDB: Final = "SQL over topics needs DuckDB, which is not installed"
BATCH_ROWS: Final = 10_000
DETAIL_MAX: Final = 300
_INCOMING: Final = "incoming"
_NO_COMMANDS: Final = "no_commands"
_HINT: Final = "psastream sql lists the views, psastream sql 'DESCRIBE view' the columns of one"
_COLUMN: Final = re.compile(
    r'[Cc]olumn "(?P<a>[^"]+)" (?:not found|does not exist)|not have a column named "(?P<b>[^"]+)"'
)
_HINTS: Final = (
    (
        ("type cast", "cannot mix values", "explicit cast", "Could not convert", "argument types"),
        "DESCRIBE view says the types; months and weeks are texts, '2026-09' and '2026-W37', days"
        " are DATE '2026-09-07'; CAST(x AS type) makes one of another",
    ),
    (("Function with name",), "functions are DuckDB's: sum, avg, count, round, strftime, ..."),
    (("GROUP BY",), "GROUP BY ALL groups by every column that is not added up"),
    (
        ("unterminated",),
        "a text ends with a single quote; one within it is written twice: 'O''Brien'",
    ),
    (("file system",), "questions are answered from views and topics: psastream sql lists them"),
    (("syntax error",), "SELECT columns FROM view WHERE condition ORDER BY column LIMIT 10"),
)
"""What helps, by words of DuckDB's."""
_SHOWS: Final = re.compile(r"\s*show\s+(all\s+)?(tables|views)\s*;?\s*", re.IGNORECASE)
_SHOW_TABLES: Final = "SHOW TABLES"
_INDIRECT: Final = frozenset({"query", "query_table"})
"""Functions that name tables in texts: what they need would not be seen."""
_LOCKED: Final = (
    "SET TimeZone = 'UTC'",
    "SET temp_directory = ''",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)

Columns = Mapping[str, pl.DataType]
"""Columns of a table, with their types."""
Load = Callable[[Sequence[str]], Iterable[tuple[str, pl.DataFrame]]]
"""Gives the rows of topics, of those alone that have others than when it was asked last."""


class _Arrow:
    """Hands a frame over by Arrow's C interface: DuckDB asks for pyarrow to read polars' own."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(schema)


@dataclass(frozen=True)
class Answer:
    """Columns with DuckDB's types, and rows that are fetched as they are asked for."""

    columns: tuple[tuple[str, str], ...]
    rows: Iterator[tuple[Any, ...]]
    names_no_columns: bool = False
    """Whether the query asks for all columns that there are."""
    first: Sequence[str] = ()
    """What people look for in the one view that is asked."""


def public_topics(topics: Iterable[Topic]) -> list[Topic]:
    """Return the topics that are tables: ours, by key, that others may read."""
    return [topic for topic in topics if topic.is_public and record_of(topic) is not None]


class Session:
    """Answers queries. It reads topics through `load` alone; queries reach no disk or network.

    Every public topic is a table under its own name, whether or not it holds anything.
    """

    def __init__(
        self,
        topics: Iterable[Topic],
        views: Sequence[View],
        load: Load,
        *,
        files: Mapping[str, Columns] = MappingProxyType({}),
        is_locked: bool = True,
    ) -> None:
        """`files` are tables that are no topics, by name; `load` gives their rows, too.

        `is_locked`: nothing but rows goes in and nothing but answers comes out.
        Raises ConfigError where DuckDB is not installed.
        """
        self.topics = {topic.name: topic for topic in public_topics(topics)}
        self.views = {view.name: view for view in views}
        self._load = load
        self._db = _connect()
        columns = {name: dtypes_of(topic) for name, topic in self.topics.items()} | dict(files)
        self.tables = tuple(columns)
        for name, dtypes in columns.items():
            self.put(name, pl.DataFrame(schema=dtypes))
        self._texts = self._view_texts()
        for name in TopologicalSorter(self._view_graph()).static_order():
            self._db.execute(f"CREATE VIEW {quoted(name)} AS {self._texts[name]}")
        for statement in _LOCKED if is_locked else _LOCKED[:2]:
            self._db.execute(statement)

    @property
    def relations(self) -> list[str]:
        """The names of all views and tables."""
        return [*self._texts, *self.tables]

    def ask(self, query: str) -> Answer:
        """Load what a query needs, and run it.

        Raises ConfigError where it is no query, names what there is not, or fails, and what `load`
        raises.
        """
        import duckdb

        query = _SHOW_TABLES if _SHOWS.fullmatch(query) else query
        named = self._read(query)
        if query is _SHOW_TABLES:
            rows = iter([(each, "topic" if "." in each else "view") for each in self.relations])
            return Answer((("name", "VARCHAR"), ("kind", "VARCHAR")), rows)
        try:
            self._db.execute(f"PREPARE asked AS {query}")
            self._db.execute("DEALLOCATE asked")
            self.load(self._needed(named))
            self._db.execute(query)
        except duckdb.Error as error:
            raise self._refusal(error, query, named) from error
        columns = [(str(each[0]), str(each[1])) for each in self._db.description or ()]
        first = self._first(named) if named.no_columns else ()
        return Answer(_unlike(columns), self._rows(query, named), named.no_columns, first)

    def _first(self, named: Named) -> Sequence[str]:
        names = [name for (name, *others) in named.relations if not others]
        return self.views[names[0]].first if len(names) == 1 and names[0] in self.views else ()

    def load(self, topics: Sequence[str]) -> None:
        """Fill the tables of topics with what stands there now."""
        for name, frame in self._load(topics):
            self.put(name, frame)

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """Make a table of a frame, in place of what it held."""
        for schema in name.split(".")[1:-1]:
            self._db.execute(f"CREATE SCHEMA IF NOT EXISTS {CATALOG}.{quoted(schema)}")
        self._db.register(_INCOMING, _Arrow(frame))
        try:
            self._db.execute(f"CREATE OR REPLACE TABLE {quoted(name)} AS FROM {_INCOMING}")
        finally:
            self._db.unregister(_INCOMING)

    def columns_of(self, relation: str) -> list[tuple[str, str]]:
        """Return name and type of each column of a view or table."""
        found = self._db.execute(f"DESCRIBE {quoted(relation)}").fetchall()
        return [(str(name), str(kind)) for name, kind, *_ in found]

    def copy(self, relation: str, path: Path, options: str) -> int:
        """Write the rows of a view or table to a file, by DuckDB's COPY; return how many.

        Raises duckdb.Error where it cannot be written.
        """
        to = str(path).replace("'", "''")
        copied = self._db.execute(f"COPY (FROM {quoted(relation)}) TO '{to}' ({options})")
        [(rows,)] = copied.fetchall()
        return int(rows)

    def _read(self, query: str) -> Named:
        """Return what a query names. Raises ConfigError where it is none, or more than one."""
        import duckdb

        try:
            statements = self._db.extract_statements(query)
        except duckdb.Error as error:
            raise _as_error(error, query) from error
        if not statements:
            raise ConfigError("there is no query", hint="psastream sql lists what can be asked")
        if len(statements) != 1:
            raise ConfigError(
                f"one query at a time: {len(statements)} are given",
                hint="psastream sql --shell takes one after the other",
            )
        if statements[0].type is not duckdb.StatementType.SELECT:
            raise ConfigError(
                "topics are only read: this is no query",
                hint="SELECT, WITH, FROM, DESCRIBE, SHOW, or FROM (PIVOT ... ON ... IN ...)",
            )
        named = self._named(query)
        if indirect := sorted(named.functions & _INDIRECT):
            raise ConfigError(
                f"{indirect[0]} hides which tables are asked for",
                hint="name them in FROM",
            )
        return named

    def _named(self, query: str) -> Named:
        [found] = self._db.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
        return read_tree(found[0])

    def _needed(self, named: Named) -> list[str]:
        """Return the topics that a query reads, also through views."""
        needed = {self._tables[name] for name in named.relations if name in self._tables}
        for name in named.relations & self._behind.keys():
            needed |= self._behind[name]
        return sorted(needed)

    @cached_property
    def _tables(self) -> Mapping[Name, str]:
        return {name_of(tuple(name.split("."))): name for name in self.tables}

    @cached_property
    def _behind(self) -> Mapping[Name, set[str]]:
        """The topics behind each view."""
        behind: dict[Name, set[str]] = {}
        for name in TopologicalSorter(self._view_graph()).static_order():
            relations = self._named(self._texts[name]).relations
            ours = {self._tables[each] for each in relations if each in self._tables}
            behind[name,] = ours.union(*(behind[each] for each in relations & behind.keys()))
        return behind

    def _view_graph(self) -> dict[str, set[str]]:
        return {
            name: {
                relation[0]
                for relation in self._named(text).relations
                if len(relation) == 1 and relation[0] in self._texts
            }
            for name, text in self._texts.items()
        }

    def _view_texts(self) -> dict[str, str]:
        """Return the queries of the views, with those that follow from the firm's systems."""
        targets = [name for name in self.tables if name.startswith(COMMAND_PREFIX)]
        texts = {name: view.query for name, view in self.views.items()}
        texts[ALL_COMMANDS] = "\nUNION ALL BY NAME ".join(
            f"FROM {quoted(name)}" for name in targets
        )
        if not targets:
            self.put(_NO_COMMANDS, pl.DataFrame(schema=dtypes_of(command_topic(_NO_COMMANDS))))
            texts[ALL_COMMANDS] = f"FROM {_NO_COMMANDS}"
        for name in own_measures(self.tables):
            texts.setdefault(name.removeprefix(METRIC), f"FROM {quoted(name)}")
        return texts

    def _kinds(self) -> tuple[list[str], list[str]]:
        """Return the names of views, and those of topics."""
        views = [name for name in self.relations if "." not in name]
        return views, [name for name in self.tables if "." in name]

    def _rows(self, query: str, named: Named) -> Iterator[tuple[Any, ...]]:
        import duckdb

        try:
            while rows := self._db.fetchmany(BATCH_ROWS):
                yield from rows
        except duckdb.Error as error:
            raise self._refusal(error, query, named) from error

    def _refusal(self, error: Exception, query: str, named: Named) -> ConfigError:
        """Return what DuckDB says; of a table that there is not, which name is like its."""
        said = str(error).lower()
        if (column := _COLUMN.search(str(error))) is not None:
            return self._no_column(column["a"] or column["b"], query, named)
        if not said.startswith("catalog error: table with name"):
            return _as_error(error, query)
        known = {name_of(tuple(each.split("."))) for each in self.relations}
        for name in sorted(named.relations - known):
            if name[-1] not in said:
                continue
            text = ".".join(name)
            if name[0] == SOURCE_PREFIX:
                return ConfigError(
                    f"{text} holds changes: it is no table", hint=f"psastream topics read {text}"
                )
            if text.startswith(INTERNAL_PREFIX):
                return ConfigError(
                    f"{text} is internal: it is no table", hint=f"psastream topics read {text}"
                )
            return ConfigError(
                f"there is no view or table {text}{like(text, *self._kinds())}",
                hint=_HINT,
            )
        return _as_error(error, query)

    def _no_column(self, name: str, query: str, named: Named) -> ConfigError:
        """Return that there is no such column, and which of those that there are is like it."""
        known = {
            column
            for relation in self.relations
            if name_of(tuple(relation.split("."))) in named.relations
            for column, _ in self.columns_of(relation)
        }
        meant = suggestion(name, known)
        # An operand on the right is a text without its quotes at least as often as a column.
        if re.search(rf"(?:[=<>]|\b(?:like|in)\b)\s*\(?\s*{re.escape(name)}\b", query, re.I):
            hint = f"a text stands in single quotes: '{name}'"
        elif f'"{name}"' in query:
            hint = f"texts stand in single quotes, '{name}'; double quotes are for names"
        else:
            hint = _HINT
        return ConfigError(f"there is no column {name}{meant}", hint=hint)


def own_measures(tables: Iterable[str]) -> list[str]:
    """Return the topics of measures that are the firm's own."""
    return [name for name in tables if name.startswith(METRIC) and name not in BY_NAME]


def dtypes_of(topic: Topic) -> dict[str, pl.DataType]:
    """Return the columns of the rows of a topic with a contract.

    None is what is encrypted of a row: it is in its own columns for whoever has the keys.
    """
    record = record_of(topic)
    assert record is not None, topic.name
    return {name: dtype for name, dtype in frame_dtypes(record).items() if name != FIELD}


def has_duckdb() -> bool:
    """Whether DuckDB is installed, which it is not without an extra. Does not import it."""
    return importlib.util.find_spec("duckdb") is not None


def _connect() -> DuckDBPyConnection:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(
            WITHOUT_DUCKDB,
            hint=install_hint("sql"),
        ) from error
    # Names of the caller's variables must not be tables.
    db = duckdb.connect(":memory:", config={"python_enable_replacements": False})
    db.execute(f"ATTACH ':memory:' AS {CATALOG}")
    return db


def like(name: str, views: Collection[str], topics: Collection[str]) -> str:
    """`; did you mean …?` with the view that a name is most likely for, else the topic.

    A view has the words of the name among its own: `margins` is `margin_by_project_month`.
    """
    last = name.rpartition(".")[2]
    words = set(_words(last))
    having = [view for view in views if words and words <= set(_words(view))]
    for view in sorted(having, key=lambda view: len(_words(view))):
        return f"; did you mean {view}?"
    if said := suggestion(name, views) or suggestion(last, views):
        return said
    ends = {topic.rpartition(".")[2]: topic for topic in topics}
    singular = "_".join(_words(last))
    for each in (last, singular):
        if each in ends:
            return f"; did you mean {ends[each]}?"
    return suggestion(name, topics)


def _words(name: str) -> list[str]:
    """Return the words of a name, in the singular."""
    words = name.lower().split("_")
    return [
        f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")
        for word in words
        if word
    ]


def _hint(said: str, query: str) -> str:
    """Return what helps against an error, by what DuckDB says of it."""
    return next((hint for words, hint in _HINTS if any(each in said for each in words)), _HINT)


def _as_error(error: Exception, query: str) -> ConfigError:
    """Return DuckDB's words in a line, without the picture of where."""
    text = str(error).partition("\n\nLINE")[0].partition("Candidate functions:")[0]
    kind, _, said = text.partition(": ")
    lines = [line.strip() for line in (said or kind).splitlines() if line.strip()]
    text = " ".join(lines[:2])[:DETAIL_MAX]
    text = text.replace("! Candidate bindings:", "; did you mean")
    return ConfigError(text[:1].lower() + text[1:], hint=_hint(text, query))


def _unlike(columns: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Number columns of the same name, so that each has its own."""
    taken: dict[str, str] = {}
    for name, kind in columns:
        other, number = name, 0
        while other in taken:
            number += 1
            other = f"{name}_{number}"
        taken[other] = kind
    return tuple(taken.items())
