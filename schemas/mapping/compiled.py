"""Source change events to canonical records, as columns: a compiled mapping and its application.

`loader` compiles a mapping.yaml; `ObjectMapping.apply` turns a frame of envelopes into
canonical frames without touching a record in Python. It is pure: which change of a row is the
latest, and where it goes, is decided by its caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from schemas.codec.record import AvroSchema
from schemas.exact import FEW
from schemas.mapping.lookups import Lookup, nothing_found
from schemas.mapping.trial import UNUSABLE
from schemas.topics import Topic


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is refused; the same for all records that break one rule."""

    code: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class Computed:
    """An expression of a row as two columns: its value, and the code of why it has none."""

    value: pl.Expr
    failure: pl.Expr
    failed: tuple[pl.Expr, pl.Expr]
    """Both, of a row for which it raises."""


@dataclass(frozen=True, slots=True)
class TargetMapping:
    """One canonical entity of an object: its topic, and the text fields whose value is kept.

    `columns` names the working column of each field of the contract, in its order, `exists` the
    one that says whether a row has such a record; without it each has. `filled` are the fields that
    have a rule, or need none: all others are null. `part` is of which part of a row it is.
    """

    topic: Topic
    unset_kept: tuple[str, ...]
    columns: Mapping[str, str]
    exists: str | None = None
    filled: frozenset[str] = frozenset()
    part: str = ""

    @property
    def name(self) -> str:
        """What the record is called beside others of its row: its entity, and its part."""
        entity = self.topic.name.removeprefix("psa.")
        return f"{entity}.{self.part}" if self.part else entity


def part_suffix(part: str) -> str:
    """Return what ends the id of a record that is made of a part of a row."""
    return f",{part}" if part else ""


@dataclass(frozen=True, slots=True)
class MappedRows:
    """Canonical frames, all parallel to the envelopes they come from.

    `rows`: id (source id), position (Int64), is_delete, rejection (index into
    `ObjectMapping.rejections`, null where the record is sound), the `exists` of targets, and where
    there are lookups `unfit`, an index like rejection: the rule that is broken by what was found.
    `targets`: one frame for each of `ObjectMapping.targets`, with the columns of its contract; in
    the rows of deletes, of rejected records and of those that do not exist they mean nothing.
    `shown`: what rows show to others that look for them.
    """

    rows: pl.DataFrame
    targets: tuple[pl.DataFrame, ...]
    shown: pl.DataFrame


@dataclass(frozen=True, slots=True)
class ObjectMapping:
    """The compiled mapping of one source topic.

    `row_prefix` begins the source ids of its rows, and of no others. `source` makes the column of
    that name, as PostgreSQL's envelopes have it, of a database that tells its places in other
    words; `position` makes the column of that name from an envelope with it. `reader` is the
    schema to decode its values with: the envelope, reduced to what is mapped. `flat` makes the
    working columns from an envelope, `computed` adds those of expressions, `fields` the canonical
    fields. `is_rejected` says whether a record breaks a rule, `rejection` names the first it
    breaks. The first `envelope_rules` of `rejections` are those of a change that tells nothing of
    a row.
    """

    topic: str
    is_database: bool
    row_prefix: str
    reader: AvroSchema
    targets: tuple[TargetMapping, ...]
    rejections: tuple[Rejection, ...]
    envelope_rules: int
    position: pl.Expr
    flat: tuple[pl.Expr, ...]
    computed: tuple[Computed, ...]
    fields: tuple[pl.Expr, ...]
    is_rejected: pl.Expr
    rejection: pl.Expr
    lookups: tuple[Lookup, ...] = ()
    unfit: pl.Expr | None = None
    shown: tuple[pl.Expr, ...] = ()
    source: pl.Expr | None = None

    def placed(self, envelopes: pl.DataFrame) -> pl.DataFrame:
        """Return envelopes decoded with `reader`, whose places are told in PostgreSQL's words."""
        return envelopes if self.source is None else envelopes.with_columns(self.source)

    def apply(self, envelopes: pl.DataFrame, found: pl.DataFrame | None = None) -> MappedRows:
        """Map envelopes decoded with `reader`, row by row in order.

        They may be placed, and have the column `position`, already. `found` are the columns of
        lookups, by default as if they had found nothing.
        """
        if "position" not in envelopes.columns:
            envelopes = self.placed(envelopes).with_columns(self.position)
        is_few = envelopes.height <= FEW  # handing them to polars' threads takes longer
        flat = (envelopes.select_seq if is_few else envelopes.select)(self.flat)
        if self.lookups:
            if found is None:
                found = nothing_found(self.lookups, envelopes.height)
            flat = flat.hstack(found)
        working = with_computed(flat, self.computed)
        working = (working.with_columns_seq if is_few else working.with_columns)(self.fields)
        exists = [target.exists for target in self.targets if target.exists is not None]
        rows = working.select(
            "id",
            "position",
            "is_delete",
            self._rejections(working),
            *(() if self.unfit is None else (self.unfit.alias("unfit"),)),
            *exists,
        )
        targets = tuple(
            pl.DataFrame([working[column].alias(field) for field, column in target.columns.items()])
            for target in self.targets
        )
        return MappedRows(rows, targets, working.select(self.shown))

    def _rejections(self, working: pl.DataFrame) -> pl.Series:
        """The first rule that each record breaks: hardly any does, and to find it takes longer."""
        is_any = working.select(self.is_rejected).to_series().any()
        first = self.rejection if is_any else pl.repeat(None, working.height, dtype=pl.UInt16)
        return working.select(first.alias("rejection")).to_series()


def with_computed(rows: pl.DataFrame, expressions: Sequence[Computed]) -> pl.DataFrame:
    """Add the columns of expressions. What raises for a row is a failure of that row alone."""
    if not expressions:
        return rows
    columns = [column for each in expressions for column in (each.value, each.failure)]
    try:
        return rows.with_columns(columns)
    except UNUSABLE:
        half = rows.height // 2
        if half:
            parts = [with_computed(part, expressions) for part in (rows[:half], rows[half:])]
            return pl.concat(parts)
        if len(expressions) > 1:
            for each in expressions:
                rows = with_computed(rows, [each])
            return rows
        return rows.with_columns(expressions[0].failed)
