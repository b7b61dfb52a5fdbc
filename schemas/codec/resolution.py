"""Avro schema resolution on columns: a frame of the writer's schema as one of the reader's.

Whether a field can be followed depends on the two schemas alone, but for bytes read as a string:
each record tells whether its bytes are UTF-8 (Avro specification, "Schema Resolution").

Names of records are not compared, as Avro's Java library does not outside of unions (`Resolver`,
`RecordAdjust`): Debezium names its records by server and table, our readers theirs by what they
hold. Fields are matched by name, then by an alias of the reader's. Where several of the writer's
match one, nobody can tell which is meant; Java raises then (`SchemaCompatibility`,
`lookupWriterField`), and so is it here.

Enum symbols pass as they were written: a symbol the reader does not list yet is data for the
mapping to judge. Nullability is not checked either, a frame does not hold it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from schemas.codec.record import Json
from schemas.codec.rows import column_value
from schemas.codec.types import (
    Array,
    AvroType,
    Decimal,
    Enum,
    Field,
    Fixed,
    Map,
    Nullable,
    Primitive,
    Record,
    dtype_of,
    storage_dtype_of,
)
from schemas.errors import SchemaMismatchError

_PROMOTIONS: Final = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}


class Resolution:
    """How to turn frames of one writer schema into frames of one reader schema."""

    def __init__(
        self, writer: Record, reader: Record, columns: Sequence[str] | None = None
    ) -> None:
        """`columns`: the reader's fields to return, by default all.

        Raises SchemaMismatchError if the writer's schema does not resolve to the reader's.
        """
        self._outputs: list[pl.Expr] = []
        self._checks: list[pl.Expr] = []
        needed: list[str] = []
        for field in reader.fields:
            if columns is not None and field.name not in columns:
                continue
            source = _source(writer, field)
            if source is not None:
                needed.append(source.name)
                self._checks += _checks(pl.col(source.name), source.type, field.type)
            self._outputs.append(_field(field, writer, pl.col))
        self._names = [output.meta.output_name() for output in self._outputs]
        self._is_same = needed == self._names and all(
            _source(writer, field) == field for field in reader.fields if field.name in self._names
        )
        self._reads_any = bool(needed)
        # One column at least, so that the number of rows is known.
        self.columns = needed or [writer.fields[0].name]

    def refused(self, frame: pl.DataFrame) -> list[int]:
        """The rows of `frame` that hold a value the reader's type cannot, ascending."""
        if not self._checks:
            return []
        sound = frame.select(pl.all_horizontal(self._checks)).to_series()
        return (~sound).arg_true().to_list()

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` holds `columns` of the writer, and no row that is `refused`; the result the
        reader's, in its order.
        """
        if self._is_same and frame.columns == self._names:
            return frame
        if self._reads_any:
            return frame.select(self._outputs)
        return frame.with_columns(self._outputs).select(self._names)


def _source(writer: Record, field: Field) -> Field | None:
    """The writer's field that the reader's is read from. Raises SchemaMismatchError for several."""
    names = {field.name, *field.aliases}
    found = [candidate for candidate in writer.fields if candidate.name in names]
    if len(found) > 1:
        raise SchemaMismatchError(
            f"field {field.name} is written as {', '.join(source.name for source in found)}",
            hint="write one of them, or drop the alias of the reader",
        )
    return found[0] if found else None


def _field(field: Field, writer: Record, column: Callable[[str], pl.Expr]) -> pl.Expr:
    """The reader's field from the writer's record, whose fields `column` gives by name."""
    source = _source(writer, field)
    if source is None:
        return default_of(field)
    return _resolve(column(source.name), source.type, field.type, field.name).alias(field.name)


def _resolve(  # noqa: PLR0911 - one return for each kind of change
    column: pl.Expr, writer: AvroType, reader: AvroType, name: str
) -> pl.Expr:
    match writer, reader:
        case _ if writer == reader:
            return column
        case (Nullable(inner, _), _):
            return _resolve(column, inner, reader, name)
        case (_, Nullable(inner, _)):
            return _resolve(column, writer, inner, name)
        case Primitive(source), Primitive(target) if (source, target) in _PROMOTIONS:
            return column.cast(dtype_of(reader))
        case Enum(), Enum():
            return column
        case Decimal(digits, scale, _), Decimal(more, same, _) if scale == same and digits <= more:
            return column.cast(dtype_of(reader))
        case Array(source_items), Array(items):
            return column.list.eval(_resolve(pl.element(), source_items, items, name))
        case Map(source_values), Map(values):
            value = _resolve(pl.field("value"), source_values, values, name).alias("value")
            return column.list.eval(pl.element().struct.with_fields(value))
        case Record(), Record(_, fields):
            values_of = [_field(field, writer, column.struct.field) for field in fields]
            return pl.when(column.is_not_null()).then(pl.struct(values_of))
    raise SchemaMismatchError(
        f"field {name} changed its type in a way readers cannot follow",
        hint="register compatible schemas, or replay with the reader of that version",
    )


def _checks(column: pl.Expr, writer: AvroType, reader: AvroType) -> list[pl.Expr]:
    """What holds for each value of the column that the reader can read; empty: all of them."""
    match writer, reader:
        case (Nullable(inner, _), _):
            return _checks(column, inner, reader)
        case (_, Nullable(inner, _)):
            return _checks(column, writer, inner)
        case Primitive("bytes"), Primitive("string"):
            return [column.map_batches(_are_text, return_dtype=pl.Boolean())]
        case Array(source_items), Array(items):
            checks = _checks(pl.element(), source_items, items)
        case Map(source_values), Map(values):
            checks = _checks(pl.element().struct.field("value"), source_values, values)
        case Record(), Record(_, fields):
            return [
                check
                for field in fields
                if (source := _source(writer, field)) is not None
                for check in _checks(column.struct.field(source.name), source.type, field.type)
            ]
        case _:
            return []
    return [column.list.eval(check).list.all().fill_null(True) for check in checks]


def _are_text(values: pl.Series) -> pl.Series:
    """Whether each value is null or UTF-8. polars can only tell of all of them at once."""
    try:
        values.cast(pl.String())
    except pl.exceptions.ComputeError:
        return pl.Series(values.name, map(_is_text, values), dtype=pl.Boolean())
    return pl.repeat(True, len(values), dtype=pl.Boolean(), eager=True).alias(values.name)


def _is_text(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def default_of(field: Field) -> pl.Expr:
    """The default of a field as a literal. Raises SchemaMismatchError if it has none."""
    if not field.has_default:
        raise SchemaMismatchError(
            f"field {field.name} is missing and has no default",
            hint="where its source dropped it, take it out of `columns` of mapping.yaml and "
            "release the dead letters (psastream dlq release); a field that a contract adds has "
            "a default",
        )
    value = column_value(_wire_value(field.default, field.type), field.type)
    series = pl.Series([value], dtype=storage_dtype_of(field.type)).cast(dtype_of(field.type))
    return pl.lit(series).first().alias(field.name)


def _wire_value(default: Json, avro: AvroType) -> object:
    """A JSON default as fastavro would read it: bytes are written as latin-1 text in a schema."""
    match avro:
        case Nullable(inner, _):
            return None if default is None else _wire_value(default, inner)
        case Fixed() | Decimal() | Primitive("bytes"):
            return str(default).encode("latin-1")
        case Array(items):
            assert isinstance(default, list)
            return [_wire_value(item, items) for item in default]
        case Map(values):
            assert isinstance(default, dict)
            return {key: _wire_value(item, values) for key, item in default.items()}
        case Record(_, fields):
            assert isinstance(default, dict)
            return {
                field.name: _wire_value(default.get(field.name, field.default), field.type)
                for field in fields
            }
    return default
