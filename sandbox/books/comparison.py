"""Compares two sets of tables, row by row and field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Table = Mapping[str, Mapping[str, Any]]
Tables = Mapping[str, Table]

WHOLE_ROW: Final = "(row)"
ABSENT: Final = "absent"
ROW_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """One field, or one whole row, that is not as expected."""

    table: str
    key: str
    field: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.table} {self.key} {self.field}: {self.expected}, not {self.actual}"


def compare(expected: Tables, actual: Tables) -> list[Difference]:
    """Return every difference of the expected tables, missing and surplus rows included.

    Only the fields of an expected row are compared, and only tables that are expected.
    """
    differences: list[Difference] = []
    for table in expected:
        differences += _compare_table(table, expected[table], actual.get(table, {}))
    return differences


def _compare_table(name: str, expected: Table, actual: Table) -> list[Difference]:
    differences = []
    for key in sorted(expected.keys() | actual.keys()):
        if key not in actual:
            differences.append(Difference(name, key, WHOLE_ROW, _short(expected[key]), ABSENT))
        elif key not in expected:
            differences.append(Difference(name, key, WHOLE_ROW, ABSENT, _short(actual[key])))
        else:
            differences += [
                Difference(name, key, field, str(value), str(actual[key].get(field, ABSENT)))
                for field, value in expected[key].items()
                if actual[key].get(field, ABSENT) != value
            ]
    return differences


def _short(row: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in row.items() if value is not None)
    return text if len(text) <= ROW_CHARACTERS_MAX else f"{text[:ROW_CHARACTERS_MAX]}…"
