"""From a tap's rows to pages of the polled engine. Does no IO."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from connectors.polled.answers import read_instant
from connectors.polled.conversion import Layout, RowReader, nameless, read_key
from connectors.polled.model import Page, Row, UnreadableRow
from connectors.rest.rows import flat
from connectors.singer.declaration import StreamConfig
from connectors.singer.messages import BrokenRecord
from schemas.codec.record import AvroSchema

_ANY: Final = re.compile(r"[^?\s]\S*")
PAGE_S: Final = 30.0
"""A page is handed on after this time, full or not: each is a sign of life."""


def layout_of(of: StreamConfig, key: str, deleted_field: str | None) -> Layout:
    """Which columns of a row carry its id and its deletion, and which it may have besides."""
    taken = {path.split(".")[0] for path in of.columns.values()}
    return Layout(
        key,
        deleted_field=deleted_field,
        null_is_absent=of.null_is_absent,
        ignored=frozenset({*of.unused, *taken, *(of.key_properties or ())}),
        optional=frozenset(of.optional),
    )


def properties_of(of: StreamConfig, contract: AvroSchema, key: str) -> frozenset[str]:
    """Which properties of the stream the columns of a contract are made of."""
    fields: Any = contract.parsed["fields"]
    names = {field["name"] for field in fields} - ({key} if of.key_properties else set())
    taken = {of.columns.get(name, name).split(".")[0] for name in names}
    more = {of.replication_key} if of.replication_key else set()
    return frozenset({*taken, *(of.key_properties or ()), *more})


def shaped(row: Any, of: StreamConfig, key: str) -> Any:
    """Return a row of the tap with the columns of its contract as fields."""
    row = flat(row, of.columns)
    if of.key_properties is None or not isinstance(row, dict):
        return row
    try:
        return row | {key: joined([row.get(name) for name in of.key_properties])}
    except ValueError:
        return {name: value for name, value in row.items() if name != key}


def joined(values: list[object]) -> str:
    """Return one key made of several. Raises ValueError where one of them is none.

    Each keeps its place: `:` and `%` within one are written as in addresses.
    """
    parts = [read_key(value, _ANY).replace("%", "%25").replace(":", "%3A") for value in values]
    return ":".join(parts)


class Pages:
    """Gathers rows into pages. A token takes effect with the page that it comes in or before."""

    def __init__(
        self,
        reader: RowReader,
        of: StreamConfig,
        key: str,
        *,
        size: int,
        clock: Callable[[], float],
    ) -> None:
        """`clock` counts seconds."""
        self._reader = reader
        self._of = of
        self._key = key
        self._size = size
        self._clock = clock
        self._began_at = clock()
        self._rows: list[Any] = []
        self._broken: list[UnreadableRow] = []
        self.token: str | None = None

    def add(self, row: object) -> None:
        """Add a row as the tap told it."""
        self._rows.append(shaped(row, self._of, self._key))

    def refuse(self, broken: BrokenRecord) -> None:
        """Add a row that cannot be read."""
        self._broken.append(nameless(broken.head, broken.detail))

    @property
    def is_due(self) -> bool:
        """Whether a page is full, or has been open for long."""
        count = len(self._rows) + len(self._broken)
        return count >= self._size or self._clock() - self._began_at >= PAGE_S

    def take(self) -> Page:
        """Return what came since the last page. Raises SchemaMismatchError."""
        page = self._reader.page(self._rows, None, refused=self._broken)
        rows = [self._stamped(row) for row in page.rows]
        self._rows, self._broken, self._began_at = [], [], self._clock()
        return replace(page, rows=rows, token=self.token)

    def _stamped(self, row: Row) -> Row:
        stamp = row.values.get(self._of.replication_key or "")
        return row._replace(modified_at=instant_or_none(stamp))


def instant_or_none(value: object) -> datetime | None:
    """Return the time that a replication key tells: it may be a number or a name as well."""
    try:
        return read_instant(value)
    except ValueError:
        return None
