"""Whatever changes in a description is found, as what it is, and nothing is where nothing does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.polled.fingerprint import Difference, DriftKind, Fingerprint, differences
from connectors.toolkit.metadata import Described, Kind
from tests.support.examples import examples

AT = datetime(2026, 11, 29, 9, tzinfo=UTC)
brief = settings(max_examples=examples(40), deadline=None, database=None)

names = st.text("abcXYZ_", min_size=1, max_size=6)
labels = st.one_of(st.none(), st.sampled_from(["Stage", "Amount", "Tax"]))
values = st.one_of(st.none(), st.frozensets(st.text(max_size=4), max_size=4))
fields_of_a_type = st.builds(
    Described,
    st.sampled_from(["string", "picklist", "double"]),
    st.one_of(st.none(), st.sampled_from(Kind)),
    values,
    labels,
)
descriptions = st.dictionaries(
    names, st.one_of(st.none(), fields_of_a_type), min_size=1, max_size=8
)

Fields = dict[str, Described | None]
Mutated = tuple[Fields, Difference]


def add_value(fields: Fields, name: str, field: Described) -> Mutated:
    known = field.values or frozenset()
    new = "".join(sorted(known)) + "!"
    now = replace(field, values=known | {new})
    fields[name] = replace(field, values=known)
    return fields | {name: now}, Difference(name, DriftKind.NEW_VALUE, now=new)


def take_value(fields: Fields, name: str, field: Described) -> Mutated:
    known = field.values or frozenset()
    fields[name] = replace(field, values=known | {"?"} | frozenset("!"))
    now = replace(field, values=known - {"?"} | frozenset("!"))
    return fields | {name: now}, Difference(name, DriftKind.GONE_VALUE, was="?")


def change_type(fields: Fields, name: str, field: Described) -> Mutated:
    now = replace(field, type="datetime", values=None)
    return fields | {name: now}, Difference(name, DriftKind.CHANGED_TYPE, field.type, "datetime")


def take_field(fields: Fields, name: str, _: Described) -> Mutated:
    return without(fields, name), Difference(name, DriftKind.VANISHED)


def hide_field(fields: Fields, name: str, _: Described) -> Mutated:
    return fields | {name: None}, Difference(name, DriftKind.VANISHED)


def rename_field(fields: Fields, name: str, field: Described) -> Mutated:
    fields[name] = labelled = replace(field, label="The only one")
    new = f"{name}2"
    fields.pop(new, None)
    return without(fields, name) | {new: labelled}, Difference(name, DriftKind.RENAMED, name, new)


def add_field(fields: Fields, name: str, field: Described) -> Mutated:
    new = f"{name}2"
    fields.pop(new, None)
    return fields | {new: field}, Difference(new, DriftKind.NEW_FIELD, now=field.type)


MUTATIONS: tuple[Callable[[Fields, str, Described], Mutated], ...] = (
    add_value, take_value, change_type, take_field, hide_field, rename_field, add_field,
)  # fmt: skip


def without(fields: Mapping[str, Described | None], name: str) -> Fields:
    return {each: field for each, field in fields.items() if each != name}


def test_every_kind_of_difference_is_made_here() -> None:
    field = Described("picklist", Kind.TEXT, frozenset({"a"}), "Stage")
    made = {mutate({"f": field}, "f", field)[1].kind for mutate in MUTATIONS}
    assert made == set(DriftKind)


@brief
@given(descriptions, fields_of_a_type, st.data())
def test_each_mutation_is_found_as_what_it_is_and_as_nothing_else(
    accepted: Fields, field: Described, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(accepted)))
    accepted[name] = field
    mutate = data.draw(st.sampled_from(MUTATIONS))
    now, difference = mutate(accepted, name, field)
    assert differences(accepted, now, set(accepted)) == [difference]


@brief
@given(descriptions, st.data())
def test_the_same_in_any_order_is_no_difference(accepted: Fields, data: st.DataObject) -> None:
    now = dict(data.draw(st.permutations(list(accepted.items()))))
    assert differences(accepted, now, set(accepted)) == []
    here, there = (Fingerprint("s", "o", AT, "ada@desk", None, it) for it in (accepted, now))
    assert here.to_bytes() == there.to_bytes()


@brief
@given(descriptions, descriptions, st.sets(names))
def test_what_is_found_once_is_found_no_more_when_it_is_accepted(
    accepted: Fields, now: Fields, read: set[str]
) -> None:
    kept = Fingerprint.from_bytes(Fingerprint("s", "o", AT, "ada", "why", now).to_bytes())
    assert kept == Fingerprint("s", "o", AT, "ada", "why", now)
    assert differences(kept.fields, now, read) == []
    unread = [each for each in differences(accepted, now, read) if each.field not in read]
    assert {each.kind for each in unread} <= {DriftKind.NEW_FIELD}
