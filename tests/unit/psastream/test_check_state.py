"""A check of the state: what workers of this version will say of what is there."""

from __future__ import annotations

from psastream.check.state import state_findings
from psastream.verdict import Verdict
from streams.agents.own_measures import GROUP as MEASURES
from streams.engine import GroupSpec


def group(name: str, layout: int) -> GroupSpec:
    return GroupSpec(name=name, partitions=1, agents=(), state_topic=name, layout=layout)


def test_state_of_this_layout_and_none_are_no_matter() -> None:
    groups = [group("project", 5), group("rollup", 2)]

    found = list(state_findings({"project": frozenset({"1.5"})}, groups))

    assert [(each.subject, each.verdict, each.detail) for each in found] == [
        ("project", Verdict.OK, "has the layout 1.5"),
        ("rollup", Verdict.OK, "holds nothing yet"),
    ]


def test_state_of_another_layout_fails_with_what_to_do() -> None:
    """Also where only a partition has it, and where it is of a later version."""
    stored = {"project": frozenset({"1.5", "1.6"}), MEASURES: frozenset({"1.1"})}

    project, measures = state_findings(stored, [group("project", 5), group(MEASURES, 2)])

    assert (project.verdict, measures.verdict) == (Verdict.FAIL, Verdict.FAIL)
    assert "has the layout 1.6" in project.detail and "read 1.5" in project.detail
    assert "stop the dispatchers, then the workers; psastream rebuild project" in project.remedy
    assert "dispatchers" not in measures.remedy and "rebuild measures" in measures.remedy


def test_a_layout_that_was_not_seen_is_said() -> None:
    [found] = state_findings({"project": frozenset()}, [group("project", 5)])

    assert found.verdict is Verdict.SKIP
