"""What stands in a topic: the last value of every key, as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from psastream.landscape import read_firm
from runtime.kafka import read_compacted
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.mapping.sql_text import suggestion


def rows_of(settings: Settings, topic: str) -> Iterator[str]:
    """Yield the rows of a topic of the firm, each as a line of JSON: times as ISO 8601, decimals as
    texts.

    Raises ConfigError where the firm has no such topic with a contract, BrokerUnavailableError,
    RegistryUnavailableError and DecodeError.
    """
    known = {each.name for each in read_firm(settings).topics if each.record}
    if topic not in known:
        raise ConfigError(
            f"there is no topic {topic} with rows{suggestion(topic, known)}",
            hint="psastream topics list",
        )
    serde = Serde(Registry(settings.registry_url))
    for value in read_compacted(settings.kafka, topic).values():
        yield json.dumps(serde.read(value), default=_text)


def _text(value: object) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
