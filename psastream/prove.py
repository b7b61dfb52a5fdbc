"""Proves from the topics alone that no source record has vanished. Upholds I5.

Each group's state log says what became of the records of a source partition up to some offset;
the source topic says how many there are. Nothing of the running workers is trusted, or disturbed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Final

from psastream.lines import fitted, say
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
    kafka: KafkaSettings,
    registry: Registry,
    groups: Iterable[GroupSpec],
    tell: Callable[[str], None] = lambda _: None,
) -> Proof:
    """Compare what the groups say with the topics. Raises BrokerUnavailableError.

    `tell` hears what is being read.
    """
    tallies = {}
    for group in groups:
        tell(f"reading the state of {group.name}")
        tallies[group.name] = _tallies(kafka, group)
    found, whole = _count(kafka, tallies, tell)
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
    kafka: KafkaSettings,
    tallies: Mapping[str, Mapping[Place, Tally]],
    tell: Callable[[str], None],
) -> tuple[Counter[tuple[str, Place]], set[Place]]:
    """Count the readable records each tally covers; say which places have lost none."""
    compacted = {topic.name for topic in PRODUCT_TOPICS if topic.cleanup is Cleanup.COMPACT}
    counts: Counter[tuple[str, Place]] = Counter()
    whole: set[Place] = set()
    topics = sorted({topic for places in tallies.values() for topic, _ in places})
    for number, topic in enumerate(topics, 1):
        tell(f"counting {topic} ({number} of {len(topics)} topics)")
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
    serde = Serde(registry)  # which topic a letter is of is not encrypted
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


def print_proof(proof: Proof, *, is_whole: bool = False) -> None:
    """Print a line for each group, each partition that differs, then the verdict.

    `is_whole`: a line for each partition.
    """
    for group, lines in groupby(proof.lines, key=lambda line: line.group):
        for text in _group_lines(group, list(lines), is_whole=is_whole):
            print(text)
    for letters in proof.letters:
        if not letters.holds:
            say(
                f"{letters.counted} records dead-lettered, {letters.found} on {DEAD_LETTERS}",
                f"{letters.topic}: ",
            )
    consumed = sum(line.tally.accounting.consumed for line in proof.lines)
    if proof.holds:
        print(
            f"accounting holds: {consumed:,} records of {len(proof.lines)} partitions\n"
            "  = applied + stale + parked + dead-lettered"
        )
    else:
        failing = sum(not line.holds for line in proof.lines)
        failing += sum(not letters.holds for letters in proof.letters)
        say(
            f"accounting does NOT hold: {failing} differ;"
            " psastream docs guarantees says what may be"
        )


def _group_lines(group: str, lines: Sequence[Line], *, is_whole: bool) -> Iterator[str]:
    outcomes = [line.tally.accounting for line in lines]
    verdict = "ok" if all(line.holds for line in lines) else "FAIL"
    yield (
        f"{verdict:<6}{group:<12}{sum(each.consumed for each in outcomes):>9,}"
        f" = {sum(each.applied for each in outcomes):,} applied"
        f" + {sum(each.stale for each in outcomes):,} stale"
        f" + {sum(each.parked for each in outcomes):,} parked"
        f" + {sum(each.dead_lettered for each in outcomes):,} dead"
    )
    for line in lines:
        if is_whole or not line.holds:
            yield from fitted(f"      {line.topic}|{line.partition}", _said(line))


def _said(line: Line) -> str:
    """Return what is said of a partition, and what is there."""
    outcomes = line.tally.accounting
    short = line.found - outcomes.consumed
    # Of a compacted or expired range fewer records are left than were consumed.
    verdict = ("=" if short == 0 else "some gone") if line.holds else f"{short:+d}"
    return (
        f"{line.tally.start}-{line.tally.end}: {outcomes.consumed} accounted,"
        f" {line.found} found, {verdict}"
    )
