"""What of a record differs from what is wanted, and how a person is shown it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from connectors.dispatch.content import SHOWN_MAX, differences, holds


@pytest.mark.parametrize(
    ("held", "wanted", "said"),
    [
        ({"name": "Tern", "more": 1}, {"name": "Tern"}, []),
        ({"name": "Tern"}, {"name": "Tern Ltd"}, ["name: Tern → Tern Ltd"]),
        ({}, {"name": "Tern"}, ["name: none → Tern"]),
        ({"name": "Tern"}, {"name": None}, ["name: Tern → none"]),
        ({"hours": "7.5"}, {"hours": Decimal("7.50")}, []),
        ({"hours": "7"}, {"hours": Decimal("7.50")}, ["hours: 7 → 7.50"]),
        ({"hours": 1}, {"hours": Decimal("1E+3")}, ["hours: 1 → 1000"]),
        (
            {"parent": {"id": "7", "refName": "Tern"}},
            {"parent": {"id": "8"}},
            ["parent: id 7, refName Tern → id 8"],
        ),
        ({"a": 1, "b": 2}, {"a": 2, "b": 3}, ["a: 1 → 2", "b: 2 → 3"]),
    ],
)
def test_what_differs_is_told_field_by_field(
    held: Mapping[str, object], wanted: Mapping[str, object], said: list[str]
) -> None:
    assert [str(each) for each in differences(held, wanted)] == said
    assert holds(held, wanted) is (said == [])


def test_a_long_value_is_cut() -> None:
    [told] = differences({"notes": "x" * 10_000}, {"notes": "y"})
    assert str(told) == f"notes: {'x' * SHOWN_MAX}… → y"
