"""Agents of the crash suite: totals of projects, and totals of regions folded from partials.

The group `totals` folds rows and adjustments into the totals of projects, and publishes what each
region holds on this partition (a partial) to an internal topic. The group `regions` replaces the
partial it had. Every figure carries the number of records in it and a version that counts its
publications, so that what is applied or published twice, or not at all, can be told. A
record that makes its handler fail goes to the letters.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from streams.engine import (
    Accounting,
    AgentSpec,
    Chunk,
    Effects,
    Failure,
    GroupSpec,
    Output,
    State,
)
from tests.support.engine_agents import parse_row

REGIONS = 9
POISON = b"poison"
"""A value that makes the handlers of rows and of adjustments fail."""


@dataclass(frozen=True)
class RegionTopics:
    """The topics of one test application."""

    rows: str
    adjustments: str
    totals: str
    partials: str
    regions: str
    letters: str
    totals_state: str
    regions_state: str

    @classmethod
    def of(cls, app_id: str) -> "RegionTopics":
        return cls(*(f"{app_id}-{name.replace('_', '-')}" for name in cls.__annotations__))

    @property
    def sources(self) -> tuple[str, ...]:
        """What the groups read."""
        return (self.rows, self.adjustments, self.partials)

    @property
    def states(self) -> tuple[str, ...]:
        return (self.totals_state, self.regions_state)


@dataclass(frozen=True)
class Figure:
    """An amount, the number of source records in it, and how often it has been published."""

    amount: int = 0
    records: int = 0
    version: int = 0

    @classmethod
    def parse(cls, value: bytes | None) -> "Figure":
        return cls(*(int(part) for part in value.split(b":"))) if value else cls()

    def encode(self) -> bytes:
        return b"%d:%d:%d" % (self.amount, self.records, self.version)

    def plus(self, other: "Figure") -> "Figure":
        """Both together, as the next version of this one."""
        return Figure(self.amount + other.amount, self.records + other.records, self.version + 1)


Deltas = defaultdict[str, Figure]


def deltas() -> Deltas:
    return defaultdict(Figure)


def region_of(project: str) -> str:
    return f"G{int(project.rpartition('-')[2]) % REGIONS}"


def partition_of(region: str, partitions: int) -> int:
    return int(region[1:]) % partitions


@dataclass(frozen=True)
class FoldRegionRows:
    """Key: row id; value: project and amount, or None. An amount is the sum over latest rows."""

    topics: RegionTopics
    partitions: int

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        changes = deltas()
        latest: dict[bytes, bytes | None] = {}
        for key, value in zip(chunk.keys, chunk.values, strict=True):
            latest[key or b""] = value
            if value is not None:
                changes[parse_row(value)[0]] = changes[parse_row(value)[0]].plus(Figure(0, 1))
        row_keys = [b"r:" + key for key in latest]
        olds = state.get_many(row_keys)
        for sign, values in ((-1, olds), (1, list(latest.values()))):
            for value in values:
                if value is not None:
                    project, amount = parse_row(value)
                    changes[project] = changes[project].plus(Figure(sign * amount))
        effects = publish(chunk, state, changes, self.topics, self.partitions)
        effects.state.update(zip(row_keys, latest.values(), strict=True))
        return effects


@dataclass(frozen=True)
class FoldRegionAdjustments:
    """Key: project; value: amount to add to its total."""

    topics: RegionTopics
    partitions: int

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        changes = deltas()
        for key, value in zip(chunk.keys, chunk.values, strict=True):
            project = (key or b"").decode()
            changes[project] = changes[project].plus(Figure(int(value or 0), 1))
        return publish(chunk, state, changes, self.topics, self.partitions)


def publish(
    chunk: Chunk, state: State, changes: Deltas, topics: RegionTopics, partitions: int
) -> Effects:
    """Add to the totals of projects and to the partials of their regions, and publish both."""
    by_region = deltas()
    for project, change in changes.items():
        by_region[region_of(project)] = by_region[region_of(project)].plus(change)
    effects = Effects(accounting=Accounting(applied=len(chunk)))
    for project, figure in advanced(state, b"t:", changes, effects):
        effects.outputs.append(Output(topics.totals, chunk.partition, project.encode(), figure))
    for region, figure in advanced(state, b"p:", by_region, effects):
        key = f"{region}/{chunk.partition}".encode()
        target = partition_of(region, partitions)
        effects.outputs.append(Output(topics.partials, target, key, figure))
    count(chunk, state, effects)
    return effects


@dataclass(frozen=True)
class FoldPartials:
    """Key: region and source partition; value: the figure that replaces the one before."""

    topics: RegionTopics

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        latest = dict(zip(chunk.keys, chunk.values, strict=True))
        keys = [b"k:" + (key or b"") for key in latest]
        changes = deltas()
        for key, old, new in zip(latest, state.get_many(keys), latest.values(), strict=True):
            region = (key or b"").decode().partition("/")[0]
            before, after = Figure.parse(old), Figure.parse(new)
            change = Figure(after.amount - before.amount, after.records - before.records)
            changes[region] = changes[region].plus(change)
        effects = Effects(accounting=Accounting(applied=len(chunk)))
        for region, figure in advanced(state, b"g:", changes, effects):
            effects.outputs.append(
                Output(self.topics.regions, chunk.partition, region.encode(), figure)
            )
        effects.state.update(zip(keys, latest.values(), strict=True))
        count(chunk, state, effects)
        return effects


def advanced(
    state: State, prefix: bytes, changes: Deltas, effects: Effects
) -> Iterable[tuple[str, bytes]]:
    """Write the next version of each changed figure to the state; return them by name."""
    keys = [prefix + name.encode() for name in changes]
    olds = state.get_many(keys)
    figures = [
        Figure.parse(old).plus(change).encode()
        for old, change in zip(olds, changes.values(), strict=True)
    ]
    effects.state.update(zip(keys, figures, strict=True))
    return zip(changes, figures, strict=True)


def count(chunk: Chunk, state: State, effects: Effects) -> None:
    """Add the records of the chunk to those applied of its topic on this partition."""
    key = b"n:" + chunk.topic.encode()
    effects.state[key] = b"%d" % (int(state.get(key) or 0) + len(chunk))


@dataclass(frozen=True)
class WriteLetters:
    """The dead letter of a record: its place as the key, its value as it was."""

    topic: str

    def __call__(self, chunk: Chunk, failure: Failure) -> list[Output]:
        return [
            Output(self.topic, chunk.partition, f"{chunk.topic}/{offset}".encode(), value)
            for offset, value in zip(chunk.offsets, chunk.values, strict=True)
        ]


def region_groups(app_id: str, partitions: int) -> list[GroupSpec]:
    topics = RegionTopics.of(app_id)
    return [
        GroupSpec(
            name="totals",
            partitions=partitions,
            agents=(
                AgentSpec(topics.rows, FoldRegionRows(topics, partitions)),
                AgentSpec(topics.adjustments, FoldRegionAdjustments(topics, partitions)),
            ),
            state_topic=topics.totals_state,
            output_topics=(topics.totals, topics.partials, topics.letters),
            dead_letters=WriteLetters(topics.letters),
        ),
        GroupSpec(
            name="regions",
            partitions=partitions,
            agents=(AgentSpec(topics.partials, FoldPartials(topics)),),
            state_topic=topics.regions_state,
            output_topics=(topics.regions,),
        ),
    ]
