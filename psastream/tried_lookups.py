"""What a row that is tried looks up: given beside it, since no other row is at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from schemas.errors import ConfigError
from schemas.mapping.declared import clock_time
from schemas.mapping.lookups import Lookup

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"ms": timedelta(milliseconds=1), "us": timedelta(microseconds=1)}


def tried_lookups(
    lookups: Sequence[Lookup], change: pl.DataFrame, given: Mapping[str, Any]
) -> tuple[pl.DataFrame | None, str | None]:
    """Return the columns of what one row finds, and why it waits.

    `given` are columns by lookup. Raises ConfigError for what is no such column.
    """
    frames, waits = [], None
    for lookup in lookups:
        columns = given.get(lookup.name)
        frames.append(lookup.found([_texts(lookup, columns)])[0])
        [begins] = change.select(lookup.begins).to_series()
        if columns is None and begins is not None and not lookup.is_optional:
            waits = waits or f"{lookup.name} is not given, of {begins}"
    return (pl.concat(frames, how="horizontal") if frames else None), waits


def _texts(lookup: Lookup, columns: Any) -> dict[str, str | None]:
    if columns is None:
        return {}
    if not isinstance(columns, dict) or not columns.keys() <= lookup.columns.keys():
        raise ConfigError(
            f"{lookup.name} is no object with columns among {', '.join(lookup.columns)}",
            hint="give what the row looks up under the name of the lookup; one that is called as a "
            "field of the row needs another name",
        )
    return {
        name: _text(f"{lookup.name}.{name}", columns.get(name), dtype)
        for name, dtype in lookup.columns.items()
    }


def _text(  # noqa: PLR0911 - one return for each type
    name: str, value: object, dtype: pl.DataType
) -> str | None:
    """A value as people write it, as the text that stands for it in a projection."""
    try:
        match value, dtype:
            case None, _:
                return None
            case bool(), pl.Boolean():
                return str(int(value))
            case str(), pl.Date():
                return str((date.fromisoformat(value) - _EPOCH.date()).days)
            case str(), pl.Datetime():
                instant = datetime.fromisoformat(value)
                instant = instant.replace(tzinfo=instant.tzinfo or UTC)
                return str((instant - _EPOCH) // _UNITS[dtype.time_unit])
            case str(), pl.Duration():
                return str(clock_time(value) // _UNITS["us"])
            case ((int() | Decimal()), _) if dtype.is_numeric() and not isinstance(value, bool):
                return format(value, "f") if isinstance(value, Decimal) else str(value)
            case str(), _ if dtype == pl.String or isinstance(dtype, pl.Decimal):
                return value
            case _:
                raise ValueError
    except ValueError as error:
        raise ConfigError(
            f"{name} is no {dtype}: {value!r}", hint="write it as the column has it"
        ) from error
