"""The judge of `make prove-dispatch`: what it counts as doubled, and what as missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sandbox.vendors.effects import Effect
from tests.prove.dispatch_judge import Form, judge
from tests.prove.dispatch_plan import Step

PLANNER = "planner"
MADE = Effect(PLANNER, "project", "PRJ-A", "create", "c1", "")
DATED = Effect(PLANNER, "milestone", "PRJ-A", "create", "c2", "")
CHANGED = Effect(PLANNER, "project", "PRJ-A", "update", "c3", "")
DELETED = Effect(PLANNER, "project", "PRJ-A", "delete", "", "")
NAMES = {PLANNER: {"projects": "references.externalId", "milestones": "note", "people": None}}
HELD = {"projects": 1, "milestones": 1}
FORMS = {
    (PLANNER, "make"): Form(2, 2, HELD),
    (PLANNER, "make changed"): Form(1, 1, HELD),
    (PLANNER, "make_in_two"): Form(2, 1, {"projects": 2}),
    (PLANNER, "delete_it"): Form(1, 1, {}),
}
PROJECT = {"references": [{"externalId": "other"}, {"externalId": "prj-a"}]}
MILESTONE = {"note": "psastream prj-a"}


def step(form: str) -> Step:
    kind = form.removesuffix(" changed")
    return Step({"target": PLANNER, "kind": kind, "command_id": form}, "prj-a", form)


def books(projects: int = 1, milestones: int = 1) -> dict[str, Any]:
    rows = {"projects": [PROJECT] * projects, "milestones": [MILESTONE] * milestones, "people": []}
    return {PLANNER: rows}


def judged(effects: list[Effect], held: dict[str, Any], *forms: str) -> tuple[int, int]:
    """What is doubled and what is missing."""
    found = judge(effects, held, NAMES, FORMS, [[step(form) for form in forms]])[PLANNER]
    assert found.commands == len(forms)
    return found.duplicates, found.missing


def test_commands_whose_writes_are_there_once_are_right() -> None:
    assert judged([MADE, DATED], books(), "make") == (0, 0)
    assert judged([MADE, DATED, CHANGED], books(), "make", "make changed") == (0, 0)
    assert judged([MADE, DATED, DELETED], books(0, 0), "make", "delete_it") == (0, 0)


def test_a_write_that_came_before_is_doubled() -> None:
    assert judged([MADE, MADE, DATED], books(), "make") == (1, 0)
    assert judged([MADE, DATED, replace(DATED, operation="update")], books(), "make") == (1, 0)


def test_a_write_that_nobody_ordered_is_doubled() -> None:
    assert judged([MADE, DATED, CHANGED], books(), "make") == (1, 0)


@pytest.mark.parametrize(("projects", "milestones", "doubled"), [(2, 1, 1), (1, 2, 1), (3, 2, 3)])
def test_each_record_beside_the_first_of_its_table_is_doubled(
    projects: int, milestones: int, doubled: int
) -> None:
    assert judged([MADE, DATED], books(projects, milestones), "make") == (doubled, 0)


def test_a_record_that_was_to_be_deleted_is_doubled() -> None:
    assert judged([MADE, DATED, DELETED], books(1, 0), "make", "delete_it") == (1, 0)


def test_in_two_companies_the_same_write_is_two_and_a_third_is_doubled() -> None:
    assert judged([MADE, MADE], books(2, 0), "make_in_two") == (0, 0)
    assert judged([MADE, MADE, MADE], books(2, 0), "make_in_two") == (1, 0)
    assert judged([MADE, MADE], books(3, 0), "make_in_two") == (1, 0)
    assert judged([MADE, MADE], books(1, 0), "make_in_two") == (0, 1)


def test_a_command_is_missing_until_all_its_writes_are_there() -> None:
    assert judged([], books(0, 0), "make", "make changed") == (0, 2)
    assert judged([MADE], books(1, 0), "make", "make changed") == (0, 2)
    assert judged([MADE, DATED], books(), "make", "make changed") == (0, 1)


@pytest.mark.parametrize(("projects", "milestones"), [(0, 0), (1, 0), (0, 1)])
def test_a_record_that_is_gone_is_missing(projects: int, milestones: int) -> None:
    assert judged([MADE, DATED], books(projects, milestones), "make") == (0, 1)


def test_what_others_wrote_and_hold_does_not_count() -> None:
    others = [replace(MADE, external_id="prj-b"), replace(MADE, vendor="other")]
    held = books()
    held[PLANNER]["people"] = [{"note": "psastream prj-a"}]
    held[PLANNER]["projects"] = [*held[PLANNER]["projects"], {"references": []}, {}]
    assert judged([MADE, DATED, *others], held, "make") == (0, 0)
