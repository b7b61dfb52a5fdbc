"""Avro types as a small tree the chunk codec can match on, with the polars dtype of each.

Logical types the product uses are part of the tree; any other logical type is ignored, as the
Avro specification asks. Debezium's dates are therefore the plain integers they are on the wire.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import polars as pl

from schemas.codec.record import AvroSchema, Json, JsonObject
from schemas.errors import SchemaMismatchError

TimeUnit: TypeAlias = Literal["ms", "us"]
PrimitiveName: TypeAlias = Literal[
    "null", "boolean", "int", "long", "float", "double", "bytes", "string"
]


@dataclass(frozen=True, slots=True)
class Primitive:
    name: PrimitiveName


@dataclass(frozen=True, slots=True)
class Date:
    """Days since 1970-01-01 on an int."""


@dataclass(frozen=True, slots=True)
class Timestamp:
    """An instant, counted in `unit` since 1970-01-01 UTC on a long."""

    unit: TimeUnit


@dataclass(frozen=True, slots=True)
class Decimal:
    """A two's-complement integer times 10**-scale, on `size` fixed bytes or (None) on bytes."""

    precision: int
    scale: int
    size: int | None


@dataclass(frozen=True, slots=True)
class Fixed:
    size: int


@dataclass(frozen=True, slots=True)
class Enum:
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Array:
    items: "AvroType"


@dataclass(frozen=True, slots=True)
class Map:
    values: "AvroType"


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: "AvroType"
    aliases: tuple[str, ...]
    has_default: bool
    default: Json


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Nullable:
    """A union of null and one other type; `null_first` is the order of the two."""

    inner: "AvroType"
    null_first: bool


@dataclass(frozen=True, slots=True)
class Union:
    """Any other union. `branches` are (column name, type); null is not among them."""

    branches: tuple[tuple[str, "AvroType"], ...]


AvroType: TypeAlias = (
    Primitive | Date | Timestamp | Decimal | Fixed | Enum | Array | Map | Record | Nullable | Union
)

# polars holds a decimal in 128 bits.
DECIMAL_PRECISION_MAX: Final = 38

_PRIMITIVES: Final[dict[str, Primitive]] = {
    "null": Primitive("null"),
    "boolean": Primitive("boolean"),
    "int": Primitive("int"),
    "long": Primitive("long"),
    "float": Primitive("float"),
    "double": Primitive("double"),
    "bytes": Primitive("bytes"),
    "string": Primitive("string"),
}
_PRIMITIVE_DTYPES: Final[dict[str, pl.DataType]] = {
    "null": pl.Null(),
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "bytes": pl.Binary(),
    "string": pl.String(),
}


def record_type(schema: AvroSchema) -> Record:
    """The tree of a record schema, named types inlined.

    Raises SchemaMismatchError for what no column can hold: a schema that is not a record, a
    record without fields, a recursive type, a decimal of more than 38 digits, an array of items
    that take no bytes.
    """
    tree = _parse(schema.parsed, {}, ())
    if not isinstance(tree, Record):
        raise _unsupported(schema.name, "not a record")
    return tree


def dtype_of(avro: AvroType) -> pl.DataType:  # noqa: PLR0911 - one return for each type
    """The polars dtype of a decoded column of this type. Nullability is not part of a dtype."""
    match avro:
        case Primitive(name):
            return _PRIMITIVE_DTYPES[name]
        case Date():
            return pl.Date()
        case Timestamp(unit):
            return pl.Datetime(unit, "UTC")
        case Decimal(precision, scale, _):
            return pl.Decimal(precision, scale)
        case Fixed():
            return pl.Binary()
        case Enum():
            # Strings, not pl.Enum: the symbols of two versions of a schema differ.
            return pl.String()
        case Array(items):
            return pl.List(dtype_of(items))
        case Map(values):
            return pl.List(pl.Struct({"key": pl.String(), "value": dtype_of(values)}))
        case Record(_, fields):
            return pl.Struct({field.name: dtype_of(field.type) for field in fields})
        case Nullable(inner, _):
            return dtype_of(inner)
        case Union(branches):
            return pl.Struct({name: dtype_of(branch) for name, branch in branches})


def storage_dtype_of(avro: AvroType) -> pl.DataType:  # noqa: PLR0911 - likewise
    """As dtype_of, but dates and instants are the integers they are on the wire."""
    match avro:
        case Date():
            return pl.Int32()
        case Timestamp():
            return pl.Int64()
        case Array(items):
            return pl.List(storage_dtype_of(items))
        case Map(values):
            return pl.List(pl.Struct({"key": pl.String(), "value": storage_dtype_of(values)}))
        case Record(_, fields):
            return pl.Struct({field.name: storage_dtype_of(field.type) for field in fields})
        case Nullable(inner, _):
            return storage_dtype_of(inner)
        case Union(branches):
            return pl.Struct({name: storage_dtype_of(branch) for name, branch in branches})
    return dtype_of(avro)


