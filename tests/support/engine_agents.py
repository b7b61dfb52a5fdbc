"""Agents for the engine's own tests: totals of rows with retraction, and adjustments of totals.

Both share the totals of a project, so any lost, repeated or torn chunk shows in them.
Amounts are whole cents.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streams.engine import Accounting, AgentSpec, Chunk, Effects, GroupSpec, OutputBatch, State

Record = tuple[bytes | None, bytes | None]


@dataclass(frozen=True)
class Topics:
    """The topics of one test application."""

    rows: str
    adjustments: str
    totals: str
    state: str

    @classmethod
    def of(cls, app_id: str) -> "Topics":
        return cls(*(f"{app_id}-{name}" for name in ("rows", "adjustments", "totals", "state")))


def row(project: str, amount: int) -> bytes:
    return f"{project}:{amount}".encode()


def parse_row(value: bytes) -> tuple[str, int]:
    project, amount = value.decode().split(":")
    return project, int(amount)


@dataclass(frozen=True)
class FoldRows:
    """Key: row id; value: project and amount, or None. A total is the sum over the latest rows."""

    totals_topic: str

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        latest = {key: value for key, value in zip(chunk.keys, chunk.values, strict=True) if key}
        row_keys = [b"r:" + key for key in latest]
        deltas: dict[str, int] = defaultdict(int)
        for old in state.get_many(row_keys):
            if old is not None:
                project, amount = parse_row(old)
                deltas[project] -= amount
        for new in latest.values():
            if new is not None:
                project, amount = parse_row(new)
                deltas[project] += amount
        effects = add_to_totals(chunk, state, deltas, self.totals_topic)
        effects.state.update(zip(row_keys, latest.values(), strict=True))
        return effects


@dataclass(frozen=True)
class FoldAdjustments:
    """Key: project; value: amount to add to its total."""

    totals_topic: str

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        deltas: dict[str, int] = defaultdict(int)
        for key, value in zip(chunk.keys, chunk.values, strict=True):
            deltas[(key or b"").decode()] += int(value or 0)
        return add_to_totals(chunk, state, deltas, self.totals_topic)


def add_to_totals(chunk: Chunk, state: State, deltas: dict[str, int], topic: str) -> Effects:
    projects = list(deltas)
    keys = [b"t:" + project.encode() for project in projects]
    old = state.get_many(keys)
    totals = [
        b"%d" % (int(value or 0) + deltas[project])
        for project, value in zip(projects, old, strict=True)
    ]
    return Effects(
        state=dict(zip(keys, totals, strict=True)),
        outputs=[
            OutputBatch(
                topic, [chunk.partition] * len(keys), [p.encode() for p in projects], totals
            )
        ],
        accounting=Accounting(applied=len(chunk)),
    )


def totals_group(topics: Topics, partitions: int) -> GroupSpec:
    return GroupSpec(
        name="totals",
        partitions=partitions,
        agents=(
            AgentSpec(topics.rows, FoldRows(topics.totals)),
            AgentSpec(topics.adjustments, FoldAdjustments(topics.totals)),
        ),
        state_topic=topics.state,
        output_topics=(topics.totals,),
    )


def expected_totals(rows: Iterable[Record], adjustments: Iterable[Record]) -> dict[str, int]:
    """What the totals must be, from the source records alone."""
    latest: dict[bytes, bytes | None] = {}
    touched: dict[str, int] = defaultdict(int)
    for key, value in rows:
        assert key is not None
        if value is not None:
            touched[parse_row(value)[0]] += 0
        latest[key] = value
    for value in latest.values():
        if value is not None:
            project, amount = parse_row(value)
            touched[project] += amount
    for key, value in adjustments:
        touched[(key or b"").decode()] += int(value or 0)
    return dict(touched)


def latest_totals(outputs: Sequence[Record]) -> dict[str, int]:
    return {(key or b"").decode(): int(value or 0) for key, value in outputs}
