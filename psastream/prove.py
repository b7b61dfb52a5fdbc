"""Proves from the topics alone that no source record has vanished. Upholds I5.

Each group's state log says what became of the records of a source partition up to some offset;
the source topic says how many there are. Nothing of the running workers is trusted, or disturbed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from runtime.kafka import KafkaSettings, read_topic, topic_spans
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.topics import PRODUCT_TOPICS, Cleanup
from streams.engine import GroupSpec
from streams.engine.tally import TALLY_PREFIX, Tally

DEAD_LETTERS: Final = "psa.dlq"

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one group says of one source partition, and what is found there."""

    group: str
    topic: str
    partition: int
    tally: Tally
    found: int
    """Committed records that can still be read between the tally's offsets."""
    is_whole: bool
    """Whether none can be missing: the topic is not compacted and its start is still there."""

    @property
    def holds(self) -> bool:
        """Whether exactly what is there is accounted for; at least that, if some may be gone."""
        consumed = self.tally.accounting.consumed
        return consumed == self.found if self.is_whole else consumed >= self.found


@dataclass(frozen=True, slots=True)
class LetterLine:
    """Dead letters of one source topic: those the groups counted, and those on `psa.dlq`."""

    topic: str
    counted: int
    found: int
    is_whole: bool

    @property
    def holds(self) -> bool:
        """Whether each is there, unless some have expired. More may have come meanwhile."""
        return self.found >= self.counted or not self.is_whole


@dataclass(frozen=True, slots=True)
class Proof:
    """Both comparisons."""

    lines: Sequence[Line]
    letters: Sequence[LetterLine]

    @property
    def holds(self) -> bool:
        """Whether every line holds."""
        return all(line.holds for line in self.lines) and all(
            letters.holds for letters in self.letters
        )


def prove_accounting(
    kafka: KafkaSettings, registry: Registry, groups: Iterable[GroupSpec]
) -> Proof:
    """Compare what the groups say with the topics. Raises BrokerUnavailableError."""
    tallies = {group.name: _tallies(kafka, group) for group in groups}
    found, whole = _count(kafka, tallies)
    lines = [
        Line(group, *place, tally, found[group, place], place in whole)
        for group, places in tallies.items()
        for place, tally in sorted(places.items())
    ]
    counted: Counter[str] = Counter()
    for line in lines:
        counted[line.topic] += line.tally.accounting.dead_lettered
    return Proof(lines, _letters(kafka, registry, counted))


def _tallies(kafka: KafkaSettings, group: GroupSpec) -> dict[Place, Tally]:
    """Read the last tally of every source partition from a group's state log."""
    records = ((m.partition(), m.key(), m.value()) for m in read_topic(kafka, group.state_topic))
    return tallies_of(records, group.handlers().keys())


def tallies_of(
    records: Iterable[tuple[int, bytes, bytes | None]], topics: Collection[str]
) -> dict[Place, Tally]:
    """Return the last tallies among records (partition, key, value) of a state log.

    Those of other topics are left out: of a system that the landscape has dropped the state still
    tells, and its topics may be deleted.
    """
    found: dict[Place, Tally] = {}
    for partition, key, value in records:
        topic = key.removeprefix(TALLY_PREFIX).decode(errors="replace")
        if key.startswith(TALLY_PREFIX) and topic in topics and value is not None:
            found[topic, partition] = Tally.from_bytes(value)
    return found


def _count(
    kafka: KafkaSettings, tallies: Mapping[str, Mapping[Place, Tally]]
) -> tuple[Counter[tuple[str, Place]], set[Place]]:
    """Count the readable records each tally covers; say which places have lost none."""
    compacted = {topic.name for topic in PRODUCT_TOPICS if topic.cleanup is Cleanup.COMPACT}
    counts: Counter[tuple[str, Place]] = Counter()
    whole: set[Place] = set()
    for topic in sorted({topic for places in tallies.values() for topic, _ in places}):
        covering: dict[int, list[tuple[str, Tally]]] = {}
        for group, places in tallies.items():
            for (name, partition), tally in places.items():
                if name == topic:
                    covering.setdefault(partition, []).append((group, tally))
        for partition, (start, _) in topic_spans(kafka, topic).items():
            starts = [tally.start for _, tally in covering.get(partition, ())]
            if topic not in compacted and start <= min(starts, default=0):
                whole.add((topic, partition))
        for message in read_topic(kafka, topic):
            for group, tally in covering.get(message.partition(), ()):
                if tally.start <= message.offset() < tally.end:
                    counts[group, (topic, message.partition())] += 1
    return counts, whole


def _letters(
    kafka: KafkaSettings, registry: Registry, counted: Mapping[str, int]
) -> list[LetterLine]:
    serde = Serde(registry)
    found = Counter(
        serde.read(value)["topic"]
        for message in read_topic(kafka, DEAD_LETTERS)
        if (value := message.value()) is not None
    )
    is_whole = all(start == 0 for start, _ in topic_spans(kafka, DEAD_LETTERS).values())
    return [
        LetterLine(topic, number, found[topic], is_whole)
        for topic, number in sorted(counted.items())
        if number
    ]


def proof_json(proof: Proof) -> str:
    """Return the proof as a JSON object, with a verdict for each line and for all."""
    return json.dumps(
        {
            "holds": proof.holds,
            "lines": [{**asdict(line), "holds": line.holds} for line in proof.lines],
            "letters": [{**asdict(line), "holds": line.holds} for line in proof.letters],
        },
        indent=2,
    )


def print_proof(proof: Proof) -> None:
    """Print what differs, or all if nothing does."""
    console = Console()
    console.print(_record_table([line for line in proof.lines if line.holds == proof.holds]))
    for letters in proof.letters:
        if not letters.holds:
            console.print(
                f"{letters.topic}: {letters.counted} records dead-lettered, "
                f"{letters.found} on {DEAD_LETTERS}"
            )
    consumed = sum(line.tally.accounting.consumed for line in proof.lines)
    if proof.holds:
        console.print(
            f"accounting holds: {consumed} records of {len(proof.lines)} partitions"
            " = applied + stale + parked + dead-lettered"
        )
    else:
        console.print("accounting does NOT hold")


def _record_table(lines: Sequence[Line]) -> Table:
    table = Table(
        "group", "topic", "partition", "offsets", "applied", "stale", "parked", "dead", "found", ""
    )
    for line in lines:
        tally, outcomes = line.tally, line.tally.accounting
        short = line.found - outcomes.consumed
        # Of a compacted or expired range fewer records are left than were consumed.
        verdict = ("=" if short == 0 else "some gone") if line.holds else f"{short:+d}"
        table.add_row(
            line.group,
            line.topic,
            str(line.partition),
            f"{tally.start}-{tally.end}",
            str(outcomes.applied),
            str(outcomes.stale),
            str(outcomes.parked),
            str(outcomes.dead_lettered),
            str(line.found),
            verdict,
        )
    return table
