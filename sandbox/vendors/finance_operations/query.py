"""Questions to a list of the ERP: filters, orders, selections. Pure.

Texts are compared without case, and `*` in one stands for anything. Enumerations are named by their
type, and only equal or not. Other operators of OData, as `in` and `has`, are not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from sandbox.vendors.finance_operations.books import Kind, Row, Table
from sandbox.vendors.finance_operations.errors import misunderstood

_TERM: Final = re.compile(
    r"(?P<name>\w+) (?P<operator>eq|ne|gt|ge|lt|le)"
    r" (?P<literal>'(?:[^']|'')*'|[\w.]+'\w*'|[\w.:-]+)"
)
_ENUM: Final = re.compile(r"Microsoft\.Dynamics\.DataEntities\.\w+'(\w*)'")
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": lambda held, wanted: held > wanted,
    "ge": lambda held, wanted: held >= wanted,
    "lt": lambda held, wanted: held < wanted,
    "le": lambda held, wanted: held <= wanted,
}


def matching(table: Table, rows: Sequence[Row], filter_: str) -> list[Row]:
    """Return the rows that fit terms joined by `and`, or by `or`.

    Raises FinanceOperationsError for another filter, and for a field that is not there.
    """
    if not filter_:
        return list(rows)
    join = all if " or " not in filter_ else any
    terms = re.split(" or | and ", filter_)
    found = [_TERM.fullmatch(term) for term in terms]
    if (join is any and " and " in filter_) or not all(found):
        raise misunderstood("Syntax error in the filter.")
    tests = [_test(table, **term.groupdict()) for term in found if term is not None]
    return [row for row in rows if join(test(row) for test in tests)]


def ordered(table: Table, rows: Sequence[Row], order: str) -> list[Row]:
    """Return the rows in an order: `Name, Name desc`. Raises FinanceOperationsError."""
    found = list(rows)
    for term in reversed([each.split() for each in order.split(",") if each.strip()]):
        name, *way = term
        require(table, name)
        if way not in ([], ["asc"], ["desc"]):
            raise misunderstood("Syntax error in the order.")
        found.sort(key=lambda row: _comparable(row[name]), reverse=way == ["desc"])
    return found


def require(table: Table, name: str) -> None:
    """Raise FinanceOperationsError for a field that is not there, or for its name in other case."""
    if name.startswith("_") or (name != "dataAreaId" and name not in table.fields):
        raise misunderstood(f"Could not find a property named '{name}'.")


def _test(table: Table, name: str, operator: str, literal: str) -> Callable[[Row], bool]:
    require(table, name)
    kind = table.fields.get(name, Kind.CODE)
    enum = _ENUM.fullmatch(literal)
    if kind.is_enum is not (enum is not None) or (kind.is_enum and operator not in ("eq", "ne")):
        raise misunderstood(
            f"A binary operator with incompatible types was detected: '{operator}'."
        )
    wanted = enum[1] if enum else _value(kind, literal)
    if operator in _ORDERS:
        compare = _ORDERS[operator]
        return lambda row: compare(_comparable(row[name]), _comparable(wanted))
    is_equal = _equal(wanted)
    return lambda row: is_equal(row[name]) is (operator == "eq")


def _equal(wanted: object) -> Callable[[object], bool]:
    if not isinstance(wanted, str):
        return lambda held: held == wanted
    pattern = ".*".join(re.escape(part) for part in wanted.split("*"))
    found = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda held: isinstance(held, str) and found.fullmatch(held) is not None


def _value(kind: Kind, literal: str) -> object:
    if kind in (Kind.DECIMAL, Kind.HOURS):
        if not re.fullmatch(r"-?\d+(\.\d+)?", literal):
            raise misunderstood("A binary operator with incompatible types was detected.")
        return Decimal(literal)
    if kind is Kind.DAY:
        return literal
    if not literal.startswith("'"):
        raise misunderstood(f"Could not find a property named '{literal}'.")
    return literal[1:-1].replace("''", "'")


def _comparable(value: object) -> Any:
    return value.lower() if isinstance(value, str) else value
