"""Which project and which customer an exception or a command is about, as SQL views have it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from runtime.kafka import KafkaSettings, read_compacted
from runtime.offsets import present_places
from runtime.serde import Serde
from schemas.errors import RecordError

Row = Mapping[str, Any]
Rows = Mapping[str, Row]

PROJECTS: Final = "psa.project"
ORDERED: Final = "psa.status.project"
CUSTOMERS: Final = "psa.status.customer"


@dataclass(frozen=True, slots=True)
class Subject:
    """A project and a customer; None: none is concerned, or none of that id is known."""

    project_id: str | None = None
    project: str | None = None
    customer_id: str | None = None
    customer: str | None = None

    def __str__(self) -> str:
        project = self.project or self.project_id
        customer = self.customer or self.customer_id
        return ", for ".join(name for name in (project, customer) if name)


@dataclass(frozen=True, slots=True)
class Names:
    """What projects and customers are called: rows of three topics, by their ids."""

    held: Rows = field(default_factory=dict)
    ordered: Rows = field(default_factory=dict)
    customers: Rows = field(default_factory=dict)

    @classmethod
    def read(cls, kafka: KafkaSettings, serde: Serde) -> Self:
        """Read the topics; one that is not there yet has no rows.

        Raises BrokerUnavailableError and RegistryUnavailableError.
        """
        present = present_places(kafka, [PROJECTS, ORDERED, CUSTOMERS])

        def rows(topic: str, name: str) -> dict[str, Row]:
            found = _rows(kafka, topic, serde) if topic in present else ()
            return {row[name]: row for row in found}

        return cls(
            rows(PROJECTS, "id"),
            rows(ORDERED, "project_id"),
            rows(CUSTOMERS, "customer_id"),
        )

    def subject_of(self, exception: Row) -> Subject:
        """Return what an exception is about, or a command: `payload`, `natural_key`."""
        payload, key = _payload(exception["payload"]), exception["natural_key"] or ""
        third = ([*key.split(":"), "", "", ""])[2]
        source = self.held.get(payload.get("project_ref") or key, {})
        project_id = (
            payload.get("project_id")
            or source.get("project_id")
            or source.get("id")
            or third
            or key
        )
        ordered = self.ordered.get(project_id, {})
        held = [
            row for row in self.held.values()
            if (row["project_id"] or row["id"]) == project_id
        ] if not ordered.get("name") or not ordered.get("customer_id") else []  # fmt: skip
        project = ordered.get("name") or min(
            (row["name"] for row in held if row["name"]), default=None
        )
        customer_id = (
            ordered.get("customer_id")
            or min((row["customer_id"] for row in held if row["customer_id"]), default=None)
            or payload.get("customer_id")
            or third
        )
        customer = self.customers.get(customer_id, {})
        return Subject(
            project_id if ordered or held else None,
            project,
            customer_id if customer else None,
            customer.get("name"),
        )


def _rows(kafka: KafkaSettings, topic: str, serde: Serde) -> Iterable[Row]:
    for value in read_compacted(kafka, topic).values():
        try:
            yield serde.read(value)
        except RecordError:  # it has no name then
            continue


def _payload(text: str | None) -> Row:
    try:
        found = json.loads(text or "{}")
    except ValueError:  # of a payload too long to be kept whole
        return {}
    return found if isinstance(found, dict) else {}
