"""From a vendor's JSON to values typed by the Avro contract, exactly or not at all.

Absent is not null: a field of the contract that an answer leaves out means lost rights or a changed
API, and is an error of the object. A value that does not fit is an error of its row only. Nothing
is rounded or guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from functools import partial
from typing import Any, Final

from connectors.polled.model import Page, Row, UnreadableRow
from schemas.codec import AvroSchema
from schemas.errors import SchemaMismatchError

Convert = Callable[[Any], object]

_BOOLEANS: Final = {"T": True, "F": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Layout:
    """Which fields of a record carry its id, its time of change and its deletion.

    `modified_fields`: the first that is not null counts. `null_is_absent`: the API leaves null
    fields out, so that their absence says nothing; there a missing column is refused by the query.
    `ignored`: fields that come along unasked.
    """

    id_field: str
    modified_fields: tuple[str, ...] = ()
    deleted_field: str | None = None
    null_is_absent: bool = False
    ignored: frozenset[str] = frozenset()


class RowReader:
    """Reads the rows of one object by its Avro record."""

    def __init__(self, record: AvroSchema, layout: Layout) -> None:
        fields: Any = record.parsed["fields"]
        self._name = record.name
        self._layout = layout
        self._converts: dict[str, Convert] = {
            field["name"]: converter(field["type"]) for field in fields
        }
        self._known = set(self._converts) | layout.ignored
        self._new_fields: set[str] = set()

    @property
    def fields(self) -> tuple[str, ...]:
        """Field names of the contract, in order."""
        return tuple(self._converts)

    def read(self, raws: Iterable[Mapping[str, Any]]) -> tuple[list[Row], list[UnreadableRow]]:
        """Convert rows. Raises SchemaMismatchError when a field of the contract is missing."""
        rows: list[Row] = []
        unreadable: list[UnreadableRow] = []
        for raw in raws:
            self._check_fields(raw)
            try:
                rows.append(self._row(raw))
            except ValueError as error:
                row_id = str(raw[self._layout.id_field])
                unreadable.append(UnreadableRow(row_id, raw, str(error)))
        return rows, unreadable

    def key(self, row_id: str) -> dict[str, object]:
        """Return the record's identifying field alone."""
        return {self._layout.id_field: self._converts[self._layout.id_field](row_id)}

    def page(
        self,
        raws: Iterable[Mapping[str, Any]],
        server_at: datetime | None,
        *,
        reached: datetime | None = None,
        parents: frozenset[str] = frozenset(),
    ) -> Page:
        """Read rows into a page. Raises SchemaMismatchError."""
        rows, unreadable = self.read(raws)
        return Page(rows, unreadable, server_at, parents, reached, self._take_new_fields())

    def _take_new_fields(self) -> tuple[str, ...]:
        fresh = tuple(sorted(self._new_fields - self._known))
        self._known |= self._new_fields
        self._new_fields.clear()
        return fresh

    def _check_fields(self, raw: Mapping[str, Any]) -> None:
        required = {self._layout.id_field} if self._layout.null_is_absent else self._converts.keys()
        missing = sorted(required - raw.keys())
        if missing:
            raise SchemaMismatchError(
                f"{self._name} came without {', '.join(missing)}",
                hint="check the integration user's field rights; absent is not null",
            )
        self._new_fields |= raw.keys() - self._known

    def _row(self, raw: Mapping[str, Any]) -> Row:
        values: dict[str, object] = {}
        for name, convert in self._converts.items():
            value = raw.get(name)
            try:
                values[name] = None if value is None else convert(value)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        layout = self._layout
        stamp = next((raw[name] for name in layout.modified_fields if raw.get(name)), None)
        return Row(
            id=str(raw[layout.id_field]),
            values=values,
            modified_at=None if stamp is None else parse_instant(stamp),
            is_deleted=layout.deleted_field is not None and values[layout.deleted_field] is True,
        )


def parse_instant(text: str) -> datetime:
    """Return a UTC instant; text without a zone is UTC. Raises ValueError."""
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def converter(schema: Any) -> Convert:
    """Return the conversion for an Avro type (the branch that is not null, of a nullable one).

    The conversion raises ValueError for a value that does not fit. Raises TypeError for an Avro
    type no source contract uses.
    """
    if isinstance(schema, list):
        (schema,) = [branch for branch in schema if branch != "null"]
    if isinstance(schema, str):
        if schema not in _PLAIN:
            raise TypeError(f"no conversion to Avro type {schema}")
        return _PLAIN[schema]
    match schema:
        case {"logicalType": "date"}:
            return _to_date
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            return partial(_to_decimal, precision=precision, scale=scale)
        case {"type": "array", "items": items}:
            return partial(_to_list, convert=converter(items))
    raise TypeError(f"no conversion to Avro type {schema}")


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # ids come as numbers from some resources
    raise ValueError(f"{type(value).__name__} is not text")


def _to_integer(value: Any, *, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{type(value).__name__} is not an integer")
    number = int(value)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise ValueError(f"the integer needs more than {bits} bits")
    return number


def _to_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _BOOLEANS:
        return _BOOLEANS[value]
    raise ValueError(f"{type(value).__name__} is not a truth value")


def _to_date(value: Any) -> date:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} is not a date")
    return date.fromisoformat(value)


def _to_decimal(value: Any, *, precision: int, scale: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"{type(value).__name__} is not a decimal")
    exact = Context(prec=precision, traps=[Inexact, InvalidOperation, Overflow])
    try:
        number = Decimal(value).quantize(Decimal(1).scaleb(-scale), context=exact)
    except DecimalException as error:
        raise ValueError(f"the number does not fit decimal({precision},{scale})") from error
    if not number.is_finite():
        raise ValueError("the number is not finite")
    return number


def _to_list(value: Any, *, convert: Convert) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} is not a list")
    return [convert(item) for item in value]


_PLAIN: Final[Mapping[str, Convert]] = {
    "string": _to_text,
    "boolean": _to_boolean,
    "int": partial(_to_integer, bits=32),
    "long": partial(_to_integer, bits=64),
}
