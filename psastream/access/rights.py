"""Users of a Kafka cluster and what they may do, in Kafka's own words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain


class Resource(StrEnum):
    """What a right is about, as Strimzi calls it."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactionalId"
    CLUSTER = "cluster"


class Operation(StrEnum):
    """What may be done. Kafka adds Describe to Read, Write, Delete and Alter by itself."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """Operations on a resource; with `is_prefix` on all whose names begin so. `why`: what for."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    why: str = ""
    is_prefix: bool = False

    @property
    def rules(self) -> Iterator[Rule]:
        """One rule of Kafka's for each operation."""
        return (
            Rule(self.resource, self.name, self.is_prefix, operation)
            for operation in self.operations
        )


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule as Kafka keeps it: an operation on a resource."""

    resource: Resource
    name: str
    is_prefix: bool
    operation: Operation


@dataclass(frozen=True, slots=True)
class User:
    """Who signs in to Kafka, what it is, and its rights."""

    name: str
    purpose: str
    rights: tuple[Right, ...]

    @property
    def rules(self) -> frozenset[Rule]:
        """All rules of the user."""
        return frozenset(chain.from_iterable(right.rules for right in self.rights))


def merged(rights: Iterable[Right]) -> tuple[Right, ...]:
    """Return rights with all operations on a resource in one, in the order of their first."""
    found: dict[tuple[Resource, str, bool], Right] = {}
    for right in rights:
        key = (right.resource, right.name, right.is_prefix)
        known = found.get(key)
        if known is None:
            found[key] = right
            continue
        operations = tuple(dict.fromkeys((*known.operations, *right.operations)))
        why = "; ".join(dict.fromkeys(each.why for each in (known, right) if each.why))
        found[key] = Right(right.resource, right.name, operations, why, right.is_prefix)
    return tuple(found.values())
