"""From a row as an API tells it to the fields of its contract."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from connectors.polled.answers import name_of, read_instant
from connectors.polled.conversion import Layout
from connectors.rest.declaration import Expand, ObjectConfig, StampForm
from connectors.rest.paths import ABSENT, at, steps
from schemas.errors import SchemaMismatchError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
OUTER: Final = "outer."
"""Before the name of a field of the row around a list: no column of a contract has a dot."""
_UNITS: Final = {
    StampForm.EPOCH_SECONDS: timedelta(seconds=1),
    StampForm.EPOCH_MILLISECONDS: timedelta(milliseconds=1),
}


def layout_of(obj: ObjectConfig, keys: tuple[str, ...], deleted_field: str | None) -> Layout:
    """Which columns of a row carry its id, its time of change and its deletion."""
    stamps = obj.incremental
    return Layout(
        keys,
        modified_fields=stamps.cursor_columns if stamps else (),
        deleted_field=deleted_field,
        null_is_absent=obj.null_is_absent,
        ignored=frozenset({*obj.unused, *(steps(path)[0] for path in obj.columns.values())}),
        optional=frozenset(obj.optional),
        read_stamp=partial(instant, form=stamps.reads if stamps else StampForm.ISO8601),
    )


def flat(row: Any, columns: Mapping[str, str]) -> Any:
    """Return a row with its nested columns as fields; one that is not there stays absent."""
    if not columns or not isinstance(row, dict):
        return row
    found = {column: at(row, path) for column, path in columns.items()}
    return row | {column: value for column, value in found.items() if value is not ABSENT}


def items_of(row: Any, obj: ObjectConfig) -> list[Any]:
    """Return the rows of an object that a row of the answer holds: itself, or items of its list.

    One whose list is missing, or no list, stands for itself as a row that cannot be read.
    """
    if obj.expand is None or not isinstance(row, dict):
        return [flat(row, obj.columns)]
    items = at(row, obj.expand.path)
    if items is None:
        return []
    if not isinstance(items, list):
        return [[row]]
    return [_within(row, flat(item, obj.columns), obj.expand) for item in items]


def require_lists(rows: Sequence[Any], obj: ObjectConfig) -> None:
    """Raises SchemaMismatchError where no row of a page has the list that is to be expanded."""
    found = [row for row in rows if isinstance(row, dict)]
    if obj.expand is None or not found:
        return
    if all(at(row, obj.expand.path) is ABSENT for row in found):
        raise SchemaMismatchError(
            f"rows of {obj.path} came without {obj.expand.path}",
            hint="check the integration user's field rights; absent is not empty",
        )


def _within(row: Any, item: Any, expand: Expand) -> Any:
    if not isinstance(item, dict):
        return item
    found = {column: at(row, path) for column, path in expand.outer.items()}
    read = {steps(path)[0] for path in (expand.path, *expand.outer.values())}
    others = {f"{OUTER}{name}": value for name, value in row.items() if name not in read}
    return item | others | {name: value for name, value in found.items() if value is not ABSENT}


def instant(value: object, form: StampForm) -> datetime:
    """Return the instant that a row tells. Raises ValueError."""
    unit = _UNITS.get(form)
    if unit is None and isinstance(value, int) and not isinstance(value, bool):
        raise ValueError("a number is not a time, unless `reads` of rest.yaml says how it is one")
    if unit is None:
        return read_instant(value)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name_of(value)} is not a time since 1970")
    try:
        return _EPOCH + value * unit
    except OverflowError as error:
        raise ValueError("the number is not a time between the years 1 and 9999") from error


def select(body: Any, path: str | None) -> list[Any] | None:
    """Return the rows of an answer, None where it holds no list at the path."""
    found = body if path is None else at(body, path)
    return found if isinstance(found, list) else None


def referred(body: Any, references: list[Any], path: str) -> list[Any] | None:
    """Return the rows that references name, None where one leads nowhere.

    Each step of the path is a name, or a field of the reference in braces.
    """
    found = [_at(body, reference, path) for reference in references]
    return None if any(row is ABSENT for row in found) else found


def _at(body: Any, reference: Any, path: str) -> Any:
    row = body
    for step in path.split("."):
        name = _FIELD.sub(lambda field: _text(at(reference, field[1])), step)
        row = row.get(name, ABSENT) if isinstance(row, dict) else ABSENT
    return row


def _text(value: Any) -> str:
    is_plain = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if is_plain else ""


_FIELD: Final = re.compile(r"\{([^{}]+)\}")
