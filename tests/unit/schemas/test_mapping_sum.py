"""`sum`: a decimal of the records in a list, added up."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from psastream.system import Tried, tried_row
from schemas.errors import ConfigError
from schemas.mapping.loader import load_system

TEXT = """
system: firm
vendor: rest
capture: polled
objects:
  item:
    kind: item
    key: id
    targets:
      - entity: payroll_cost
        fields:
          employer_taxes: {from: taxes, sum: amount, where: employer}
          employer_benefits: {from: taxes, sum: amount}
"""
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}
TAX = {
    "type": "record",
    "name": "Tax",
    "fields": [
        {"name": "employer", "type": ["null", "boolean"], "default": None},
        {"name": "amount", "type": ["null", MONEY], "default": None},
        {"name": "name", "type": ["null", "string"], "default": None},
    ],
}
CONTRACT = json.dumps(
    {
        "type": "record",
        "name": "Item",
        "namespace": "psa.source.firm",
        "fields": [
            {"name": "id", "type": ["null", "long"], "default": None},
            {"name": "taxes", "type": ["null", {"type": "array", "items": TAX}], "default": None},
        ],
    }
)


def tried(*taxes: tuple[bool | None, Any], text: str = TEXT) -> Tried:
    system = load_system(text, {"item": CONTRACT}, {})
    rows = [{"employer": who, "amount": amount, "name": "x"} for who, amount in taxes]
    return tried_row(system.mappings[0], system.contract("item"), {"id": 1, "taxes": rows})


def test_a_sum_is_exact_and_of_those_whose_field_is_true() -> None:
    made = tried((True, Decimal("0.10")), (True, Decimal("0.20")), (False, 5), (None, 7), (True, 0))
    assert made.refused is None
    assert made.records["payroll_cost"]["employer_taxes"] == Decimal("0.3000")
    assert made.records["payroll_cost"]["employer_benefits"] == Decimal("12.3000")


def test_of_no_record_the_sum_is_0() -> None:
    assert tried().records["payroll_cost"]["employer_taxes"] == Decimal("0.0000")


def test_a_sum_that_does_not_fit_refuses_its_row() -> None:
    made = tried(*[(True, Decimal("99999999999999.99"))] * 2)
    assert made.refused is not None and "employer_taxes" in made.refused


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sum: amount, where: employer", "sum: total", "sum has no field total"),
        ("where: employer", "where: name", "where: name is no truth value"),
        ("sum: amount, where: employer", "sum: name", "sum is for decimals"),
        ("from: taxes, sum: amount, where", "from: taxes, where", "`where` belongs to a `sum`"),
        ("from: taxes, sum: amount}", "from: id, sum: amount}", "sum is not for"),
    ],
)
def test_a_sum_that_is_none_is_told(old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_system(TEXT.replace(old, new), {"item": CONTRACT}, {})
