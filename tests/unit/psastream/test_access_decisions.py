"""What a broker's log says of its decisions, and which rules nothing has needed."""

from __future__ import annotations

from psastream.access.rights import Operation, Resource, Right, Rule, User
from tests.access.decisions import Decision, decisions_in, told, unused

LINE = (
    "2026-11-28T17:41:33.1Z [data-plane-kafka-request-handler-1] {level} kafka.authorizer.logger -"
    " Principal = User:{user} is {verdict} operation = {operation} from host = 127.0.0.1 on"
    " resource = {resource}:LITERAL:{name} for request = {request} with resourceRefCount = 1"
    " based on rule MatchingAcl(acl=StandardAcl(...))\n"
)
WORKER = User(
    "worker",
    "works",
    (
        Right(Resource.TOPIC, "a", (Operation.READ, Operation.WRITE)),
        Right(Resource.TRANSACTIONAL_ID, "worker-", (Operation.WRITE,), is_prefix=True),
    ),
)
PARTS = {
    "level": "DEBUG",
    "user": "worker",
    "verdict": "Allowed",
    "operation": "READ",
    "resource": "Topic",
    "name": "a",
    "request": "Fetch",
}


def line(**parts: str) -> str:
    return LINE.format(**PARTS | parts)


def test_decisions_are_read_from_the_log_of_a_broker() -> None:
    lines = [
        "something else\n",
        line(),
        line(),
        line(user="ANONYMOUS"),
        line(verdict="Denied", operation="CREATE", name="b", request="CreateTopics"),
    ]

    assert decisions_in(lines) == {
        Decision("worker", True, Resource.TOPIC, "a", "READ", "Fetch"),
        Decision("worker", False, Resource.TOPIC, "b", "CREATE", "CreateTopics"),
    }


def test_a_rule_is_used_by_the_operation_that_it_allows_and_no_other() -> None:
    """Kafka adds Describe to Read: a question for the ends of a topic needs no right to read it."""
    lines = [
        line(operation="DESCRIBE", request="ListOffsets"),
        line(operation="WRITE", request="Produce"),
        line(operation="READ", verdict="Denied"),
        line(operation="READ", name="another"),
    ]

    found = unused([WORKER], decisions_in(lines))

    assert list(told(found)) == [
        "worker: Read topic a",
        "worker: Write transactionalId worker-*",
    ]


def test_a_prefix_is_used_by_whatever_begins_so() -> None:
    named = {"operation": "WRITE", "resource": "TransactionalId", "request": "InitProducerId"}

    used = unused([WORKER], decisions_in([line(name="worker-1", **named)]))
    other = unused([WORKER], decisions_in([line(name="poller-1", **named)]))

    rule = Rule(Resource.TRANSACTIONAL_ID, "worker-", True, Operation.WRITE)
    assert rule not in used["worker"]
    assert rule in other["worker"]
