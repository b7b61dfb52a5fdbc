"""A right that was withdrawn: who lacks it names it, and works again once it is back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from psastream.access.rights import Operation, Resource, Rule
from tests.access.guarded import Guarded, at_work
from tests.support.eventually import eventually

pytestmark = pytest.mark.stack

TOPIC, GROUP, TRANSACTIONS = Resource.TOPIC, Resource.GROUP, Resource.TRANSACTIONAL_ID
READ, WRITE, DESCRIBE = Operation.READ, Operation.WRITE, Operation.DESCRIBE
PROCESSES = (
    ("worker", Rule(TOPIC, "src.float.person", False, READ)),
    ("worker", Rule(GROUP, "psastream", False, READ)),
    ("worker", Rule(TRANSACTIONS, "psastream-worker-", True, WRITE)),
    ("dispatcher-float", Rule(TOPIC, "psa.command.float", False, READ)),
    ("dispatcher-float", Rule(GROUP, "psastream-dispatch", False, READ)),
    ("poller-float", Rule(TOPIC, "psastream-bookmarks", False, READ)),
    ("poller-float", Rule(TOPIC, "psastream-source-orders", False, READ)),
    ("poller-float", Rule(TRANSACTIONS, "psastream-source-float", False, WRITE)),
)
COMMANDS = (
    ("operator", ("status",), Rule(GROUP, "psastream", False, DESCRIBE)),
    ("reader", ("dlq", "list"), Rule(TOPIC, "psa.dlq", False, READ)),
    ("reader", ("topics", "read", "psa.resource"), Rule(TOPIC, "psa.resource", False, READ)),
    (
        "reader",
        ("sql", "SELECT count(*) FROM margin_by_project_month"),
        Rule(TOPIC, "psa.metric.project_margin", False, READ),
    ),
    (
        "maintainer",
        ("reread", "psa.internal.partial"),
        Rule(GROUP, "psastream-dispatch", False, DESCRIBE),
    ),
)
SAID_S = 60.0
AT_WORK_S = 120.0


@pytest.fixture(scope="module")
def firm() -> Iterator[Guarded]:
    with at_work() as firm:
        for process in ("worker", "dispatcher-float", "poller-float"):
            eventually(lambda name=process: firm.beginnings(name), deadline_s=AT_WORK_S)
        # Who may not read orders does not meet that before there is one.
        code, said = firm.tried("psastream-operator", "connectors", "sweep", "float")
        assert code == 0, said
        yield firm


@pytest.mark.parametrize(("process", "rule"), PROCESSES)
def test_a_process_names_what_it_lacks_and_works_once_it_has_it(
    firm: Guarded, process: str, rule: Rule
) -> None:
    begun = firm.beginnings(process)

    with firm.without(f"psastream-{process}", rule):
        firm.stack.stop(process)
        told = len(firm.stack.log(process))
        firm.stack.restart(process)
        wanted = f"give the user psastream-{process} its rights on"
        eventually(lambda: wanted in firm.stack.log(process)[told:], deadline_s=SAID_S)
        said = firm.stack.log(process)[told:]
    firm.stack.stop(process)  # whether it has ended, as workers do, or tries again
    firm.stack.restart(process)

    eventually(lambda: firm.beginnings(process) > begun, deadline_s=AT_WORK_S)
    assert "transient.access_refused" in said


@pytest.mark.parametrize(("role", "command", "rule"), COMMANDS)
def test_a_command_names_what_its_user_lacks(
    firm: Guarded, role: str, command: tuple[str, ...], rule: Rule
) -> None:
    user = f"psastream-{role}"
    with firm.without(user, rule):
        code, said = firm.tried(user, *command)

    assert code != 0, said
    assert f"give the user {user} its rights on" in " ".join(said.split()), said
