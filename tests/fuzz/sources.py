"""Rows and envelopes of source topics through the shipped mappings and the normalizer."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from schemas.codec.framing import frame
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.contracts import record_of
from schemas.envelope import envelope_schema
from schemas.errors import InvalidEntityError
from schemas.mapping.compiled import ObjectMapping
from schemas.mapping.config import parse_config
from streams.agents.normalize import make_normalizer
from streams.engine import Accounting
from tests.fuzz import values
from tests.fuzz.case import Case, Kind
from tests.support.catalogue import BY_NAME, SYSTEMS, load_mappings
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Published,
    chunk_of,
    debezium_schema,
    mapping_text,
    published,
)

DEAD_LETTERS: Final = "psa.dlq"
OPERATIONS: Final = "cuuuuuuuurrrrdddt"


@dataclass(frozen=True)
class SourceTopic:
    """All about a source topic; `make_source` and `make_row` make any value of those parts."""

    name: str
    mapping: ObjectMapping
    schema: AvroSchema
    make_source: values.Maker
    make_row: values.Maker
    key: str
    deleted_when: str | None
    codec: RecordCodec


@cache
def source_topics() -> list[SourceTopic]:
    """Every source topic of the shipped mappings."""
    found = []
    for system in SYSTEMS:
        text = mapping_text(system)
        objects = parse_config(text).objects
        for name, mapping in load_mappings(text).items():
            contract = record_of(BY_NAME[name])
            schema = debezium_schema(name) if contract is None else envelope_schema(contract)
            config = objects[name.split(".")[2]]
            plan = values.inlined(schema.parsed)
            fields = {each["name"]: each["type"] for each in plan["fields"]}
            found.append(
                SourceTopic(
                    name,
                    mapping,
                    schema,
                    values.maker(fields["source"]),
                    values.maker(fields["after"][1]),
                    config.key,
                    config.deleted_when,
                    RecordCodec(schema),
                )
            )
    return found


@dataclass
class Played:
    """What came of chunks: records as published, in order, and the accounting of all."""

    records: list[Published]
    accounting: Accounting
    state: dict[bytes, bytes]

    def refused(self) -> set[int]:
        """Offsets of the dead letters."""
        return {
            each.value["offset"]
            for each in self.records
            if each.topic == DEAD_LETTERS and each.value
        }

    def compacted(self) -> dict[tuple[str, int, str], Any]:
        """The last record of each key; dead letters without what depends on the chunk."""
        return {(each.topic, each.partition, each.key): each.value for each in self.records}


def play(
    mapping: ObjectMapping,
    registry: FakeRegistry,
    messages: Sequence[bytes | None],
    cuts: Sequence[int] = (),
) -> Played:
    """Normalize the messages in chunks cut at these offsets."""
    normalize, state = make_normalizer(mapping, registry), MemoryState()
    done = Played([], Accounting(), state.rows)
    for low, high in itertools.pairwise([0, *sorted(set(cuts)), len(messages)]):
        effects = normalize(chunk_of(mapping.topic, messages[low:high], start=low), state)
        state.commit(effects)
        done.records += published(effects)
        one = effects.accounting
        done.accounting = Accounting(
            applied=done.accounting.applied + one.applied,
            stale=done.accounting.stale + one.stale,
            parked=done.accounting.parked + one.parked,
            dead_lettered=done.accounting.dead_lettered + one.dead_lettered,
        )
    return done


def run_rows(case: Case) -> None:
    """Rows of any value in sound envelopes: each is published or dead-lettered, however cut."""
    chance = case.chance
    topic = chance.choice(source_topics())
    registry = FakeRegistry()
    schema_id = registry.add(topic.schema)
    messages: list[bytes | None] = []
    told: dict[int, str] = {}  # offset → id of a row that is there and has a key of its own
    for offset in range(case.size):
        envelope = sound_envelope(chance, topic, offset)
        row = envelope["after"]
        try:
            messages.append(frame(schema_id, topic.codec.encode(envelope)))
        except InvalidEntityError:
            messages.append(frame(schema_id, b"\xff"))
            continue
        is_there = row is not None and not (topic.deleted_when and row[topic.deleted_when])
        if is_there and row[topic.key] in (offset + 1, f"r{offset}"):  # others may be trimmed
            told[offset] = f"{topic.mapping.row_prefix}{row[topic.key]}"
    case.step(len(messages))
    whole = play(topic.mapping, registry, messages)
    _accounted_for(case, topic, whole, len(messages))
    shown = {(each.topic, each.value["id"]) for each in whole.records
             if each.topic != DEAD_LETTERS and each.value}  # fmt: skip
    refused = whole.refused()
    ids = Counter(told.values())
    for offset, row_id in told.items():
        if offset in refused or ids[row_id] > 1:
            continue
        for target in topic.mapping.targets:
            case.expect(
                (target.topic.name, row_id) in shown,
                Kind.SILENT_DROP,
                lambda t=target, r=row_id: f"{topic.name}: {r} is not in {t.topic.name}",
                f"{topic.name}: an accepted row is not published",
            )
    if chance.random() < 0.5:
        cuts = chance.sample(range(1, len(messages)), min(2, len(messages) - 1))
        _same(case, topic, whole, play(topic.mapping, registry, messages, cuts))


def sound_envelope(chance: random.Random, topic: SourceTopic, offset: int) -> Any:
    """An envelope as a connector writes it, around a row of any values."""
    row, source = topic.make_row(chance), topic.make_source(chance)
    if chance.random() < 0.9:
        row[topic.key] = offset + 1 if isinstance(row[topic.key], int) else f"r{offset}"
    if topic.deleted_when and chance.random() < 0.9:
        row[topic.deleted_when] = False
    source |= {"sequence": json.dumps([str(offset + 1)]), "ts_ms": 1_767_225_600_000}
    source["snapshot"] = "false"
    if "lsn" in source:
        source["lsn"] = offset + 1
    return {"before": None, "after": row, "source": source, "op": chance.choice("cu"), "ts_ms": 1}


def _accounted_for(case: Case, topic: SourceTopic, played: Played, count: int) -> None:
    consumed = played.accounting.consumed
    case.expect(
        consumed == count and len(played.refused()) == played.accounting.dead_lettered,
        Kind.SILENT_DROP,
        lambda: (
            f"{topic.name}: {count} records, {played.accounting}, "
            f"{len(played.refused())} dead letters"
        ),
        "records that are not accounted for",
    )


def _same(case: Case, topic: SourceTopic, whole: Played, parts: Played) -> None:
    one, other = whole.compacted(), parts.compacted()
    standing = {key for key, value in one.items() if value is not None}
    others = {key for key, value in other.items() if value is not None}
    wrong = standing ^ others | {
        key for key in standing & others if repr(one[key]) != repr(other[key])
    }
    case.expect(
        not wrong and whole.state == parts.state,
        Kind.DISAGREEMENT,
        lambda: (
            f"{topic.name}: "
            + "\n".join(f"{key}: {one.get(key)} / {other.get(key)}" for key in sorted(wrong)[:3])
        ),
        f"{topic.name}: chunks show in what is published",
    )


def run_envelopes(case: Case) -> None:
    """Envelopes of any content, tombstones and bytes that are none: all are accounted for."""
    chance = case.chance
    topic = chance.choice(source_topics())
    registry = FakeRegistry()
    schema_id = registry.add(topic.schema)
    other_id = registry.add(_OTHER)
    messages: list[bytes | None] = []
    for offset in range(case.size):
        choice = chance.random()
        if choice < 0.02:
            messages.append(None)
            continue
        if choice < 0.04:
            messages.append(values.damaged(chance, frame(schema_id, b"")))
            continue
        envelope = _envelope(chance, topic, offset)
        try:
            payload = topic.codec.encode(envelope)
        except InvalidEntityError:  # an instant beyond its type, for one
            payload = b"\xff"
        if choice < 0.1:
            payload = values.damaged(chance, payload)
        messages.append(frame(other_id if choice > 0.99 else schema_id, payload))
    case.step(len(messages))
    cuts = chance.sample(range(1, len(messages)), min(1, len(messages) - 1))
    _accounted_for(case, topic, play(topic.mapping, registry, messages, cuts), len(messages))


_OTHER = load_schema({"type": "record", "name": "Other", "fields": [{"name": "x", "type": "int"}]})


def _envelope(chance: random.Random, topic: SourceTopic, offset: int) -> Any:
    before = topic.make_row(chance) if chance.random() < 0.2 else None
    after = topic.make_row(chance) if chance.random() < 0.8 else None
    for row in (before, after):
        if row is not None and chance.random() < 0.9:
            number = chance.randrange(1, 30)
            row[topic.key] = number if isinstance(row[topic.key], int) else f"r{number}"
    op = chance.choice(OPERATIONS) if chance.random() < 0.9 else values.text(chance)
    source = topic.make_source(chance)
    envelope = {"before": before, "after": after, "source": source, "op": op, "ts_ms": None}
    if chance.random() < 0.8:
        source["snapshot"] = chance.choice(
            ["false", "false", "true", "last", "incremental", "first"]
        )
    if chance.random() < 0.8:
        position = max(1, offset * 1_000 - chance.choice([0, 0, 0, 5_000]))
        source["sequence"] = json.dumps(
            chance.choice([[str(position)], [None, str(position)], [str(position)] * 2])
        )
        source["ts_ms"] = 1_767_225_600_000 + offset
        if "lsn" in source:
            source["lsn"] = position
    else:
        source["sequence"] = chance.choice(
            [
                None,
                "",
                "[]",
                "[1]",
                '["x"]',
                "{}",
                "[null]",
                '["-1"]',
                '["1e3"]',
                '["' + "9" * 30 + '"]',
            ]
        )
    return envelope
