"""Rows of an org: objects, their fields, soft deletion, unique fields. No HTTP, no queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

Value = str | int | bool | Decimal | datetime | None
Row = dict[str, Value]


class FieldType(Enum):
    """Type of a field, in the vendor's words."""

    ID = "id"
    STRING = "string"
    BOOLEAN = "boolean"
    NUMBER = "double"
    DATE = "date"
    DATETIME = "datetime"


COMMON: Final = {
    "Id": FieldType.ID,
    "IsDeleted": FieldType.BOOLEAN,
    "CreatedDate": FieldType.DATETIME,
    "LastModifiedDate": FieldType.DATETIME,
    "SystemModstamp": FieldType.DATETIME,
}
"""Fields of every object; the org sets them, and clients may not."""
NAME_MAX: Final = 80
_DELETIONS_KEPT = timedelta(days=15)
_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True, slots=True)
class OrgSchema:
    """What an org has: the fields of its objects, and how the ids of their rows begin.

    `parents`: fields that name a row of another object. `described`: types of fields where describe
    says more than how they are stored; `never_null`: those that no row lacks. `external_ids`: of an
    object, fields that are an external id and unique. `required`: of an object, what a client must
    set. `derived`: of an object, what clients may not set besides `COMMON`.
    """

    objects: Mapping[str, Mapping[str, FieldType]]
    key_prefixes: Mapping[str, str]
    parents: Mapping[str, Mapping[str, str]]
    described: Mapping[str, str] = field(default_factory=dict)
    never_null: frozenset[str] = frozenset()
    external_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    derived: Mapping[str, frozenset[str]] = field(default_factory=dict)


