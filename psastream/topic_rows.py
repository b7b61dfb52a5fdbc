"""What stands in a topic: the last value of every key, as lines of JSON."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from psastream.landscape import read_firm
from runtime.kafka import read_compacted
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError, RecordError
from schemas.mapping.sql_text import suggestion


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value of a topic that cannot be decoded."""

    key: bytes
    error: RecordError
    topic: str = ""

    def __str__(self) -> str:
        where = f" of {self.topic}" if self.topic else ""
        return f"the row under {self.key!r}{where} cannot be decoded: {self.error.detail}"


def rows_of(settings: Settings, topic: str) -> Iterator[str | Unreadable]:
    """Yield the rows of a topic of the firm, each as a line of JSON: times as ISO 8601, decimals as
    texts, the records and keys that a dead letter holds as what they say.

    Raises ConfigError where the firm has no such topic with a contract, BrokerUnavailableError and
    RegistryUnavailableError.
    """
    known = {each.name for each in read_firm(settings).topics if each.record}
    if topic not in known:
        raise ConfigError(
            f"there is no topic {topic} with rows{suggestion(topic, known)}",
            hint="psastream topics list",
        )
    serde = Serde(Registry(settings.registry_url))
    yield from lines_of(read_compacted(settings.kafka, topic), serde.read)


def lines_of(
    values: Mapping[bytes, bytes], read: Callable[[bytes], Mapping[str, Any]]
) -> Iterator[str | Unreadable]:
    """Yield values by key as lines of JSON; one that `read` cannot decode holds up no other."""
    for key, value in values.items():
        try:
            yield json.dumps(read(value), default=partial(_shown, read))
        except RecordError as error:
            yield Unreadable(key, error)


def _shown(read: Callable[[bytes], object], value: object) -> object:
    if not isinstance(value, bytes):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    with suppress(RecordError):
        return read(value)
    return text_of(value)


def text_of(data: bytes) -> str:
    """Return bytes as what they say, or as `base64:…` where that is no text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"base64:{b64encode(data).decode()}"
    return text if text.isprintable() else f"base64:{b64encode(data).decode()}"
