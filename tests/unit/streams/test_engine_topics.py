"""Groups that would share a topic or a name are refused before anything starts."""

import pytest

from schemas.errors import ConfigError
from streams.engine import AgentSpec, Chunk, Effects, GroupSpec, State
from streams.engine.topics import check_groups


def handler(chunk: Chunk, state: State) -> Effects:
    return Effects()


def group(name: str, state_topic: str, *sources: str) -> GroupSpec:
    return GroupSpec(name, 1, [AgentSpec(source, handler) for source in sources], state_topic)


def test_distinct_groups_pass() -> None:
    check_groups([group("a", "sa", "t1", "t2"), group("b", "sb", "t3")])


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (group("a", "sb", "t3"), "group used more than once: a"),
        (group("b", "sa", "t3"), "state topic used more than once: sa"),
        (group("b", "sb", "t2"), "source topic used more than once: t2"),
        (group("b", "sb", "sa"), "both a source and a state topic: sa"),
    ],
)
def test_shared_names_are_refused(other: GroupSpec, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        check_groups([group("a", "sa", "t1", "t2"), other])
