"""A system as its folder declares it, and the topics that follow for a firm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.codec.record import AvroSchema
from schemas.mapping.compiled import ObjectMapping
from schemas.mapping.config import ObjectConfig
from schemas.topics import PRODUCT_TOPICS, Topic, command_topic


@dataclass(frozen=True, slots=True)
class SystemBundle:
    """What a system's folder declares, checked.

    `vendor` is the system whose code polls and writes it, itself by default. `topics` by object.
    An object without targets has a topic and no mapping: it is captured, and read by nobody here.
    `objects`: what the mapping says of each. `files`: texts of the yaml files and contracts of the
    folder, by name, for the code that reads the system and for the lines of problems.
    """

    name: str
    vendor: str
    topics: Mapping[str, Topic]
    mappings: tuple[ObjectMapping, ...]
    objects: Mapping[str, ObjectConfig]
    files: Mapping[str, str] = field(default_factory=dict)

    def contract(self, obj: str) -> AvroSchema:
        """Return the contract of a polled object."""
        contract = self.topics[obj].contract
        assert contract is not None, f"{self.name}.{obj} is a database's"
        return contract


def catalogue(systems: Iterable[SystemBundle], targets: Iterable[str]) -> tuple[Topic, ...]:
    """Return all topics of a firm: its systems', the product's, and commands to the `targets`."""
    return (
        *(topic for system in systems for topic in system.topics.values()),
        *PRODUCT_TOPICS,
        *map(command_topic, targets),
    )
