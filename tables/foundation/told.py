"""Records that are published when they say something else than before.

State keeps the hash of what was told last, "" where nothing is. So repetition publishes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping

from schemas.canonical_json import Payload
from tables.foundation.content import content_hash
from tables.foundation.effects import Outbox, instant

Hashes = MutableMapping[str, str]
"""What is told, by name; a name of which nothing is told is not there."""


def tell(
    outbox: Outbox,
    topic: str,
    key: str,
    content: Payload | None,
    told: str,
    *,
    route: str | None = None,
    as_of_ms: int | None = None,
) -> str:
    """Publish a record unless it is what was `told`; return what is told now.

    No content is a tombstone. `as_of_ms` stamps the record; that it is later is no news.
    """
    now = "" if content is None else content_hash(content)
    if now != told:
        stamp = {} if as_of_ms is None else {"as_of": instant(as_of_ms)}
        outbox.add(topic, key, None if content is None else {**content, **stamp}, route=route)
    return now


def tell_all(
    outbox: Outbox,
    topic: str,
    contents: Mapping[str, Payload],
    told: Hashes,
    *,
    key: Callable[[str], str] = str,
    route: Callable[[str], str] | None = None,
    as_of_ms: int | None = None,
) -> None:
    """Tell contents by name, once it is taken back of whom nothing more is to be told.

    `key` and `route` make those of a record from a name; it is routed by its key without one.
    """
    for name in (*sorted(told.keys() - contents.keys()), *contents):
        now = tell(
            outbox,
            topic,
            key(name),
            contents.get(name),
            told.get(name, ""),
            route=None if route is None else route(name),
            as_of_ms=as_of_ms,
        )
        remember(told, name, now)


def remember(told: Hashes, name: str, now: str) -> None:
    """Keep what is told of a name now."""
    if now:
        told[name] = now
    else:
        told.pop(name, None)
