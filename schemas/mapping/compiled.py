"""Source change events to canonical records, as columns: a compiled mapping and its application.

`loader` compiles a mapping.yaml; `ObjectMapping.apply` turns a frame of envelopes into
canonical frames without touching a record in Python. It is pure: which change of a row is the
latest, and where it goes, is decided by its caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from schemas.codec.record import AvroSchema
from schemas.topics import Topic


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is refused; the same for all records that break one rule."""

    code: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class TargetMapping:
    """One canonical entity of an object: its topic, and the text fields whose value is kept.

    `columns` names the working column of each field of the contract, in its order.
    """

    topic: Topic
    unset_kept: tuple[str, ...]
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MappedRows:
    """Canonical frames, all parallel to the envelopes they come from.

    `rows`: id (source id), position (Int64), is_delete, rejection (index into
    `ObjectMapping.rejections`, null where the record is sound). `targets`: one frame for each of
    `ObjectMapping.targets`, with the columns of its contract; in the rows of deletes and of
    rejected records they mean nothing.
    """

    rows: pl.DataFrame
    targets: tuple[pl.DataFrame, ...]


@dataclass(frozen=True, slots=True)
class ObjectMapping:
    """The compiled mapping of one source topic.

    `row_prefix` begins the source ids of its rows, and of no others. `position` makes the column
    of that name from an envelope. `reader` is the schema to decode its values with: the envelope,
    reduced to what is mapped. `flat` makes the working columns from an envelope, `fields` adds the
    canonical fields, `rejection` names the first rule a record breaks. The first `envelope_rules`
    of `rejections` are those of a change that tells nothing of a row.
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
    fields: tuple[pl.Expr, ...]
    rejection: pl.Expr

    def apply(self, envelopes: pl.DataFrame) -> MappedRows:
        """Map envelopes decoded with `reader`, row by row in order."""
        working = envelopes.select(self.flat).with_columns(self.fields)
        rows = working.select("id", "position", "is_delete", self.rejection.alias("rejection"))
        targets = tuple(
            working.select(pl.col(column).alias(field) for field, column in target.columns.items())
            for target in self.targets
        )
        return MappedRows(rows, targets)
