"""What no source can tell again, as files, and back: a copy for the loss of a cluster.

An Avro file a topic, of the records as they are, with partition and time; beside them the schemas
that they were written by. A registry that is new may give these other ids: each record gets the id
of now in place of the one of then. All else that psastream keeps is computed again from sources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import fastavro
from confluent_kafka import Message

from connectors.dispatch.guard import hold_id, hold_record
from connectors.dispatch.journal import EXCEPTIONS, INTENTS, RESULTS
from psastream.exceptions import publish
from runtime.data_keys import has_keys
from runtime.kafka import KafkaSettings, RawRecord, publish_all, read_topic, topic_spans
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.topics import DISPATCH

TOPICS: Final = tuple(topic.name for topic in DISPATCH)
SCHEMAS: Final = "schemas.json"
FLUSH_S: Final = 60.0
FRAME_BYTES: Final = 5
_RECORD: Final = fastavro.parse_schema(
    {
        "type": "record",
        "name": "psastream.backup.Record",
        "fields": [
            {"name": "partition", "type": "int"},
            {"name": "timestamp_ms", "type": "long"},
            {"name": "key", "type": ["null", "bytes"]},
            {"name": "value", "type": ["null", "bytes"]},
        ],
    }
)

Ids = dict[str, dict[int, str]]
"""Text of each schema by subject and id."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many records each topic got, and the exceptions that have commands wait."""

    records: Mapping[str, int]
    holds: tuple[str, ...]


def save_topics(settings: Settings, folder: Path) -> dict[str, int]:
    """Write the topics to files in a new folder; return how many records each has.

    Raises ConfigError where the folder is there already or records are encrypted: their frames say
    by which schema of this registry they can be opened, so no other could. Raises
    BrokerUnavailableError, RegistryUnavailableError, and DecodeError for a record of a schema that
    nobody knows.
    """
    if not folder.exists() and has_keys(settings.kafka):
        raise ConfigError(
            "records of this firm are encrypted, and a copy could not be opened elsewhere",
            hint="mirror all topics with psastream-keys and the registry's: see psastream docs"
            " disaster-recovery",
        )
    registry, ids = Registry(settings.registry), dict[str, dict[int, str]]()
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"the folder cannot be made: {folder}: {error.strerror}",
            hint="name one for each copy that is not there yet",
        ) from error
    counts = {}
    for topic in TOPICS:
        kept = [_kept(message) for message in read_topic(settings.kafka, topic)]
        for row in kept:
            for part in ("key", "value"):
                if row[part] is not None:
                    known = ids.setdefault(f"{topic}-{part}", {})
                    if (number := _id_of(row[part])) not in known:
                        known[number] = registry.schema(number).text
        with (folder / f"{topic}.avro").open("wb") as file:
            fastavro.writer(file, _RECORD, kept, codec="deflate")
        counts[topic] = len(kept)
    # Last: a folder without it is no whole copy.
    (folder / SCHEMAS).write_text(json.dumps(ids, indent=1))
    return counts


def load_topics(settings: Settings, folder: Path) -> Loaded:
    """Publish what `save_topics` wrote, and have the commands of its targets wait for a person.

    What workers order while they read anew is wrong until they have read all of it, and a ledger
    that is there would let it be sent. Raises ConfigError where the folder holds no whole copy or
    a topic holds records, BrokerUnavailableError, RegistryUnavailableError and
    IncompatibleSchemaError.
    """
    try:
        saved: Ids = {
            subject: {int(number): text for number, text in schemas.items()}
            for subject, schemas in json.loads((folder / SCHEMAS).read_text()).items()
        }
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no whole copy: {folder / SCHEMAS}: {error}", hint="psastream topics save makes one"
        ) from error
    _require_empty(settings.kafka)
    registry = Registry(settings.registry)
    ids = {
        subject: {number: registry.register(subject, text) for number, text in schemas.items()}
        for subject, schemas in saved.items()
    }
    serde, targets = Serde(registry), dict[str, None]()
    counts = {}
    for topic in TOPICS:
        rows = list(_rows(folder / f"{topic}.avro", topic, ids))
        if topic in {RESULTS, INTENTS}:
            values = (serde.read(row["value"]) for row in rows if row["value"] is not None)
            targets.update(dict.fromkeys(str(value["target"]) for value in values))
        _publish(settings.kafka, topic, rows)
        counts[topic] = len(rows)
    detail = f"the ledger of commands was loaded from {folder.name}. No command is sent."
    at = datetime.now(UTC)
    holds = [hold_record(target, detail, at) for target in targets]
    publish(settings, EXCEPTIONS, "exception_id", holds)
    return Loaded(counts, tuple(hold_id(target) for target in targets))


def _kept(message: Message) -> dict[str, Any]:
    return {
        "partition": message.partition(),
        "timestamp_ms": message.timestamp()[1],
        "key": message.key(),
        "value": message.value(),
    }


def _id_of(framed: bytes) -> int:
    return int.from_bytes(framed[1:FRAME_BYTES])


def _rows(path: Path, topic: str, ids: Mapping[str, Mapping[int, int]]) -> Iterator[dict[str, Any]]:
    """Yield the records of a file by the ids of now. Raises ConfigError where it is damaged."""
    try:
        with path.open("rb") as file:
            for row in fastavro.reader(file):
                assert isinstance(row, dict)
                for part in ("key", "value"):
                    if (framed := row[part]) is not None:
                        number = ids[f"{topic}-{part}"][_id_of(framed)]
                        row[part] = framed[:1] + number.to_bytes(4) + framed[FRAME_BYTES:]
                yield row
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ConfigError(
            f"the copy cannot be read: {path}: {error!r}", hint="take another copy"
        ) from error


def _require_empty(kafka: KafkaSettings) -> None:
    for topic in TOPICS:
        if any(first < end for first, end in topic_spans(kafka, topic).values()):
            raise ConfigError(
                f"{topic} holds records",
                hint="load a copy into topics just made, before any process starts",
            )


def _publish(kafka: KafkaSettings, topic: str, rows: list[dict[str, Any]]) -> None:
    names = ("partition", "key", "value", "timestamp_ms")
    records = (RawRecord(*(row[name] for name in names)) for row in rows)
    hint = "delete the topics, make them anew, and load the copy again"
    publish_all(kafka, topic, records, within_s=FLUSH_S, hint=hint)
