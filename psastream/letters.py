"""Dead letters: how many there are, of which topics, and why, for a person to see."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from runtime.kafka import KafkaSettings, make_consumer, read_topic
from runtime.offsets import present_places
from runtime.serde import Serde
from runtime.threads import in_daemon_thread
from schemas.errors import BrokerUnavailableError, RecordError, RegistryUnavailableError
from schemas.topics import BY_NAME

TOPIC: Final = "psa.dlq"
DECISIONS: Final = "psa.dlq_decision"
GROUP: Final = "psastream-letters"
BATCH: Final = 10_000
EVERY_S: Final = 5.0
UNREADABLE: Final[Mapping[str, Any]] = {
    "topic": TOPIC,
    "error_code": "a dead letter that cannot be decoded",
    "raised_at": None,
}

Letter = Mapping[str, Any]
Identity = tuple[str, str]
"""Key of a dead letter, and the digest of its record."""


def read_letters(settings: KafkaSettings, serde: Serde) -> list[Letter]:
    """Return the dead letters that are kept and that nobody has decided about.

    Raises BrokerUnavailableError and RegistryUnavailableError.
    """
    decided = read_decisions(settings, serde)
    letters = read_by_key(settings, serde)
    return [letter for key, letter in letters.items() if identity(key, letter) not in decided]


def read_by_key(settings: KafkaSettings, serde: Serde) -> dict[str, Letter]:
    """Return all dead letters that are kept, by their keys; one that was written twice is one.

    Raises as `read_letters`.
    """
    return {
        key_of(message.key(), serde): letter_of(value, serde)
        for message in read_topic(settings, TOPIC)
        if (value := message.value()) is not None
    }


def identity(key: str, letter: Letter) -> Identity:
    """Return what a decision is about: a place, and what stood there.

    A topic that is made anew has other records at the same places. Pure.
    """
    parts = (letter.get("key"), letter.get("value"))
    digest = sha256(b"".join(b"%d|%b|" % (len(part or b""), part or b"") for part in parts))
    return key, digest.hexdigest()


def read_decisions(settings: KafkaSettings, serde: Serde) -> dict[Identity, Letter]:
    """Return what people decided about dead letters; nothing without the topic.

    Raises as `read_letters`.
    """
    if DECISIONS not in present_places(settings, [DECISIONS]):
        return {}
    values = (message.value() for message in read_topic(settings, DECISIONS))
    decided = (serde.read(value) for value in values if value is not None)
    return {(each["letter"], each["content"]): each for each in decided}


def key_of(key: bytes | None, serde: Serde) -> str:
    """Return the key of a dead letter: topic, partition and offset, or row and position."""
    try:
        return str(serde.read_key(key or b""))
    except RecordError:
        return (key or b"").hex()


def told(letters: Iterable[Letter]) -> list[str]:
    """Return a line for each topic and code: the most first, with when the last one came."""
    return [
        f"{count:,} of {topic}: {code}{_since(last)}"
        for topic, code, count, last in counted(letters)
    ]


def counted(letters: Iterable[Letter]) -> list[tuple[str, str, int, datetime | None]]:
    """Return topic, code, how many and when the last one came, the most first."""
    counts: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], datetime] = {}
    for letter in letters:
        key = letter["topic"], letter["error_code"]
        counts[key] += 1
        at = letter["raised_at"]
        if at is not None:
            last[key] = max(at, last.get(key, at))
    return [
        (*key, count, last.get(key))
        for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


class LetterWatch:
    """What comes in, from the first one that is kept on. Its methods block, on one thread."""

    def __init__(self, settings: KafkaSettings, serde: Serde) -> None:
        self._settings = settings
        self._serde = serde
        self._consumer: Consumer | None = None

    def news(self) -> list[Letter]:
        """Return what has come since the last time.

        Raises BrokerUnavailableError and RegistryUnavailableError.
        """
        try:
            if self._consumer is None:
                consumer = make_consumer(self._settings, GROUP)
                numbers = range(BY_NAME[TOPIC].partitions)
                consumer.assign([TopicPartition(TOPIC, each, OFFSET_BEGINNING) for each in numbers])
                self._consumer = consumer
            found = self._consumer.consume(BATCH, timeout=EVERY_S)
        except KafkaException as error:
            raise BrokerUnavailableError(f"dead letters cannot be read: {error}") from error
        return _letters((each for each in found if each.error() is None), self._serde)


async def tell_news(watch: LetterWatch, tell: Callable[[str], None]) -> None:
    """Tell of dead letters as they come, until cancelled.

    A broker or registry that is away is asked again: whoever needs it says so.
    """
    while True:
        try:
            letters = await in_daemon_thread(watch.news)
        except (BrokerUnavailableError, RegistryUnavailableError):
            await asyncio.sleep(EVERY_S)
            continue
        for line in told(letters):
            tell(f"dead letters: {line} (psastream dlq list)")


def _letters(messages: Iterable[Message], serde: Serde) -> list[Letter]:
    return [letter_of(each.value(), serde) for each in messages if each.value() is not None]


def letter_of(value: bytes, serde: Serde) -> Letter:
    """Return a dead letter; `UNREADABLE` for what is none. Raises RegistryUnavailableError."""
    try:
        return serde.read(value)
    except RecordError:
        return UNREADABLE


def _since(last: datetime | None) -> str:
    return "" if last is None else f", last {last:%Y-%m-%dT%H:%MZ}"
