"""Paths into an answer."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.rest.paths import ABSENT, at, steps

ROW = {
    "references": [
        {"name": "crm", "id": "006"},
        {"name": "our own.key", "id": "eng-1"},
        {"name": "crm", "id": "007"},
        {"name": 7, "id": 8},
    ]
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("references.[name=crm].id", "006"),
        ("references.[name=our own.key].id", "eng-1"),
        ("references.[name=7].id", 8),
        ("references.[name=erp].id", None),
        ("references.[name=crm].kind", ABSENT),
        ("references.[title=crm].id", None),
        ("references.1.id", "eng-1"),
    ],
)
def test_a_record_of_a_list_is_named_by_a_field(path: str, found: object) -> None:
    assert at(ROW, path) == found


@pytest.mark.parametrize("value", [[7], ["crm", {"name": "crm", "id": 1}], {"name": "crm"}, True])
def test_what_is_no_list_of_records_has_none(value: Any) -> None:
    assert at({"references": value}, "references.[name=crm].id") is ABSENT


def test_null_and_an_empty_list_have_none() -> None:
    for value in (None, []):
        assert at({"references": value}, "references.[name=crm].id") is None


def test_a_field_that_is_named_is_one_step() -> None:
    assert steps('a.[b=c d.e]."@f.g".0') == ["a", "[b=c d.e]", "@f.g", "0"]
