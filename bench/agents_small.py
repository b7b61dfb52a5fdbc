"""The fold of work A record by record: the least that columns cost is more than a few rows do.

Decimals stay the bytes they are in Avro: a row is summed and kept without a Decimal being made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.codec.framing import HEADER_BYTES
from schemas.codec.record import AvroSchema, RecordCodec, load_schema

SMALL = 200
"""Up to so many records, one by one is faster than columns."""
SMALL_TOTALS = 250
"""Likewise of totals to publish."""

Amounts = npt.NDArray[np.int64]


Totals = dict[bytes, list[int]]


class Sums(NamedTuple):
    """Amounts to add, a row a key, in the order of the keys."""

    keys: list[bytes]
    amounts: Amounts


class Folded(NamedTuple):
    """What rows come to: the rows as they are kept, and what moves in either total."""

    kept: Sequence[bytes]
    margins: Sums
    partials: Sums


class RecordFold:
    """Folds single records of the full schema against kept rows of the narrow one."""

    def __init__(self, full: AvroSchema, narrow: AvroSchema) -> None:
        self._full = RecordCodec(without_decimals(full))
        self._narrow = RecordCodec(without_decimals(narrow))
        self._names = [field["name"] for field in narrow.parsed["fields"]]

    def __call__(self, new: Iterable[bytes], old: Iterable[bytes]) -> Folded:
        """Return what new framed values and the kept rows they replace come to."""
        rows = [self._full.decode(value[HEADER_BYTES:]) for value in new]
        kept = [self._narrow.encode({name: row[name] for name in self._names}) for row in rows]
        margins: Totals = {}
        partials: Totals = {}
        for row in rows:
            _add(row, 1, margins, partials)
        for value in old:
            _add(self._narrow.decode(value), -1, margins, partials)
        return Folded(kept, _sums(margins, 3), _sums(partials, 2))


def _add(row: dict[str, Any], sign: int, margins: Totals, partials: Totals) -> None:
    if row["status"] != "approved":
        return
    day: date = row["work_on"]
    hours = sign * unscaled(row["hours"])
    billable = hours if row["is_billable"] else 0
    revenue = billable * unscaled(row["bill_rate"])
    cost = hours * unscaled(row["cost_rate"])
    month = f"{row['project_ref']}|{day:%Y-%m}|{row['currency']}".encode()
    _accumulate(margins, month, (hours, revenue, cost))
    year, week, _ = day.isocalendar()
    _accumulate(partials, f"{row['resource_id']}|{year}-W{week:02d}".encode(), (billable, hours))


def _accumulate(sums: Totals, key: bytes, amounts: Sequence[int]) -> None:
    known = sums.setdefault(key, [0] * len(amounts))
    for at, amount in enumerate(amounts):
        known[at] += amount


def _sums(sums: Totals, width: int) -> Sums:
    keys = sorted(sums)
    return Sums(keys, np.array([sums[key] for key in keys], np.int64).reshape(-1, width))


def without_decimals(schema: AvroSchema) -> AvroSchema:
    """Return the schema with decimals as the bytes they are written in; the rest as it is."""

    def plain(definition: Any) -> Any:
        if isinstance(definition, list):
            return [plain(each) for each in definition]
        if not isinstance(definition, dict):
            return definition
        if definition.get("logicalType") == "decimal":
            return "bytes"
        return {name: plain(part) for name, part in definition.items()}

    return load_schema(json.dumps(plain(json.loads(schema.text))))


def unscaled(value: bytes) -> int:
    """Return a decimal, as Avro writes it, as an integer of its last place."""
    return int.from_bytes(value, "big", signed=True)


def written(amount: int) -> bytes:
    """Return an integer of the last place of a decimal as Avro writes it."""
    return amount.to_bytes(amount.bit_length() // 8 + 1, "big", signed=True)
