"""Which topics a Debezium connector writes its tables to, told from its configuration. Pure.

Debezium names topics after schema and table, SQL Server's after the database, too. Routers by
expression and filters by the name of a topic, which Kafka Connect brings along, are followed;
whatever else a transform does to names is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from schemas.topics import SOURCE_PREFIX

SQL_SERVER: Final = "io.debezium.connector.sqlserver.SqlServerConnector"
_FILTER: Final = "org.apache.kafka.connect.transforms.Filter"
_ROUTER: Final = ".RegexRouter"
_NAME: Final = re.compile(r"[A-Za-z0-9_$#]+(\.[A-Za-z0-9_$#]+)*")
"""Of a table or a schema, where the file names it: anything else is a pattern."""
_GROUP: Final = re.compile(r"\$(\d)")


def entries(listed: object) -> list[str]:
    """Return the entries of a list of a configuration, names or patterns."""
    return [entry.strip() for entry in str(listed or "").split(",") if entry.strip()]


def plain(entry: str) -> str:
    """Return the name that an entry means, where it is not a pattern for several."""
    return entry.replace("[.]", ".").replace("\\.", ".")


def is_pattern(entry: str) -> bool:
    """Whether an entry of a list is an expression for several tables."""
    return _NAME.fullmatch(plain(entry)) is None


def is_routed(config: Mapping[str, object]) -> bool:
    """Whether topics may have other names than those of their tables."""
    kinds = [str(config.get(f"{at}.type", "")) for at in _transforms(config)]
    return any(kind == _FILTER or kind.endswith(_ROUTER) for kind in kinds)


def prefixes(config: Mapping[str, object]) -> list[str]:
    """Return what stands before schema and table in the names that Debezium gives to topics."""
    prefix = str(config.get("topic.prefix", SOURCE_PREFIX))
    if config.get("connector.class") == SQL_SERVER:
        return [f"{prefix}.{database}" for database in entries(config.get("database.names"))]
    return [prefix]


def routed(config: Mapping[str, object], topic: str) -> str | None:
    """Return the name that a topic has behind the transforms, None where its records are dropped.

    An expression that only Java knows changes nothing.
    """
    for at in _transforms(config):
        kind = str(config.get(f"{at}.type", ""))
        if not _applies(config, at, topic):
            continue
        if kind == _FILTER:
            return None
        if kind.endswith(_ROUTER):
            told = _GROUP.sub(r"\\g<\1>", str(config.get(f"{at}.replacement", "")))
            try:
                found = re.fullmatch(str(config.get(f"{at}.regex", "")), topic)
                topic = topic if found is None else found.expand(told)
            except (re.error, IndexError):
                continue
    return topic


def _transforms(config: Mapping[str, object]) -> Iterator[str]:
    for name in entries(config.get("transforms")):
        yield f"transforms.{name}"


def _applies(config: Mapping[str, object], transform: str, topic: str) -> bool:
    """Whether the predicate of a transform lets it see a topic; of other predicates nobody knows.

    A filter that is not known to drop a topic is taken for one that lets it through.
    """
    name = config.get(f"{transform}.predicate")
    if name is None:
        return True
    at = f"predicates.{name}"
    is_filter = config.get(f"{transform}.type") == _FILTER
    if not str(config.get(f"{at}.type", "")).endswith(".TopicNameMatches"):
        return not is_filter
    try:
        matches = re.fullmatch(str(config.get(f"{at}.pattern", "")), topic) is not None
    except re.error:
        return not is_filter
    return matches is not (str(config.get(f"{transform}.negate", "false")).lower() == "true")
