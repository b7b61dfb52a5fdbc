"""Forgets a person: destroys the keys of what names them, and has what was opened already closed.

What work cost stays, under ids that nobody here can name any more. Erase a person at the source
first: what a source tells of one who was forgotten comes in without a name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Message

from psastream.landscape import read_firm
from psastream.lines import say
from psastream.people import is_meant
from psastream.remains import LETTERS, Remains, holder_of, remains_of, searched
from runtime.kafka import RawRecord, absent_topics, publish_all, read_topic, require_broker
from runtime.registry import Registry
from runtime.sealing import Sealing, sealing_of
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError, RecordError
from schemas.keys import decode_key
from schemas.sealing import shares_of, subject_of_row
from schemas.topics import BY_NAME, Topic

RESOURCES: Final = "psa.resource"
TOPICS: Final = tuple(
    topic for topic in BY_NAME.values() if topic.subject is not None and topic.record is not None
)
"""Whose records name who they are about."""
IDS: Final = ("id", "resource_id", "address_id")
TEXT_MIN: Final = 4
_FLUSH_S: Final = 60.0

Place = tuple[int, bytes]
"""Partition and message key."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to forget: their ids, and texts that name them."""

    ids: frozenset[str]
    texts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Named:
    """The last record of a row that names somebody. `message`: where it stood."""

    topic: Topic
    row: Mapping[str, Any]
    message: Message

    @property
    def place(self) -> Place:
        """Where it stood."""
        return self.message.partition(), self.message.key()

    @property
    def closed(self) -> dict[str, Any]:
        """The row without what names people."""
        return {**self.row, **dict.fromkeys(shares_of(self.topic)[False])}


def erase(
    settings: Settings,
    ids: Collection[str],
    texts: Collection[str],
    *,
    is_dry: bool,
    is_sure: bool,
) -> None:
    """Say who would be forgotten and what holds them, and do it where that is meant.

    Raises ConfigError, BrokerUnavailableError, RegistryUnavailableError.
    """
    registry = Registry(settings.registry)
    sealing = sealing_of(settings, registry.schema)
    if sealing is None:
        raise ConfigError(
            "nothing is encrypted, so no key can be destroyed",
            hint="psastream docs encryption tells how to turn it on, and what to erase by hand",
        )
    require_broker(settings.kafka.client())
    serde = Serde(registry, sealing=sealing)
    rows = [row for _, row in _last(settings, serde, BY_NAME[RESOURCES]).values()]
    person = person_of(ids, texts, rows)
    named = [
        Named(topic, row, message)
        for topic in TOPICS
        for message, row in _last(settings, serde, topic).values()
        if row[str(topic.subject)] in person.ids and _names(topic, row)
    ]
    letters = [*_letters_of(settings, serde, sealing, person)]
    remains = [*_remains(settings, sealing, person)]
    say(", ".join(sorted(person.ids)))
    say(f"{len(named)} rows name them, and {len(letters)} dead letters")
    _tell(person, remains)
    if not is_meant("destroy their keys for good?", is_dry=is_dry, is_sure=is_sure):
        return
    count = sealing.keys.forget(person.ids)
    count += sealing.keys.destroy([key_id for found in letters for key_id in found])
    _close(settings, serde, named)
    say(f"{count} keys destroyed, {len(named)} rows published without names")
    if left := sum(each.count for each in remains):
        say(f"{left} records elsewhere still name them, as said above")


def _remains(settings: Settings, sealing: Sealing, person: Person) -> Iterator[Remains]:
    """Yield what names a person where destroying their keys does not reach."""

    def opened(message: Message) -> bytes | None:
        value = message.value()
        try:
            if value is None or sealing.subjects(value) & person.ids:
                return None
            return sealing.open_values([value])[0]
        except RecordError:  # what nobody can read names nobody
            return None

    topics = searched(read_firm(settings).topics) if person.texts else []
    absent = absent_topics(settings.kafka, [topic.name for topic in topics])
    holds = holder_of(person.texts)
    for topic in topics:
        if topic.name not in absent:
            messages = read_topic(settings.kafka, topic.name)
            found = remains_of(topic, messages, opened, holds)
            if found is not None:
                yield found


