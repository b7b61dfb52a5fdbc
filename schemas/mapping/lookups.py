"""Lookups of a mapping, compiled: which row each row looks for, and what rows show to others.

Rows are found by source ids, as references between canonical records are: whatever the types of
the two columns, one id is one text. What a row shows to others, its projection, is a text a column:
the physical number of a date or an instant, 1 and 0 for true and false.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import polars as pl

from schemas.identity import IdForm
from schemas.mapping.casts import exact_number, is_inexact
from schemas.mapping.config import LookupConfig, ObjectConfig, SystemConfig
from schemas.mapping.reader import column_value
from schemas.mapping.rules import SOURCE_PREFIX, RuleError, row_ids, source, source_ids
from schemas.mapping.sql_text import suggestion

Dtypes = Mapping[str, pl.DataType]
Place = tuple[object, ...]


class Way(Enum):
    """How a lookup goes from a row to the one it takes from."""

    KEY = "key"  # to the row whose key a column holds
    ROOT = "root"  # from there on, from parent to parent, to the row that names none
    REVERSE = "reverse"  # to the row that names this one


@dataclass(frozen=True, slots=True)
class Lookup:
    """One lookup of an object.

    `begins` makes, of an envelope, the source id that the search begins with; null: there is
    nothing to look for. `rows` begins the source ids of the other object's rows, as
    `ObjectMapping.row_prefix` does. `reference` is the part of their projections that is followed.
    """

    name: str
    way: Way
    rows: str
    columns: Dtypes
    begins: pl.Expr
    reference: str = ""
    is_optional: bool = False

    @property
    def dtype(self) -> pl.Struct:
        """The type of what is found."""
        return pl.Struct(dict(self.columns))

    def found(self, texts: list[Mapping[str, str | None]]) -> tuple[pl.DataFrame, pl.Series]:
        """The columns, named `source.<lookup>` and `source.<lookup>.<column>`, of what was found.

        And whether a row has a text that is no value of its column's type, or lacks one.
        """
        name = SOURCE_PREFIX + self.name
        frame = pl.DataFrame(
            {column: [row.get(column) for row in texts] for column in self.columns},
            schema=dict.fromkeys(self.columns, pl.String()),
        )
        values = frame.select(
            _of_text(column, dtype).alias(column) for column, dtype in self.columns.items()
        )
        lost = frame.select(
            pl.any_horizontal(
                pl.col(column).is_not_null() & values[column].is_null() for column in self.columns
            )
        ).to_series()
        lacks = [bool(row) and not self.columns.keys() <= row.keys() for row in texts]
        parts = values.select(
            pl.struct(*self.columns).alias(name),
            *(pl.col(column).alias(f"{name}.{column}") for column in self.columns),
        )
        return parts, lost | pl.Series(lacks, dtype=pl.Boolean)


def nothing_found(lookups: tuple[Lookup, ...], rows: int) -> pl.DataFrame:
    """The columns of lookups that found nothing."""
    frames = [each.found([{}] * rows)[0] for each in lookups]
    return pl.concat(frames, how="horizontal")


def text_of(column: str, dtype: pl.DataType) -> pl.Expr:
    """A source column as the text that stands for it in a projection."""
    value = source(column)
    if isinstance(dtype, pl.Boolean):
        value = value.cast(pl.Int8)
    elif isinstance(dtype, pl.Date | pl.Datetime | pl.Duration):
        value = value.to_physical()
    return value.cast(pl.String).alias(column)


def _of_text(column: str, dtype: pl.DataType) -> pl.Expr:
    text = pl.col(column)
    if isinstance(dtype, pl.Decimal):
        return exact_number(text, dtype)
    if isinstance(dtype, pl.Boolean):
        return text.cast(pl.Int8, strict=False).cast(pl.Boolean)
    if isinstance(dtype, pl.Date | pl.Datetime | pl.Duration):
        physical = pl.Int32() if isinstance(dtype, pl.Date) else pl.Int64()
        return text.cast(physical, strict=False).cast(dtype)
    return text.cast(dtype, strict=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """What rows of an object show to those that look for them.

    `columns` have values; `references` are columns that hold source ids of rows of a kind.
    """

    columns: tuple[str, ...] = ()
    references: tuple[tuple[str, str], ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """The source columns."""
        return tuple(dict.fromkeys((*self.columns, *(column for column, _ in self.references))))


def reference_name(column: str, kind: str) -> str:
    """The part of a projection that holds a reference; no column is called so."""
    return f"{column}>{kind}"


def shown_by(system: SystemConfig) -> dict[str, Shown]:
    """What the rows of each object that is looked up show."""
    columns: dict[str, dict[str, None]] = {}
    references: dict[str, dict[tuple[str, str], None]] = {}
    for _, _, obj, each in all_lookups(system):
        columns.setdefault(each.object, {}).update(dict.fromkeys(each.columns))
        named = references.setdefault(each.object, {})
        followed = each.closure or each.reverse
        other = system.objects.get(each.object)
        if followed is not None and other is not None:
            named[followed, other.kind if each.reverse is None else obj.kind] = None
    return {
        name: Shown(tuple(found), tuple(references.get(name, {})))
        for name, found in columns.items()
    }


def all_lookups(system: SystemConfig) -> Iterator[tuple[str, str, ObjectConfig, LookupConfig]]:
    """Every lookup of a system: its object's name, its own, the object, and the lookup."""
    for obj, config in system.objects.items():
        for name, lookup in config.lookups.items():
            yield obj, name, config, lookup


