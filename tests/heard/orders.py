"""Orders to a target, as tables write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runtime.kafka import make_producer
from schemas.routing import partition_of
from schemas.topics import COMMAND_PREFIX, PARTITIONS
from tests.support.commands import command_record, project_content
from tests.support.running_system import RunningSystem

Order = dict[str, Any]


def send(system: RunningSystem, orders: Iterable[Order]) -> None:
    """Publish orders; return once the broker has them."""
    producer = make_producer(system.parts.kafka)
    for order in orders:
        topic = f"{COMMAND_PREFIX}{order['target']}"
        producer.produce(
            topic,
            key=system.serde.key(topic, order["natural_key"]),
            value=system.serde.value(topic, order),
            partition=partition_of(order["natural_key"], PARTITIONS),
        )
    assert producer.flush(30) == 0


def customers(target: str, name: str, count: int = 1) -> list[Order]:
    """Return orders of customers of an ERP, whose ids begin with a name."""
    return [_customer(target, f"{name}{number}") for number in range(count)]


def plans(name: str, count: int = 1) -> list[Order]:
    """Return orders of projects of the resource tool, whose ids begin with a name."""
    return [_plan(f"{name}{number}") for number in range(count)]


def _customer(target: str, name: str) -> Order:
    customer_id = f"cus-{name}"
    content = {
        "customer_id": customer_id,
        "name": name,
        "country_code": "DE",
        "currency": "EUR",
        "tax_number": None,
        "correlation_id": "cor-1",
    }
    return command_record(target, "upsert_customer", f"customer:{customer_id}", 1, content)


def _plan(name: str) -> Order:
    project_id = f"eng-{name}-de"
    content = project_content(project_id, name)
    return command_record("float", "upsert_project", f"project:{project_id}", 1, content)