def _tell(person: Person, remains: Iterable[Remains]) -> None:
    if not person.texts:
        say("no text names them: what else does was not searched for; --text gives one")
        return
    told = [str(each) for each in remains]
    if told:
        say("erasing does not reach what names them here:")
    for line in told:
        say(line, "  ")


def person_of(
    ids: Collection[str], texts: Collection[str], rows: Iterable[Mapping[str, Any]]
) -> Person:
    """Return whom ids mean: all ids of the people who bear one of them, and their names. Pure.

    One person may have a row in each of several systems, with one address. Raises ConfigError
    where a text is too short to tell who it names.
    """
    known = [{row[name] for name in IDS if row[name]} for row in rows]
    names = [row["name"] for row in rows if row["name"]]
    if short := [text for text in texts if len(text) < TEXT_MIN]:
        raise ConfigError(f"too short to name somebody: {', '.join(short)}")
    found = set(ids)
    while more := [each for each in known if each & found and not each <= found]:
        found.update(*more)
    own = {str(row["name"]) for row in rows if row["name"] and found & {row[name] for name in IDS}}
    told = {each for each in own if len(each) >= TEXT_MIN and names.count(each) == 1}
    return Person(frozenset(found), frozenset({*texts, *told}))


def _names(topic: Topic, row: Mapping[str, Any]) -> bool:
    return any(row[name] is not None for name in shares_of(topic)[False])


def _last(
    settings: Settings, serde: Serde, topic: Topic
) -> dict[Place, tuple[Message, dict[str, Any]]]:
    """The last record of each key on each partition, as it can be read."""
    found: dict[Place, tuple[Message, dict[str, Any]]] = {}
    for message in read_topic(settings.kafka, topic.name):
        place, value = (message.partition(), message.key()), message.value()
        found.pop(place, None)
        try:
            if value is not None:
                found[place] = message, serde.read(value)
        except RecordError:  # a row that nobody can read names nobody
            continue
    return found


def _letters_of(
    settings: Settings, serde: Serde, sealing: Sealing, person: Person
) -> Iterator[list[bytes]]:
    """Yield the keys of each dead letter that holds a text of a person."""
    holds = holder_of(person.texts)
    for message in read_topic(settings.kafka, LETTERS):
        value = message.value()
        try:
            letter = {} if value is None else serde.read(value)
            [record] = serde.opened([letter.get("value")])
        except RecordError:
            continue
        detail = str(letter.get("detail") or "").encode()
        held = b"\0".join([letter.get("key") or b"", record or b"", detail])
        if value is not None and (_is_of(letter, person) or holds(held)):
            yield sealing.key_ids(value)


def _is_of(letter: Mapping[str, Any], person: Person) -> bool:
    """Whether a dead letter is of a person's own row at a source."""
    try:
        row_id = decode_key(letter["key"] or b"")
    except RecordError:
        return False
    return subject_of_row(str(letter["topic"]), row_id) in person.ids


def _close(settings: Settings, serde: Serde, named: Iterable[Named]) -> None:
    """Publish rows without names, where they stood, so that whoever holds them has them so."""
    for topic in TOPICS:
        own = {each.place: each for each in named if each.topic is topic}
        if not own:
            continue
        closed = {place: serde.value(topic.name, each.closed) for place, each in own.items()}
        _publish(settings, topic, closed)
        # What changed while this was done is to be the last word again.
        later = {
            place: message.value()
            for message in read_topic(settings.kafka, topic.name)
            if (place := (message.partition(), message.key())) in own
            and message.offset() > own[place].message.offset()
            and message.value() != closed[place]
        }
        _publish(settings, topic, later)


def _publish(settings: Settings, topic: Topic, values: Mapping[Place, bytes | None]) -> None:
    records = (RawRecord(*place, value) for place, value in values.items())
    hint = "the keys are destroyed; give the same command again"
    publish_all(settings.kafka, topic.name, records, within_s=_FLUSH_S, hint=hint)