class LookupProblem(Exception):
    """What is wrong with a lookup, and at which of its words."""

    def __init__(self, problem: str, *place: object) -> None:
        super().__init__(problem)
        self.place = place


def compile_lookup(
    system: SystemConfig, obj: ObjectConfig, name: str, dtypes: Mapping[str, Dtypes], own: Dtypes
) -> Lookup:
    """Compile a lookup of an object with columns `own`; `dtypes` are those of all objects.

    Raises LookupProblem.
    """
    config = obj.lookups[name]
    if name in own or name in obj.vars:
        raise LookupProblem(f"{name} is a name already")
    other = system.objects.get(config.object)
    if other is None:
        alike = suggestion(config.object, system.objects)
        raise LookupProblem(f"there is no object {config.object}{alike}", "object")
    theirs = dtypes.get(config.object, {})
    for where, column, known in (
        *((("by",), column, own) for column in config.by or ()),
        (("closure",), config.closure, theirs),
        (("reverse",), config.reverse, theirs),
        *((("columns", at), column, theirs) for at, column in enumerate(config.columns)),
    ):
        if column is not None and column not in known:
            raise LookupProblem(f"unknown column {column}{suggestion(column, known)}", *where)
    columns = {}
    for at, column in enumerate(config.columns):
        if not is_plain(theirs[column]):
            raise LookupProblem(f"{column}: {theirs[column]} cannot be looked up", "columns", at)
        columns[column] = theirs[column]
    begins_at, rows = config.by or obj.keys, other.kind
    way, reference = Way.KEY, ""
    if config.reverse is not None:
        way, rows = Way.REVERSE, obj.kind
        reference = reference_name(config.reverse, obj.kind)
        _require_one(obj.keys, "reverse", "of this object")
        _require_id(theirs[config.reverse], "reverse")
    elif config.closure is not None:
        way, reference = Way.ROOT, reference_name(config.closure, other.kind)
        _require_one(other.keys, "closure", f"of {config.object}")
        _require_id(theirs[config.closure], "closure")
    if config.by is not None and len(config.by) != len(other.keys):
        raise LookupProblem(f"the key of {config.object} is {other.key}", "by")
    after = pl.col("after").struct
    begins = [
        (column_value(after.field(each), own[each], obj.columns.get(each, "")), own[each])
        for each in begins_at
    ]
    return Lookup(
        name=name,
        way=way,
        rows=f"{system.system}:{other.kind}:",
        columns=columns,
        begins=_row_ids(f"{system.system}:{rows}", begins, system.ids).alias(name),
        reference=reference,
        is_optional=config.optional,
    )


def is_plain(dtype: pl.DataType) -> bool:
    """Whether values of a type have a text of their own that is exact."""
    is_number = dtype.is_integer() or isinstance(dtype, pl.Decimal)
    is_time = isinstance(dtype, pl.Date | pl.Datetime | pl.Duration)
    is_other = is_time or isinstance(dtype, pl.String | pl.Boolean)
    return (is_number or is_other) and not is_inexact(dtype)


def is_id(dtype: pl.DataType | None) -> bool:
    """Whether a column may hold ids."""
    return dtype is not None and (dtype.is_integer() or dtype == pl.String)


def _row_ids(namespace: str, begins: list[tuple[pl.Expr, pl.DataType]], form: IdForm) -> pl.Expr:
    try:
        return row_ids(namespace, begins, form)
    except RuleError as error:
        raise LookupProblem(str(error), "by") from error


def _require_one(keys: tuple[str, ...], place: str, whose: str) -> None:
    if len(keys) > 1:
        raise LookupProblem(f"the key {whose} has several columns, and no column names it", place)


def _require_id(dtype: pl.DataType, place: str) -> None:
    if not is_id(dtype):
        raise LookupProblem(f"an id cannot be {dtype}", place)


def sound(shown: Shown, dtypes: Dtypes) -> Shown:
    """What rows can show: the problems of all else are told of the lookups that ask for it."""
    columns = tuple(each for each in shown.columns if each in dtypes and is_plain(dtypes[each]))
    references = tuple(
        (column, kind) for column, kind in shown.references if is_id(dtypes.get(column))
    )
    return Shown(columns, references)


def projection(system: SystemConfig, shown: Shown, dtypes: Dtypes) -> tuple[pl.Expr, ...]:
    """The texts that rows show, of the working frame."""
    return (
        *(text_of(column, dtypes[column]) for column in shown.columns),
        *(
            source_ids(f"{system.system}:{kind}", source(column), dtypes[column], system.ids).alias(
                reference_name(column, kind)
            )
            for column, kind in shown.references
        ),
    )
