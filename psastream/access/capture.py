"""What Kafka Connect and its Debezium connectors touch, told from connector files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from connectors.debezium.routing import entries, is_pattern, is_routed, plain, prefixes, routed
from schemas.errors import ConfigError
from schemas.topics import Cleanup, Criticality, Topic

CONNECT_GROUP: Final = "psastream-connect"
HEARTBEAT: Final = "__debezium-heartbeat"
_HISTORY: Final = "schema.history.internal"
_FOREVER: Final = -1


@dataclass(frozen=True, slots=True)
class Capture:
    """A connector that captures a database: its name, the topics of its tables, its heartbeat's.

    `heartbeat` is None where it sends none. `history`: where it keeps the schemas of the tables,
    which connectors of MySQL, SQL Server and Oracle do, and the group in which it reads them.
    """

    name: str
    topics: tuple[str, ...]
    heartbeat: str | None
    history: str | None = None
    history_group: str | None = None


def capture_of(name: str, config: Mapping[str, object], topics: Iterable[Topic]) -> Capture:
    """Return what a connector writes to, of the topics of a firm.

    Raises ConfigError where it captures a table that no topic of the firm is of.
    """
    prefix = str(config["topic.prefix"])
    known = {topic.name for topic in topics if topic.is_envelope and topic.contract is None}
    found: set[str] = set()
    for table in entries(config.get("table.include.list")):
        written = _written(name, config, table, known)
        if lost := written - known:
            raise ConfigError(
                f"{name}: table.include.list: the firm has no topic for {table} ({min(lost)})",
                hint="name the tables of the system's mapping.yaml",
            )
        found |= written
    beats = str(config.get("heartbeat.interval.ms", "0")) != "0"
    heart = f"{config.get('topic.heartbeat.prefix', HEARTBEAT)}.{prefix}"
    history = str(config.get(f"{_HISTORY}.kafka.topic") or "") or None
    group = str(config.get(f"{_HISTORY}.consumer.group.id", f"{prefix}-schemahistory"))
    return Capture(
        name,
        tuple(sorted(found)),
        heart if beats else None,
        history,
        group if history else None,
    )


def _written(name: str, config: Mapping[str, object], table: str, known: Iterable[str]) -> set[str]:
    """Return the topics of what an entry of the list of tables names, known or not.

    What the connector itself drops, as signals that it has read, has none. Raises ConfigError.
    """
    if is_pattern(table):
        if is_routed(config):
            raise ConfigError(
                f"{name}: table.include.list: {table} is a pattern, and topics are renamed",
                hint="name each table",
            )
        patterns = [re.compile(rf"{re.escape(prefix)}\.{table}") for prefix in prefixes(config)]
        matched = {topic for topic in known if any(each.fullmatch(topic) for each in patterns)}
        return matched or {table}
    topics = (routed(config, f"{prefix}.{plain(table)}") for prefix in prefixes(config))
    return {topic for topic in topics if topic is not None}


def platform_topics(captures: Iterable[Capture]) -> tuple[Topic, ...]:
    """Return the topics that Connect and its connectors keep for themselves.

    They are made before Connect starts: it needs no right to make any then. Raises ConfigError
    where two connectors share a history of schemas: each would read the other's.
    """
    captures = tuple(captures)
    keepers: dict[str, str] = {}
    for each in captures:
        if each.history and keepers.setdefault(each.history, each.name) != each.name:
            raise ConfigError(
                f"{each.name} and {keepers[each.history]} keep schemas in one {each.history}",
                hint=f"give each its own {_HISTORY}.kafka.topic",
            )
    return (
        _own("configs", 1),
        _own("offsets", 25),
        _own("status", 5),
        *(
            Topic(
                name=name,
                record=None,
                key="server",
                owner="Debezium",
                criticality=Criticality.MEDIUM,
                cleanup=Cleanup.DELETE,
                retention_ms=86_400_000,
                partitions=1,
            )
            for name in dict.fromkeys(each.heartbeat for each in captures if each.heartbeat)
        ),
        # Read from its first record at every start, in the order in which it was written.
        *(
            Topic(
                name=name,
                record=None,
                key="none",
                owner="Debezium",
                criticality=Criticality.CRITICAL,
                cleanup=Cleanup.DELETE,
                retention_ms=_FOREVER,
                partitions=1,
            )
            for name in keepers
        ),
    )


def _own(kind: str, partitions: int) -> Topic:
    """A topic of Connect's own, with the partitions that Kafka's documentation names."""
    return Topic(
        name=f"{CONNECT_GROUP}-{kind}",
        record=None,
        key="Kafka Connect's",
        owner="Kafka Connect",
        criticality=Criticality.CRITICAL,
        partitions=partitions,
    )
