"""What databases keep for the slots of connectors, as the watcher tells it."""

import asyncio
from collections.abc import Mapping

import psycopg
from prometheus_client import CollectorRegistry

from connectors.debezium.client import ConnectorFile
from psastream.check.databases import POSTGRES, Address
from psastream.slots import FOREVER, Held, SlotMetrics, SlotWatcher

ENVIRONMENT = {"HOST": "db", "PASSWORD": "slot-secret"}


def connector(name: str, **changes: str) -> ConnectorFile:
    config: Mapping[str, str] = {
        "connector.class": POSTGRES,
        "database.hostname": "${env:HOST}",
        "database.password": "${env:PASSWORD}",
        "slot.name": f"slot_{name}",
        **changes,
    }
    return ConnectorFile(name, config)


class Databases:
    """What each slot holds; an error where its database does not answer."""

    def __init__(self, **held: Held | psycopg.Error | None) -> None:
        self.held = held
        self.asked: list[tuple[str, str]] = []

    def ask(self, address: Address, slot: str) -> Held | None:
        self.asked.append((address.host, slot))
        held = self.held[slot]
        if isinstance(held, psycopg.Error):
            raise held
        return held


def told(registry: CollectorRegistry, metric: str) -> dict[str, float]:
    return {
        sample.labels["connector"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == metric
    }


def test_bytes_are_told_of_slots_that_are_there_and_of_no_others() -> None:
    registry = CollectorRegistry()
    databases = Databases(slot_a=Held(7e9), slot_b=Held(1e6, 5e8), slot_c=None)
    connectors = [
        *(connector(name) for name in "abc"),
        connector("of_others", **{"database.hostname": "${env:NOT_SET}"}),
        connector("mysql", **{"connector.class": "io.debezium.connector.mysql.MySqlConnector"}),
    ]
    watcher = SlotWatcher(connectors, ENVIRONMENT, SlotMetrics(registry), ask=databases.ask)
    asyncio.run(watcher.round())
    assert databases.asked == [("db", "slot_a"), ("db", "slot_b"), ("db", "slot_c")]
    assert told(registry, "psastream_slot_retained_bytes") == {"a": 7e9, "b": 1e6}
    assert told(registry, "psastream_slot_remaining_bytes") == {"a": FOREVER, "b": 5e8}

    databases.held |= {"slot_a": psycopg.OperationalError("away"), "slot_b": None}
    asyncio.run(watcher.round())
    assert told(registry, "psastream_slot_retained_bytes") == {}


def test_a_watcher_that_knows_no_database_ends() -> None:
    watcher = SlotWatcher([connector("a")], {}, SlotMetrics(CollectorRegistry()))
    asyncio.run(watcher.run())
