"""From a vendor's JSON to values typed by the Avro contract, exactly or not at all.

Absent is not null: a field of the contract that no row of a page has means lost rights or a changed
API, and is an error of the object. Whatever is wrong with one row is an error of that row only: it
becomes an `UnreadableRow`, under its id if it has a usable one. Nothing is rounded or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from functools import cache, partial
from typing import Any, Final

from connectors.polled.answers import name_of, read_instant
from connectors.polled.ledger import digest_of
from connectors.polled.model import NAMELESS, Page, Row, UnreadableRow
from schemas.codec.record import AvroSchema
from schemas.errors import SchemaMismatchError

Convert = Callable[[Any], object]

KEY_LENGTH_MAX: Final = 255
ROW_CHARACTERS_MAX: Final = 1_000_000
LIST_LENGTH_MAX: Final = 1_000
NEW_FIELDS_MAX: Final = 20

_BOOLEANS: Final = {"T": True, "F": False, "true": True, "false": False}
_ANY_KEY: Final = re.compile(r"[^?\s]\S*")
_ANY_PART: Final = re.compile(r"[^?\s](?:[\S ]*\S)?")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL: Final = re.compile(
    r"[+-]?([0-9]{1,80}(\.[0-9]{0,80})?|\.[0-9]{1,80})([eE][+-]?[0-9]{1,3})?"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class OversizeError(ValueError):
    """A row holds more text than any message should."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which fields of a record carry its id, its time of change and its deletion.

    `id_field`: one, or several in the order of the key, whose texts and whole numbers make an id
    together, as `schemas.mapping.rules.row_ids` writes it. `modified_fields`: the first that is not
    null counts. `null_is_absent`: the API leaves null fields out, so that their absence says
    nothing; there a missing column is refused by the query.
    `ignored`: fields that come along unasked. `id_form`: what this vendor's ids look like.
    `optional`: fields that some accounts or rows have not, as null; `connectors.polled.poller`
    tells that from one that is lost.
    `read_stamp` reads a time of change; it raises ValueError for anything else.
    """

    id_field: str | tuple[str, ...]
    id_form: re.Pattern[str] = _ANY_KEY
    modified_fields: tuple[str, ...] = ()
    deleted_field: str | None = None
    null_is_absent: bool = False
    ignored: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    read_stamp: Callable[[object], datetime] = read_instant


class RowReader:
    """Reads the rows of one object by its Avro record."""

    def __init__(self, record: AvroSchema, layout: Layout) -> None:
        fields: Any = record.parsed["fields"]
        self._name = record.name
        self._layout = layout
        self._converts: dict[str, Convert] = {
            field["name"]: converter(field["type"]) for field in fields
        }
        field = layout.id_field
        self._keys = (field,) if isinstance(field, str) else field
        self._known = set(self._converts) | layout.ignored
        self._new_fields: set[str] = set()

    @property
    def fields(self) -> tuple[str, ...]:
        """Field names of the contract, in order."""
        return tuple(self._converts)

    def read(self, raws: Sequence[object]) -> tuple[list[Row], list[UnreadableRow]]:
        """Convert rows. Raises SchemaMismatchError when they all lack a field."""
        self._check_fields([raw for raw in raws if isinstance(raw, dict)])
        if (sound := self._sound(raws)) is not None:
            return sound, []
        rows: list[Row] = []
        unreadable: list[UnreadableRow] = []
        for raw in raws:
            try:
                rows.append(self._row(raw))
            except OversizeError as error:
                unreadable.append(replace(self._refused(raw, str(error)), is_oversize=True))
            except ValueError as error:
                unreadable.append(self._refused(raw, str(error)))
        return rows, unreadable

    def key(self, row_id: str) -> dict[str, object]:
        """Return the record's identifying fields alone."""
        parts = [row_id] if len(self._keys) == 1 else _parts(row_id)
        return {
            name: self._converts[name](part) for name, part in zip(self._keys, parts, strict=True)
        }

    def page(
        self,
        raws: Sequence[object],
        server_at: datetime | None,
        *,
        reached: datetime | None = None,
        parents: frozenset[str] = frozenset(),
        refused: Sequence[UnreadableRow] = (),
    ) -> Page:
        """Read rows into a page, with those already `refused`. Raises SchemaMismatchError."""
        rows, unreadable = self.read(raws)
        of_rows = [raw.keys() for raw in raws if isinstance(raw, dict)]
        optional = self._layout.optional
        return Page(
            rows,
            [*unreadable, *refused],
            server_at,
            parents,
            reached,
            self._take_new_fields(),
            shows=frozenset(name for name in optional if any(name in has for has in of_rows)),
            lacks=frozenset(name for name in optional if any(name not in has for has in of_rows)),
        )

    def _take_new_fields(self) -> tuple[str, ...]:
        fresh = sorted(self._new_fields - self._known)
        self._known |= self._new_fields
        self._new_fields.clear()
        return tuple(
            name.encode("utf-8", "backslashreplace").decode() for name in fresh[:NEW_FIELDS_MAX]
        )

    def _check_fields(self, raws: Sequence[Mapping[str, Any]]) -> None:
        """A field that no row has is missing from the answer, not from a row."""
        present = set().union(*raws)
        missing = sorted(self._required - present)
        if len(missing) == 1 and missing[0] in self._keys and len(raws) == 1:
            return  # no right hides an id: the row is broken
        if missing and present & self._converts.keys():
            raise SchemaMismatchError(
                f"{self._name} came without {', '.join(missing)}",
                hint="check the integration user's field rights; absent is not null",
            )
        self._new_fields |= present - self._known

    @property
    def _required(self) -> set[str]:
        if self._layout.null_is_absent:
            return set(self._keys)
        return self._converts.keys() - self._layout.optional

    def _sound(self, raws: Sequence[object]) -> list[Row] | None:
        """Convert rows column by column; None where one is not sound: `_row` tells which.

        What goes through here is what `_row` would make of it.
        """
        whole = [raw for raw in raws if isinstance(raw, dict)]
        if len(whole) != len(raws) or not whole:
            return None
        required = self._required
        room = ROW_CHARACTERS_MAX  # of all rows: then none has more
        try:
            columns = []
            for name, convert in self._converts.items():
                is_needed = name in required
                raw = [each[name] for each in whole] if is_needed else [e.get(name) for e in whole]
                columns.append(_converted(raw, convert))
                room -= _text_length(columns[-1])
            if room < 0:
                return None
            ids = self._ids(whole)
            stamps = self._stamps(whole)
        except (LookupError, ValueError):
            return None
        names = tuple(self._converts)
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        flag = self._layout.deleted_field
        return [
            Row(row_id, values, stamp, flag is not None and values[flag] is True)
            for row_id, values, stamp in zip(ids, rows, stamps, strict=True)
        ]

    def _ids(self, raws: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the id of each row, as `read_key`: of texts in ASCII all at once."""
        ids: list[Any] = []
        if len(self._keys) == 1:
            ids = [raw.get(self._keys[0]) for raw in raws]
        if (
            set(map(type, ids)) != {str}
            or not "".join(ids).isascii()
            or max(map(len, ids)) > KEY_LENGTH_MAX
            or not all(map(self._layout.id_form.fullmatch, ids))
        ):
            return [self.read_key(raw) for raw in raws]
        return ids

    def _stamps(self, raws: Sequence[Mapping[str, Any]]) -> list[datetime | None]:
        """Return when each row was changed; rows of one transaction share a stamp."""
        fields = self._layout.modified_fields
        told = [raw.get(fields[0]) if fields else None for raw in raws]
        if not fields or not all(isinstance(each, str) and each for each in told):
            return [self._modified_at(raw) for raw in raws]
        read = {each: self._layout.read_stamp(each) for each in set(told)}
        return [read[each] for each in told]

    def _row(self, raw: object) -> Row:
        if not isinstance(raw, dict):
            raise ValueError(f"a row is {name_of(raw)}")
        row_id = self.read_key(raw)
        if missing := sorted(self._required - raw.keys()):
            raise ValueError(f"the row came without {', '.join(missing)}")
        values: dict[str, object] = {}
        for name, convert in self._converts.items():
            value = raw.get(name)
            try:
                values[name] = None if value is None else convert(value)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        _check_size(values)
        layout = self._layout
        return Row(
            id=row_id,
            values=values,
            modified_at=self._modified_at(raw),
            is_deleted=layout.deleted_field is not None and values[layout.deleted_field] is True,
        )

    def _modified_at(self, raw: Mapping[str, Any]) -> datetime | None:
        for name in self._layout.modified_fields:
            if raw.get(name) not in (None, ""):
                try:
                    return self._layout.read_stamp(raw[name])
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        return None

    def read_key(self, raw: Mapping[str, Any]) -> str:
        """Return the id of a row. Raises ValueError without a usable one."""
        if len(self._keys) == 1:
            return self.read_id(raw.get(self._keys[0]))
        text = ",".join(self._part(name, raw.get(name)) for name in self._keys)
        if len(text) > KEY_LENGTH_MAX:
            raise ValueError(f"{', '.join(self._keys)}: the key is too long")
        return text

    def read_id(self, value: object) -> str:
        """Return a row's id by the value of its one field. Raises ValueError where it is no id."""
        [name] = self._keys
        try:
            return read_key(value, self._layout.id_form)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def _part(self, name: str, value: object) -> str:
        try:
            text = read_key(value, _ANY_PART)
            return str(self._converts[name](text)).replace("%", "%25").replace(",", "%2C")
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def _refused(self, raw: object, detail: str) -> UnreadableRow:
        if isinstance(raw, dict):
            try:
                return UnreadableRow(self.read_key(raw), raw, detail)
            except ValueError:
                pass
        return nameless(raw, detail)


def nameless(raw: object, detail: str) -> UnreadableRow:
    """Return a row that has no usable id, named by its content."""
    return UnreadableRow(f"{NAMELESS}{digest_of(raw)}", raw, detail)


def read_key(value: object, form: re.Pattern[str]) -> str:
    """Return a key as text. Raises ValueError for a value that names nothing, or not just one row.

    A key is a text or a whole number of the vendor's own form. Null, truth values, blanks and
    nested values are none: as keys they would make one row of many.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name_of(value)} is not a key")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("the number is too large for a key")
    text = value if isinstance(value, str) and value.isascii() else _to_text(value)
    if len(text) > KEY_LENGTH_MAX or not form.fullmatch(text):
        raise ValueError("the key has not the form of this vendor's keys")
    return text


def _parts(row_id: str) -> list[str]:
    """Return the values whose texts an id of several holds."""
    return [part.replace("%2C", ",").replace("%25", "%") for part in row_id.split(",")]


def _converted(column: list[Any], convert: Convert) -> list[object]:
    """Convert the values of a column. Raises ValueError where one does not fit.

    Texts and truth values are what they are told as: they are looked at all at once.
    """
    kinds = set(map(type, column)) - {type(None)}
    if convert is _to_text and kinds <= {str}:
        "".join(filter(None, column)).encode()  # half a character is no text
        return column
    if convert is _to_boolean and kinds <= {bool}:
        return column
    return [None if value is None else convert(value) for value in column]


def _text_length(column: list[object]) -> int:
    """How much text a column holds."""
    if set(map(type, column)) <= {str, type(None)}:
        return sum(map(len, filter(None, column)))  # type: ignore[arg-type]
    return sum(map(_characters, column))


def _check_size(values: Mapping[str, object]) -> None:
    size = sum(map(_characters, values.values()))
    if size > ROW_CHARACTERS_MAX:
        raise OversizeError(
            f"the row has {size} characters of text, more than {ROW_CHARACTERS_MAX}"
        )


def _characters(value: object) -> int:
    """How much text a value holds, in lists, maps and records too."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_characters(name) + _characters(item) for name, item in value.items())
    return sum(map(_characters, value)) if isinstance(value, list) else 0


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
        case {"type": "map", "values": values}:
            return partial(_to_map, convert=converter(values))
        case {"type": "record", "fields": fields}:
            converts = {field["name"]: converter(field["type"]) for field in fields}
            return partial(_to_record, converts=converts)
    raise TypeError(f"no conversion to Avro type {schema}")


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError("the text has half a character (a surrogate without its pair)") from (
                error
            )
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # ids come as numbers from some resources
    raise ValueError(f"{name_of(value)} is not a text")


def _to_integer(value: Any, *, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{name_of(value)} is not an integer")
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise ValueError("the text is not an integer")
    number = int(value)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise ValueError(f"the integer needs more than {bits} bits")
    return number


def _to_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _BOOLEANS:
        return _BOOLEANS[value]
    raise ValueError(f"{name_of(value)} is not a truth value")


def _to_date(value: Any) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError(f"{name_of(value)} is not a date")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise ValueError("there is no such date") from error


def _to_decimal(value: Any, *, precision: int, scale: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"{name_of(value)} is not a decimal")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("the text is not a decimal")
    exact, unit = _exact(precision, scale)
    try:
        number = Decimal(value).quantize(unit, context=exact)
    except DecimalException as error:
        raise ValueError(f"the number does not fit decimal({precision},{scale})") from error
    if not number.is_finite():
        raise ValueError("the number is not finite")
    return number


@cache
def _exact(precision: int, scale: int) -> tuple[Context, Decimal]:
    """Return what decimals of a contract are rounded by, which nothing may need."""
    exact = Context(prec=precision, traps=[Inexact, InvalidOperation, Overflow])
    return exact, Decimal(1).scaleb(-scale)


def _to_list(value: Any, *, convert: Convert) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{name_of(value)} is not a list")
    if len(value) > LIST_LENGTH_MAX:
        raise ValueError(f"the list has more than {LIST_LENGTH_MAX} items")
    return [convert(item) for item in value]


def _to_map(value: Any, *, convert: Convert) -> dict[str, object]:
    # PHP writes an empty map as an empty list.
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name_of(value)} is not a map")
    if len(value) > LIST_LENGTH_MAX:
        raise ValueError(f"the map has more than {LIST_LENGTH_MAX} items")
    return {_to_text(name): convert(item) for name, item in value.items()}


def _to_record(value: Any, *, converts: Mapping[str, Convert]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{name_of(value)} is not a record")
    return {
        name: None if value.get(name) is None else convert(value[name])
        for name, convert in converts.items()
    }


_PLAIN: Final[Mapping[str, Convert]] = {
    "string": _to_text,
    "boolean": _to_boolean,
    "int": partial(_to_integer, bits=32),
    "long": partial(_to_integer, bits=64),
}
