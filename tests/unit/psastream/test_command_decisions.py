"""What people decide about commands: what is said before it is done, and what is kept of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.dispatch.decisions import Decision, Stops, Verb, read_decision
from psastream.command_decisions import lines_of_start, record_of, said_of
from psastream.people import who
from schemas.errors import ConfigError

AT = datetime(2026, 11, 29, 9, tzinfo=UTC)
WHOLE = Decision(Verb.STOPPED, "netsuite", None, "bob@desk", AT)
OF_KIND = Decision(Verb.STOPPED, "netsuite", "upsert_project", "ada@desk", AT, "wrong rates")
ELSEWHERE = Decision(Verb.STOPPED, "float", None, "bob@desk", AT)


def test_a_stop_says_what_who_since_when_and_why() -> None:
    assert said_of(OF_KIND) == (
        "upsert_project of netsuite is stopped since 2026-11-29T09:00:00Z by ada@desk: wrong rates"
    )
    assert said_of(Decision(Verb.STOPPED, "float")) == "float is stopped by somebody"


def test_what_is_written_is_what_dispatchers_read_and_names_who_decided() -> None:
    first, second = (
        record_of(Verb.STOPPED, "netsuite", "upsert_project", "wrong rates", at=AT)
        for _ in range(2)
    )
    assert read_decision(first) == Decision(
        Verb.STOPPED, "netsuite", "upsert_project", who(), AT, "wrong rates"
    )
    assert first["decision_id"] != second["decision_id"]  # so that none replaces another


def test_a_start_lifts_the_same_stop_and_tells_which_stay() -> None:
    stops = Stops([WHOLE, OF_KIND, ELSEWHERE])
    assert lines_of_start(stops, "netsuite", None) == [
        said_of(WHOLE),
        "netsuite: its commands are sent, those that wait first",
        f"stays: {said_of(OF_KIND)}",
    ]
    assert lines_of_start(stops, "netsuite", "upsert_project") == [
        said_of(OF_KIND),
        f"stays: {said_of(WHOLE)}",
    ]
    assert lines_of_start(Stops([OF_KIND]), "netsuite", "upsert_project") == [
        said_of(OF_KIND),
        "upsert_project of netsuite: its commands are sent, those that wait first",
    ]


@pytest.mark.parametrize(
    ("stops", "kind", "hint"),
    [
        (Stops([WHOLE]), "upsert_project", "netsuite is stopped since"),
        (Stops([OF_KIND]), None, "upsert_project of netsuite is stopped since"),
        (Stops([ELSEWHERE]), None, "its file starts"),
    ],
)
def test_what_is_not_stopped_is_not_started_and_what_is_is_told(
    stops: Stops, kind: str | None, hint: str
) -> None:
    with pytest.raises(ConfigError, match="netsuite is not stopped") as error:
        lines_of_start(stops, "netsuite", kind)
    assert hint in str(error.value.hint)
