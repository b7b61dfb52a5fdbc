"""Lookups of the normalizer: what a chunk's rows find, and the rows that find another when it does.

What rows show to others, their projections, goes to every partition through a topic. A row stays
on the partition of its source, which alone publishes it: with the versions it has given out in its
state, each is newer than the last, whether the row has changed or what it looks up.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import polars as pl

from schemas.codec.columnar import ChunkReader
from schemas.contracts import record_schema
from schemas.errors import RecordError
from schemas.keys import decode_key
from schemas.mapping.compiled import ObjectMapping, Rejection
from schemas.mapping.lookups import Lookup
from schemas.topics import BY_NAME, NORMALIZE
from streams.agents.dead_letters import Refusal, dead_letters
from streams.agents.records import rejection
from streams.agents.registry import SchemaSource
from streams.engine import Accounting, Chunk, ChunkHandler, Effects, State
from tables.lookups import WAITS, Change, Found, LookupTable, Reason, Shows, Wait

PROJECTIONS: Final = BY_NAME["psa.internal.projection"]
WAITING: Final = WAITS.encode()
"""Prefix of the keys of state that say which rows wait."""
_LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: later stamps are of clocks that are wrong."""


def stamp_of(chunk: Chunk) -> int:
    """The time of a chunk's last record, as a version: microseconds since 1970.

    A state that was computed anew is told no earlier time than that of its beginning. So its
    versions are newer than those it has forgotten.
    """
    return max((each * 1000 for each in chunk.timestamps_ms if 0 <= each <= _LAST_MS), default=0)


@dataclass(frozen=True, slots=True)
class Search:
    """What the rows of a chunk found, record by record: columns, where they began, waits."""

    columns: pl.DataFrame
    begins: list[dict[str, str]]
    waits: list[Wait | None]

    @classmethod
    def of(cls, lookups: Sequence[Lookup], envelopes: pl.DataFrame, table: LookupTable) -> Self:
        """Look up what stands in envelopes."""
        begins: list[dict[str, str]] = [{} for _ in range(envelopes.height)]
        waits: list[Wait | None] = [None] * envelopes.height
        frames = []
        for lookup in lookups:
            places = envelopes.select(lookup.begins).to_series().to_list()
            known = dict.fromkeys(place for place in places if place is not None)
            table.load(known)
            found = {place: table.find(lookup, place) for place in known}
            each = [found.get(place, _NOTHING) for place in places]
            frame, is_unreadable = lookup.found([one.shows for one in each])
            frames.append(frame)
            unreadable = is_unreadable.to_list()
            for row, place in enumerate(places):
                if place is not None:
                    begins[row][lookup.name] = place
                wait = each[row].wait
                if wait is None and unreadable[row]:
                    wait = Wait(lookup.name, Reason.UNREADABLE, str(place))
                waits[row] = waits[row] or wait
        return cls(pl.concat(frames, how="horizontal"), begins, waits)

    def with_unfit(self, unfit: pl.Series, rejections: Sequence[Rejection]) -> Self:
        """Have rows wait, too, where a rule is broken by what was found."""
        waits = [
            wait or (None if rule is None else Wait("", Reason.UNFIT, rejections[rule].detail))
            for wait, rule in zip(self.waits, unfit.to_list(), strict=True)
        ]
        return type(self)(self.columns, self.begins, waits)


_NOTHING: Final = Found({})


class Again(Protocol):
    """What publishes rows again, whose lookups may find another."""

    def again(
        self, partition: int, row_ids: Sequence[str], state: State, table: LookupTable, stamp: int
    ) -> Effects:
        """Return what follows for rows that wait or were published, as they last came."""
        ...


@dataclass(frozen=True, slots=True)
class Seeking:
    """An object that looks others up, and its normalizer."""

    mapping: ObjectMapping
    rows: Again


def make_projections(seeking: Sequence[Seeking], registry: SchemaSource) -> ChunkHandler:
    """The handler of the topic of projections."""
    return _Projections(seeking, registry)


class _Projections:
    def __init__(self, seeking: Sequence[Seeking], registry: SchemaSource) -> None:
        self._seeking = seeking
        self._registry = registry
        self._readers = threading.local()  # a reader serves one thread at a time

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Take in what rows show now, and publish again the rows that look them up."""
        last, refusals = self._last(chunk)
        table = LookupTable(state)
        table.load(last)
        changes = [
            change for row, shows in last.items() if (change := table.show(row, shows)) is not None
        ]
        effects = Effects()
        for each in self._seeking:
            rows = _concerned(each.mapping, table, changes)
            if rows:
                more = each.rows.again(chunk.partition, rows, state, table, stamp_of(chunk))
                effects.state |= more.state
                effects.outputs += more.outputs
        effects.state |= table.changes()
        effects.outputs += dead_letters(chunk, refusals, agent=NORMALIZE, ids=self._registry)
        effects.accounting = Accounting(
            applied=len(chunk) - len(refusals), dead_lettered=len(refusals)
        )
        return effects

    def _last(self, chunk: Chunk) -> tuple[dict[str, Shows | None], list[Refusal]]:
        """What each row of a chunk shows last; None: it is gone."""
        decoded = self._reader().decode(chunk.values)
        refusals = [Refusal(index, rejection(error)) for index, error in decoded.errors]
        shown: dict[int, tuple[str, Shows | None]] = {}
        for index, row in zip(decoded.rows, decoded.frame.iter_rows(named=True), strict=True):
            shown[index] = row["id"], dict(zip(row["columns"], row["texts"], strict=True))
        for index in decoded.tombstones:
            try:
                shown[index] = PROJECTIONS.row_id(decode_key(chunk.keys[index] or b"")), None
            except RecordError as error:
                refusals.append(Refusal(index, rejection(error)))
        return dict(shown[index] for index in sorted(shown)), refusals

    def _reader(self) -> ChunkReader:
        readers: dict[str, ChunkReader] = self._readers.__dict__
        if "" not in readers:
            contract = record_schema(str(PROJECTIONS.record))
            readers[""] = ChunkReader(self._registry.schema, reader=contract)
        return readers[""]


def _concerned(mapping: ObjectMapping, table: LookupTable, changes: Sequence[Change]) -> list[str]:
    """The rows of an object whose lookups may find another, in order."""
    found: set[str] = set()
    for lookup in mapping.lookups:
        for change in changes:
            found |= table.seeking(mapping.row_prefix, lookup, change)
    return sorted(found)