def frame_schema(record: Record) -> dict[str, pl.DataType]:
    """Column names and dtypes of a decoded chunk of `record`."""
    return {field.name: dtype_of(field.type) for field in record.fields}


def _parse(  # noqa: PLR0911 - one return for each type
    node: Json, named: dict[str, AvroType], path: tuple[str, ...]
) -> AvroType:
    """Parse one node. `named` collects finished types, `path` the records being parsed."""
    if isinstance(node, str):
        if node in path:
            raise _unsupported(node, "a recursive type")
        return _PRIMITIVES.get(node) or named[node]
    if isinstance(node, list):
        return _parse_union(node, named, path)
    assert isinstance(node, dict)
    kind = node["type"]
    if not isinstance(kind, str):
        return _parse(kind, named, path)
    match kind:
        case "record" | "error":
            return _parse_record(node, named, path)
        case "array":
            items = _parse(node["items"], named, path)
            if _takes_no_bytes(items):
                # A corrupted count of such items would never hit the end of the data.
                raise _unsupported(".".join(path), "an array of items that take no bytes")
            return Array(items)
        case "map":
            return Map(_parse(node["values"], named, path))
        case "enum":
            symbols = node["symbols"]
            assert isinstance(symbols, list)
            return _remember(named, node, Enum(tuple(str(symbol) for symbol in symbols)))
        case "fixed":
            return _remember(named, node, _logical(node) or Fixed(_integer(node, "size")))
        case _:
            return _logical(node) or _parse(kind, named, path)


def _parse_record(node: JsonObject, named: dict[str, AvroType], path: tuple[str, ...]) -> Record:
    name = str(node["name"])
    definitions = node["fields"]
    assert isinstance(definitions, list)
    if not definitions:
        # Without a column the number of rows is lost.
        raise _unsupported(name, "a record without fields")
    fields = []
    for definition in definitions:
        assert isinstance(definition, dict)
        aliases = definition.get("aliases", [])
        assert isinstance(aliases, list)
        fields.append(
            Field(
                name=str(definition["name"]),
                type=_parse(definition["type"], named, (*path, name)),
                aliases=tuple(str(alias) for alias in aliases),
                has_default="default" in definition,
                default=definition.get("default"),
            )
        )
    record = Record(name, tuple(fields))
    named[name] = record
    return record


def _parse_union(
    nodes: list[Json], named: dict[str, AvroType], path: tuple[str, ...]
) -> Nullable | Union:
    branches = [_parse(node, named, path) for node in nodes]
    null = Primitive("null")
    if len(branches) == 2 and branches.count(null) == 1:
        null_first = branches[0] == null
        return Nullable(branches[1 if null_first else 0], null_first)
    names = [_branch_name(node) for node in nodes]
    return Union(
        tuple(
            (name, branch) for name, branch in zip(names, branches, strict=True) if branch != null
        )
    )


def _branch_name(node: Json) -> str:
    """The column of a union's branch: the type's name without namespace."""
    name = node.get("name", node["type"]) if isinstance(node, dict) else node
    return str(name).rpartition(".")[2]


def _logical(node: JsonObject) -> AvroType | None:
    match node.get("logicalType"), node["type"]:
        case "date", "int":
            return Date()
        case "timestamp-millis", "long":
            return Timestamp("ms")
        case "timestamp-micros", "long":
            return Timestamp("us")
        case "decimal", "bytes" | "fixed":
            precision = _integer(node, "precision")
            if precision > DECIMAL_PRECISION_MAX:
                raise _unsupported(f"decimal({precision})", "more than 38 digits")
            size = _integer(node, "size") if node["type"] == "fixed" else None
            if size is not None and 10**precision > 2 ** (8 * size - 1):
                raise _unsupported(f"decimal({precision})", f"more digits than {size} bytes hold")
            return Decimal(precision, _integer(node, "scale"), size)
    return None


def _remember(named: dict[str, AvroType], node: JsonObject, avro: AvroType) -> AvroType:
    named[str(node["name"])] = avro
    return avro


def _integer(node: JsonObject, key: str) -> int:
    value = node.get(key, 0)
    assert isinstance(value, int)
    return value


def _takes_no_bytes(avro: AvroType) -> bool:
    match avro:
        case Primitive("null") | Fixed(0):
            return True
        case Record(_, fields):
            return all(_takes_no_bytes(field.type) for field in fields)
    return False


def _unsupported(where: str, what: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"schema {where} does not fit columns: {what}",
        hint="decode such records one by one with RecordCodec",
    )