class OrgBooks:
    """All rows of an org. A deleted row stays, flagged, until the recycle bin is purged."""

    schema: ClassVar[OrgSchema]

    def __init__(self, clock: VendorClock) -> None:
        self._clock = clock
        self._tables: dict[str, dict[str, Row]] = {name: {} for name in self.schema.objects}
        self._deletions: dict[str, dict[str, datetime]] = {name: {} for name in self.schema.objects}
        self._sequence = itertools.count(1)
        self.deletions_kept_since = clock.stamp() - _DELETIONS_KEPT

    def table(self, record_type: str) -> Iterator[Row]:
        """Rows of an object, deleted ones included. Raises UnknownRowError."""
        return iter(self._table(record_type).values())

    def deletions(self, record_type: str) -> dict[str, datetime]:
        """Deletion log of an object: id → instant."""
        return dict(self._deletions[record_type])

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {
            name: [present(row) for row in table.values()] for name, table in self._tables.items()
        }

    def create(self, record_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row; an explicit `SystemModstamp` in the past makes a late-visible row."""
        table = self._table(record_type)
        row: Row = dict.fromkeys(self.schema.objects[record_type])
        row |= self.defaults(record_type) | self._checked(record_type, values)
        stamp = row["SystemModstamp"] or self._clock.stamp()
        row |= {
            "Id": row["Id"] or self._make_id(record_type, next(self._sequence)),
            "IsDeleted": bool(row["IsDeleted"]),
            "CreatedDate": row["CreatedDate"] or stamp,
            "LastModifiedDate": row["LastModifiedDate"] or stamp,
            "SystemModstamp": stamp,
        }
        self._check_parents(record_type, row)
        table[str(row["Id"])] = row
        self._derive(record_type, row)
        return present(row)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields and move the stamp, to an explicit one where `values` has it."""
        row = self.row(record_type, row_id)
        changes = self._changes(row, self._checked(record_type, values))
        self._check_parents(record_type, changes)
        row |= changes
        self._touch(row, changes.get("SystemModstamp"))
        self._derive(record_type, row)
        return present(row)

    def delete(self, record_type: str, row_id: str) -> None:
        """Move a row, and those that live below it, to the recycle bin."""
        row = self.row(record_type, row_id)
        if row["IsDeleted"]:
            return
        row["IsDeleted"] = True
        self._touch(row, None)
        self._deletions[record_type][row_id] = self._clock.stamp()
        self._delete_below(record_type, row_id)
        self._derive(record_type, row)

    def purge(self) -> int:
        """Empty the recycle bin; the number of rows that went."""
        gone = 0
        for table in self._tables.values():
            for row_id in [row_id for row_id, row in table.items() if row["IsDeleted"]]:
                del table[row_id]
                gone += 1
        return gone

    def prune_deletions(self) -> None:
        """Forget the deletion log, as the vendor's background job does."""
        self.deletions_kept_since = self._clock.stamp()
        for log in self._deletions.values():
            log.clear()

    def row(self, record_type: str, row_id: str) -> Row:
        """A row, deleted or not. Raises UnknownRowError."""
        row = self._table(record_type).get(row_id)
        if row is None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return row

    def bearing(self, record_type: str, name: str, value: str) -> list[Row]:
        """Rows that are not deleted and have this text in a field, whatever its case."""
        return [
            row
            for row in self.table(record_type)
            if not row["IsDeleted"] and str(row[name] or "").casefold() == value.casefold()
        ]

    def settle(self) -> None:
        """Do what the org does by itself in the background and is due by now."""

    def defaults(self, record_type: str) -> Row:
        """Values of a new row's fields that nobody sets."""
        return {}

    def _derive(self, record_type: str, row: Row) -> None:
        """Set what follows from a row that was made, changed or deleted."""

    def _changes(self, row: Row, changes: Row) -> Row:
        """What of a change the org takes. Raises InvalidRowError for what it refuses."""
        return changes

    def _delete_below(self, record_type: str, row_id: str) -> None:
        """Delete what a deleted row takes along."""

    def _table(self, record_type: str) -> dict[str, Row]:
        if record_type not in self._tables:
            raise UnknownRowError(f"no object {record_type}")
        return self._tables[record_type]

    def _check_parents(self, record_type: str, values: Row) -> None:
        for name, parent in self.schema.parents.get(record_type, {}).items():
            if name in values and values[name] not in self._tables[parent]:
                raise InvalidRowError(f"{name} {values[name]} names no {parent}")

    def _touch(self, row: Row, stamp: Value) -> None:
        row["SystemModstamp"] = row["LastModifiedDate"] = stamp or self._clock.stamp()

    def _checked(self, record_type: str, values: Mapping[str, Any]) -> Row:
        fields = self.schema.objects[record_type]
        unknown = sorted(values.keys() - fields.keys())
        if unknown:
            raise InvalidRowError(f"{record_type} has no field {', '.join(unknown)}")
        try:
            return {name: typed(fields[name], value) for name, value in values.items()}
        except (ValueError, ArithmeticError) as error:
            raise InvalidRowError(f"{record_type}: {error}") from error

    def _make_id(self, record_type: str, number: int) -> str:
        return with_suffix(f"{self.schema.key_prefixes[record_type]}TW{number:010d}")


def present(row: Row) -> dict[str, Any]:
    """A row as the API shows it."""
    return {name: _shown(value) for name, value in row.items()}


def _shown(value: Value) -> Any:
    if isinstance(value, datetime):
        return format_instant(value)
    return value


def format_instant(instant: datetime) -> str:
    """`2026-01-31T08:00:00.000+0000`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def parse_instant(text: str) -> datetime:
    """Inverse of `format_instant`, also for `Z` and other offsets. Raises ValueError."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs a zone")
    return instant


def number(value: Value) -> Decimal:
    """A number as an exact one."""
    return Decimal(str(value))


def typed(field_type: FieldType, value: Any) -> Value:
    """A value as it is stored. Raises ValueError, ArithmeticError."""
    if value is None:
        return None
    match field_type:
        case FieldType.DATETIME:
            return parse_instant(value).replace(microsecond=0)
        case FieldType.DATE:
            return date.fromisoformat(value).isoformat()
        case FieldType.NUMBER:
            return Decimal(str(value))
        case FieldType.BOOLEAN:
            return bool(value)
        case FieldType.ID | FieldType.STRING:
            return str(value)


def with_suffix(core: str) -> str:
    """A record id: 15 case-sensitive characters and 3 that make it safe to compare without case."""
    suffix = "".join(
        _ID_ALPHABET[sum(core[start + bit].isupper() << bit for bit in range(5))]
        for start in (0, 5, 10)
    )
    return core + suffix
