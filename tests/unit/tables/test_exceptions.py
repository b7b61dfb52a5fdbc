"""Exceptions of tables: whose they are, and what becomes of them when a group begins anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tables.foundation.exceptions import Subject, take_back

AT = datetime(2026, 3, 2, tzinfo=UTC)


def row(exception_id: str, **fields: Any) -> dict[str, Any]:
    told = {"system": "float", "kind": "k", "natural_key": "n", "correlation_id": "c"}
    return {
        "exception_id": exception_id,
        "status": "open",
        "command_id": None,
        "detail": "it is so",
        "raised_at": datetime(2026, 1, 1, tzinfo=UTC),
        **told,
        **fields,
    }


@pytest.mark.parametrize(
    ("group", "ids"),
    [
        ("engagement", ["engagement:eng-1-de", "biller:eng-1-de", "unshown:netsuite:project:x"]),
        ("project", ["billing:inhouse:time_entry:1|inhouse:project:2", "person:res-1"]),
        ("customer", []),
    ],
)
def test_a_group_that_begins_anew_takes_back_what_it_has_told_and_nothing_else(
    group: str, ids: list[str]
) -> None:
    rows = [
        row("engagement:eng-1-de"),
        row("biller:eng-1-de"),
        row("unshown:netsuite:project:x"),
        row("unshown:netsuite:project:y", status="resolved"),
        row("billing:inhouse:time_entry:1|inhouse:project:2"),
        row("person:res-1"),
        row("netsuite:netsuite:project:eng-1-de", command_id="cmd-1"),
        row("billing:netsuite:project:eng-1-de", command_id="cmd-2"),  # of a system of that name
    ]
    told = take_back(rows, group, AT)
    assert [record["exception_id"] for record in told] == ids
    for record in told:
        assert (record["status"], record["raised_at"]) == ("resolved", AT)
        assert (record["system"], record["kind"], record["natural_key"]) == ("float", "k", "n")


def test_an_exception_of_no_group_is_no_subject() -> None:
    with pytest.raises(AssertionError, match="stray:1"):
        Subject("stray:1", "float", "k", "n", None)
