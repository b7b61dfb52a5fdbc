"""Whom ids mean, and what else bears their name."""

from __future__ import annotations

import pytest

from psastream.erasure import _is_of, person_of
from schemas.errors import ConfigError
from schemas.keys import encode_keys


def row(row_id: str, resource: str, address: str | None, name: str | None) -> dict[str, object]:
    return {"id": row_id, "resource_id": resource, "address_id": address, "name": name}


ROWS = [
    row("float:person:7", "res-7", "adr-ada", "Ada Lovelace"),
    row("runn:person:3", "res-3", "adr-ada", "A. Lovelace"),
    row("float:person:70", "res-70", "adr-bob", "Bob Babbage"),
    row("float:person:71", "res-71", None, "Bob Babbage"),
]


@pytest.mark.parametrize("given", ["float:person:7", "res-7", "adr-ada", "runn:person:3"])
def test_any_id_of_a_person_means_all_of_them(given: str) -> None:
    person = person_of([given], [], ROWS)
    assert person.ids == {"float:person:7", "res-7", "runn:person:3", "res-3", "adr-ada"}
    assert person.texts == {"Ada Lovelace", "A. Lovelace"}


def test_a_name_that_two_people_bear_tells_of_neither() -> None:
    assert person_of(["float:person:70"], ["bob@firm.example"], ROWS).texts == {"bob@firm.example"}


def test_who_is_not_known_any_more_is_forgotten_by_the_id_alone() -> None:
    assert person_of(["float:person:9"], [], ROWS).ids == {"float:person:9"}


def test_a_text_that_names_everybody_is_refused() -> None:
    with pytest.raises(ConfigError, match="too short"):
        person_of(["float:person:7"], ["A"], ROWS)


def test_a_dead_letter_of_their_own_row_is_theirs_and_no_other() -> None:
    person = person_of(["float:person:7"], [], ROWS)
    letter = {"topic": "src.float.person", "key": encode_keys(1, ("7",))[0]}
    assert _is_of(letter, person)
    assert not _is_of({**letter, "key": encode_keys(1, ("70",))[0]}, person)
    assert not _is_of({**letter, "topic": "src.float.project"}, person)
    assert not _is_of({**letter, "key": None}, person)
