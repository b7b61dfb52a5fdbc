"""One stream of a tap, for the polled engine, which does all the rest.

Each read is a run of the tap of its own, with a catalog that selects this stream alone. All rows
are read without a state and as FULL_TABLE; polls run as declared and go on from the last STATE that
was published with the rows before it. So what a tap loses between its states (rows committed late,
deletes) the sweep finds, and no run needs the memory of another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Final, Protocol

import structlog

from connectors.polled.conversion import NEW_FIELDS_MAX, RowReader
from connectors.polled.model import DeletePage, Page, ReaderTraits, no_deletions
from connectors.singer.catalog import new_properties, select
from connectors.singer.declaration import Replication, SingerConfig, StreamConfig
from connectors.singer.fit import misfits
from connectors.singer.lines import Line
from connectors.singer.messages import (
    BrokenRecord,
    Ignored,
    Message,
    Record,
    Schema,
    State,
    TapOutputError,
    exact_json,
    read_message,
)
from connectors.singer.process import TapFailedError
from connectors.singer.rows import PAGE_S, Pages, layout_of, properties_of
from connectors.toolkit.body import THREAD_FROM_BYTES
from schemas.codec.record import AvroSchema
from schemas.errors import SchemaMismatchError

_log = structlog.get_logger()

CATALOG_S: Final = 3_600.0
"""A catalog is looked at again after this time, and after a failure: columns come and go."""
TOLD_MAX: Final = 20
_KNOWN: Final = frozenset({"ACTIVATE_VERSION"})
"""Types of messages that are ignored in silence: which rows are gone, complete runs tell."""


class Runs(Protocol):
    """What a reader asks of a tap."""

    def run(self, files: Mapping[str, str]) -> AsyncGenerator[Line, None]:
        """Yield the lines of a run. Raises TapFailedError unless it ends well."""
        ...

    async def discover(self) -> object:
        """Return the catalog. Raises TapFailedError and TapOutputError."""
        ...


class SingerReader:
    """One declared stream. Upholds `ContinuedReader`."""

    def __init__(
        self,
        tap: Runs,
        declared: SingerConfig,
        obj: str,
        contract: AvroSchema,
        *,
        key: str,
        deleted_field: str | None = None,
        page_size: int = 200,
        system: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`key` is the key column of the object, `deleted_field` a truth value that it may have.

        `clock` counts seconds.
        """
        self._tap = tap
        self._declared = declared
        self._of: StreamConfig = declared.objects[obj]
        self._contract = contract
        self._key = key
        self._rows = RowReader(contract, layout_of(self._of, key, deleted_field))
        self._page_size = page_size
        self._labels = {"system": system, "object": obj}
        self._others = {other.stream for other in declared.objects.values()}
        self._clock = clock
        self._catalog: object = None
        self._catalog_until = 0.0
        self._told: set[str] = set()
        self._new: set[str] = set()
        self.traits: Final = ReaderTraits(
            has_cursor=self._of.replication_method is Replication.INCREMENTAL,
            shows_all=self._of.shows_deletes,
        )

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's key column alone."""
        return self._rows.key(row_id)

    async def changes(self, since: object = None) -> AsyncGenerator[Page, None]:
        """Yield all rows of the stream. Raises TapFailedError and SchemaMismatchError."""
        began_at = self._clock()
        files = await self._files(Replication.FULL_TABLE, None)
        if self._clock() - began_at >= PAGE_S:
            yield Page(())  # a sign of life
        async with aclosing(self._pages(files, is_whole=True)) as pages:
            async for page in pages:
                yield page

    async def continued(self, token: str | None) -> AsyncGenerator[Page, None]:
        """Yield what the tap writes for a STATE of its own. Raises as `changes`."""
        began_at = self._clock()
        files = await self._files(Replication.INCREMENTAL, token)
        if self._clock() - began_at >= PAGE_S:
            yield Page(())
        async with aclosing(self._pages(files, is_whole=False)) as pages:
            async for page in pages:
                yield page

    def deletions(self, since: object) -> AsyncIterator[DeletePage]:
        """Yield nothing: deletes show as rows missing from a complete scan."""
        return no_deletions()

    async def _files(self, method: Replication, token: str | None) -> dict[str, str]:
        files = {} if token is None else {"state": token}
        option = self._declared.catalog
        if option == "none":
            return files
        wanted = properties_of(self._of, self._contract, self._key)
        if self._catalog is None or self._clock() >= self._catalog_until:
            self._catalog = await self._tap.discover()
            self._catalog_until = self._clock() + CATALOG_S
        catalog = select(self._catalog, self._of, method, wanted)
        return {**files, option: exact_json(catalog)}

    async def _pages(
        self, files: Mapping[str, str], *, is_whole: bool
    ) -> AsyncGenerator[Page, None]:
        pages = Pages(self._rows, self._of, self._key, size=self._page_size, clock=self._clock)
        has_schema = False
        failed: TapFailedError | SchemaMismatchError | None = None
        async with aclosing(self._tap.run(files)) as lines:
            try:
                async for line in lines:
                    match await _read(line):
                        case Record(stream, row) if stream == self._of.stream:
                            pages.add(row)
                        case BrokenRecord(stream) as broken if stream == self._of.stream:
                            pages.refuse(broken)
                        case Schema(stream) as schema if stream == self._of.stream:
                            self._check(schema)
                            has_schema = True
                        case State(token) if not is_whole:
                            pages.token = token
                        case other:
                            self._pass_over(other)
                    if pages.is_due:
                        yield self._with_new(pages.take())
            except (TapFailedError, SchemaMismatchError) as error:
                failed = error
        yield self._with_new(pages.take())
        if failed is not None:
            self._catalog = None  # perhaps it is of yesterday
            raise failed
        if is_whole and not has_schema:
            raise TapOutputError(
                f"the tap ended without a SCHEMA of {self._of.stream}",
                hint="stream of singer.yaml is its name in messages, tap_stream_id in the catalog",
            )

    def _check(self, schema: Schema) -> None:
        problems = [*misfits(self._contract, self._of, self._key, schema.schema)]
        column = self._of.columns.get(self._key, self._key)
        keys = frozenset(self._of.key_properties or [column])
        if schema.key_properties and schema.key_properties != keys:
            told = ", ".join(sorted(schema.key_properties))
            problems.append(f"its rows are told apart by {told}, not {', '.join(sorted(keys))}")
        if problems:
            raise SchemaMismatchError(
                f"stream {self._of.stream} does not fit: {'; '.join(problems[:TOLD_MAX])}",
                hint="correct singer.yaml or the contract, or see what changed in the tap",
            )

    def _pass_over(self, message: Message) -> None:
        """Tell once what comes unasked: another stream, a type of message that means nothing."""
        match message:
            case Ignored(kind) if kind not in _KNOWN:
                what = f"messages of type {kind}"
            case Record(stream) | BrokenRecord(stream) | Schema(stream):
                what = f"stream {stream[:100]!a}"
                if stream in self._others:
                    return
            case _:
                return
        if what not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(what)
            _log.warning(
                "singer.tap_output_ignored",
                what=what,
                hint="nothing in singer.yaml takes it",
                **self._labels,
            )

    def _with_new(self, page: Page) -> Page:
        """Name once the properties that nobody takes, whether the tap leaves them out or not."""
        found = {*page.new_fields}
        if self._catalog is not None:
            wanted = properties_of(self._of, self._contract, self._key)
            found |= {*new_properties(self._catalog, self._of, wanted)}
        fresh = sorted(found - self._new)[:NEW_FIELDS_MAX]
        self._new.update(fresh)
        return replace(page, new_fields=tuple(fresh))


async def _read(line: Line) -> Message:
    """Read a message, beside the event loop where it is long."""
    if len(line.data) < THREAD_FROM_BYTES:
        return read_message(line)
    return await asyncio.to_thread(read_message, line)
