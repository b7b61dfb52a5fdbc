"""What a guarded broker has decided, read from its log, and which rules that needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from psastream.access.rights import Operation, Resource, Rule, User

_LINE: Final = re.compile(
    r"Principal = User:(?P<user>\S+) is (?P<verdict>Allowed|Denied) operation = (?P<operation>\w+)"
    r" from host = \S+ on resource = (?P<resource>\w+):LITERAL:(?P<name>.*?) for request ="
    r" (?P<request>\w+) "
)
_RESOURCES: Final = {
    "Topic": Resource.TOPIC,
    "Group": Resource.GROUP,
    "TransactionalId": Resource.TRANSACTIONAL_ID,
    "Cluster": Resource.CLUSTER,
}
_OPERATIONS: Final = {
    "READ": Operation.READ,
    "WRITE": Operation.WRITE,
    "CREATE": Operation.CREATE,
    "DELETE": Operation.DELETE,
    "DESCRIBE": Operation.DESCRIBE,
    "DESCRIBE_CONFIGS": Operation.DESCRIBE_CONFIGS,
}


@dataclass(frozen=True, slots=True, order=True)
class Decision:
    """That a request of a user was let through, or refused. `operation` as the log has it."""

    user: str
    is_allowed: bool
    resource: Resource
    name: str
    operation: str
    request: str


def decisions_in(lines: Iterable[str]) -> set[Decision]:
    """Return the decisions about users, the platform's own left out."""
    found = (_LINE.search(line) for line in lines if "Principal = User:" in line)
    return {
        Decision(
            match["user"],
            match["verdict"] == "Allowed",
            _RESOURCES[match["resource"]],
            match["name"],
            match["operation"],
            match["request"],
        )
        for match in found
        if match is not None and match["user"] != "ANONYMOUS"
    }


def unused(users: Iterable[User], decisions: Iterable[Decision]) -> dict[str, set[Rule]]:
    """Return the rules of each user without which nothing that was asked would be refused.

    Kafka adds Describe to Read, Write and Delete: a rule for Describe is needed by what asks for
    no more, and one for Read by what reads.
    """
    used: dict[str, list[Decision]] = {}
    for decision in decisions:
        if decision.is_allowed:
            used.setdefault(decision.user, []).append(decision)
    return {
        user.name: {
            rule
            for rule in user.rules
            if not any(_needs(decision, rule) for decision in used.get(user.name, ()))
        }
        for user in users
    }


def _needs(decision: Decision, rule: Rule) -> bool:
    names_it = decision.name.startswith(rule.name) if rule.is_prefix else decision.name == rule.name
    return (
        names_it
        and decision.resource is rule.resource
        and _OPERATIONS.get(decision.operation) is rule.operation
    )


def told(rules: Mapping[str, Iterable[Rule]]) -> Iterator[str]:
    """Yield a line for each rule, for a person to read."""
    for user, each in sorted(rules.items()):
        for rule in sorted(each):
            star = "*" if rule.is_prefix else ""
            yield f"{user}: {rule.operation.value} {rule.resource.value} {rule.name}{star}"
