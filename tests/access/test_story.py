"""The whole product on a broker that refuses what no rule allows. `make verify-access`.

A story is told, people give their commands, workers and dispatchers come back to their state:
everything works, the books agree, nothing is refused, and without each rule something would be.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from psastream.access.rights import Operation, Resource, Rule
from tests.access.decisions import told, unused
from tests.access.guarded import GuardedStory, tell_story
from tests.support.catalogue import OF_NO_SYSTEM
from tests.support.eventually import eventually

pytestmark = pytest.mark.stack

READER = (
    ("sql", "SELECT project, month, margin FROM margin_by_project_month"),
    ("export", "--format", "csv", "FOLDER/tables"),
    ("topics", "read", "psa.exception"),
    ("commands", "list", "--json"),
    ("exceptions", "list", "--json"),
    ("dlq", "list"),
)
OPERATOR = (
    ("status", "--json"),
    ("prove", "accounting"),
    ("waiting",),
    ("topics", "read", "src.float.person"),
    ("exceptions", "retry", "--target", "netsuite"),
    ("commands", "stop", "netsuite", "--kind", "upsert_time_bill", "--note", "wrong rates"),
    ("commands", "start", "netsuite", "--kind", "upsert_time_bill", "--yes"),
    *(("connectors", "sweep", system) for system in ("salesforce", "netsuite", "float")),
    ("connectors", "status", "float"),
    ("dlq", "release", "--topic", "src.inhouse.time_entries", "--yes"),
    *READER,
)
DEPLOYER = (("topics", "apply"), ("check",))
MAINTAINER = (("rebuild", "rollup"), ("reread", "psa.internal.partial"))
STOPPED = (
    "worker",
    "dispatcher-netsuite",
    "dispatcher-float",
    "poller-salesforce",
    "poller-netsuite",
    "poller-float",
)
OPTIONAL = {
    # Connect asks to make its own topics, and goes on with those that are there.
    ("psastream-connect", "CREATE", f"psastream-connect-{each}")
    for each in ("configs", "offsets", "status")
}
"""What is refused, and nobody misses."""


@pytest.fixture(scope="module")
def story() -> Iterator[GuardedStory]:
    with tell_story() as story:
        for user, commands in (
            ("psastream-operator", OPERATOR),  # first: then there is a decision to be read
            ("psastream-reader", READER),
            ("psastream-deployer", DEPLOYER),
        ):
            for command in commands:
                story.ask(user, *command)
        begun = {name: story.beginnings(name) for name in STOPPED}
        for name in STOPPED:
            story.stack.stop(name)
        for command in MAINTAINER:
            story.ask("psastream-maintainer", *command)
        shutil.rmtree(story.folder / "data" / "worker")  # so that it is restored from its logs
        for name in STOPPED:
            story.stack.restart(name)
        eventually(
            lambda: all(story.beginnings(name) > begun[name] for name in STOPPED), deadline_s=120
        )
        yield story


def test_the_books_agree(story: GuardedStory) -> None:
    assert story.audit.differences == []


def test_nothing_is_refused_that_somebody_needs(story: GuardedStory) -> None:
    refused = {
        (each.user, each.operation, each.name) for each in story.decisions() if not each.is_allowed
    }

    assert refused <= OPTIONAL


def test_without_each_rule_something_would_be_refused(story: GuardedStory) -> None:
    found = unused(story.guard.users, story.decisions())

    idle = {
        user: {rule for rule in rules if not is_justified(user, rule)}
        for user, rules in found.items()
    }
    lines = list(told(idle))
    assert not lines, "\n".join(lines)


def test_who_leads_the_dispatchers_sees_the_commands_of_all(story: GuardedStory) -> None:
    asked = {(each.user, each.name) for each in story.decisions() if each.is_allowed}

    assert asked & {
        ("psastream-dispatcher-float", "psa.command.netsuite"),
        ("psastream-dispatcher-netsuite", "psa.command.float"),
    }


def is_justified(user: str, rule: Rule) -> bool:
    """Whether a story need not use a rule that is needed all the same."""
    if rule.operation is Operation.WRITE and rule.name == "psa.dlq":
        return True  # records and rows that cannot be processed: most stories have none of a kind
    if user.startswith("psastream-dispatcher-"):
        if rule.operation is Operation.DESCRIBE and rule.name.startswith("psa.command."):
            return True  # whichever leads the group asks
        if rule.operation is Operation.WRITE and rule.name == "psa.exception":
            return True  # of a target that refuses nothing
    if user == "psastream-operator" and rule.operation is Operation.WRITE:
        return rule.name.startswith("src.")  # any record may be one that is released
    if user == "psastream-maintainer":
        return rule.resource is Resource.TOPIC  # any group and topic may be one that is anew
    reads = user in ("psastream-reader", "psastream-operator") and rule.operation is Operation.READ
    return reads and rule.name in OF_NO_SYSTEM  # of an empty topic nothing is read
