"""Processor time of a chunk by its size: the product's handlers with their state in memory.

At everyday rates a chunk holds 1 to 5 rows, so what a chunk costs however few they are decides.

Run: python -m bench.small_chunks [--stages normalize,"time entry"] [--sizes 1,2,2000] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any

from bench.changes import FIRST_DAY
from bench.normalize import TOPIC as SOURCE
from bench.normalize import MemoryState, captured, debezium_schema
from connectors.systems import Systems
from schemas import identity
from schemas.codec.framing import frame
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.contracts import record_of
from schemas.keys import encode_keys
from schemas.landscape import load_landscape
from schemas.topics import BY_NAME
from streams.engine import Chunk, ChunkHandler, Effects, State
from streams.groups import make_groups

SIZES = (1, 2, 5, 20, 100, 2_000)
ROWS = 5_000
"""Of each topic: most changes are of a row that is there."""
NOW_MS = 1_780_000_000_000
PROJECTS, PEOPLE, DEALS = 500, 200, 300
ROUNDS = 3

Row = dict[str, Any]


@dataclass
class Registry:
    """Schemas by their text; no server behind it."""

    schemas: list[AvroSchema] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)

    def schema(self, schema_id: int) -> AvroSchema:
        """See SchemaSource."""
        return self.schemas[schema_id - 1]

    def subject_id(self, subject: str, schema: str) -> int:
        """See SubjectIds."""
        if schema not in self.ids:
            self.schemas.append(load_schema(schema))
            self.ids[schema] = len(self.schemas)
        return self.ids[schema]


@dataclass(frozen=True)
class Stage:
    """A topic and how the value of a change is made of its position."""

    topic: str
    handler: ChunkHandler
    state: MemoryState
    message: Callable[[int], tuple[bytes, bytes]]

    def chunks(self, start: int, size: int) -> Iterator[Chunk]:
        """Yield chunks of a size, the first change at a position."""
        while True:
            messages = [self.message(position) for position in range(start, start + size)]
            yield Chunk(
                self.topic,
                0,
                start,
                start + size,
                range(start, start + size),
                [NOW_MS + position for position in range(start, start + size)],
                [key for key, _ in messages],
                [value for _, value in messages],
            )
            start += size


class Canonical:
    """Encodes the records of the product's topics."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._codecs: dict[str, tuple[int, int, RecordCodec]] = {}

    def message(self, topic: str, route: str, row_id: str, row: Row) -> tuple[bytes, bytes]:
        """Return key and value of a row."""
        definition = BY_NAME[topic]
        if topic not in self._codecs:
            schema = record_of(definition)
            assert schema is not None
            value_id = self._registry.subject_id(f"{topic}-value", schema.text)
            key_id = self._registry.subject_id(f"{topic}-key", '"string"')
            self._codecs[topic] = key_id, value_id, RecordCodec(schema)
        key_id, value_id, codec = self._codecs[topic]
        key = encode_keys(key_id, [definition.message_key(route, row_id)])[0]
        return key, frame(value_id, codec.encode(row))


def project_of(row: int) -> str:
    return f"inhouse:project:{row % PROJECTS}"


def engagement_of(row: int) -> str:
    return identity.engagement_id(f"salesforce:opportunity:{row % DEALS}")


def decimal(units: int, scale: int) -> Decimal:
    return Decimal(units).scaleb(-scale)


class Firm:
    """The rows of a firm, one after another, as the stages get them."""

    def __init__(self, canonical: Canonical) -> None:
        self._canonical = canonical
        self._rng = random.Random(7)

    def time_entry(self, position: int) -> tuple[bytes, bytes]:
        row = self._rng.randrange(ROWS)
        row_id, project = f"inhouse:time_entry:{row}", project_of(row)
        hours = self._rng.randrange(25, 800, 25)
        content = {
            "id": row_id,
            "project_ref": project,
            "task_ref": f"inhouse:task:{row % 2_000}",
            "resource_id": identity.resource_id(f"person{row % PEOPLE}@example.com"),
            "work_on": FIRST_DAY + timedelta(days=row % 180),
            "hours": decimal(hours, 2),
            "seconds": hours * 36,
            "bill_rate": decimal(1_500_000 + row % 1_000, 4),
            "cost_rate": decimal(800_000 + row % 1_000, 4),
            "currency": "EUR",
            "status": self._rng.choice(("draft", "submitted", "approved", "approved")),
            "is_billable": row % 5 > 0,
            "notes": f"worked on ticket {row}",
            "source_position": position,
            "source_at": datetime.fromtimestamp(NOW_MS / 1000, tz=UTC),
            "correlation_id": identity.correlation_id(row_id),
        }
        return self._canonical.message("psa.time_entry", project, row_id, content)

    def assignment(self, position: int) -> tuple[bytes, bytes]:
        row = self._rng.randrange(ROWS // 20)
        row_id, project = f"float:allocation:{row}", f"float:project:{row % PROJECTS}"
        starts_on = FIRST_DAY + timedelta(days=row % 180)
        hours = self._rng.randrange(100, 800, 50)
        content = {
            "id": row_id,
            "project_ref": project,
            "resource_ref": f"float:person:{row % PEOPLE}",
            "starts_on": starts_on,
            "ends_on": starts_on + timedelta(days=self._rng.randrange(20)),
            "hours_per_day": decimal(hours, 2),
            "seconds_per_day": hours * 36,
            "status": "approved",
            "is_billable": True,
            "source_position": position,
        }
        return self._canonical.message("psa.assignment", project, row_id, content)

    def deal(self, position: int) -> tuple[bytes, bytes]:
        row = self._rng.randrange(DEALS)
        row_id, engagement = f"salesforce:opportunity:{row}", engagement_of(row)
        content = {
            "id": row_id,
            "engagement_id": engagement,
            "customer_id": identity.customer_id(f"salesforce:account:{row % 50}"),
            "name": f"Deal {row}",
            "stage": self._rng.choice(("qualified", "proposed", "won")),
            "probability_ratio": decimal(self._rng.randrange(1_000_000), 6),
            "amount": decimal(self._rng.randrange(10**10), 4),
            "currency": "EUR",
            "starts_on": FIRST_DAY,
            "billing_type": "time_and_materials",
            "source_position": position,
        }
        return self._canonical.message("psa.opportunity", engagement, row_id, content)

    def partial(self, _: int) -> tuple[bytes, bytes]:
        row = self._rng.randrange(ROWS // 20)
        seconds = self._rng.randrange(0, 144_000, 900)
        person = identity.resource_id(f"person{row % PEOPLE}@example.com")
        content = {
            "measure": "utilization",
            "dimension": f"{person}|2026-W{row % 26 + 1:02d}",
            "source": f"project-0:{person}",
            "hours": decimal(seconds // 36, 2),
            "total_hours": decimal(seconds // 36, 2),
            "seconds": seconds,
            "total_seconds": seconds,
        }
        key = "|".join(content[name] for name in ("measure", "dimension", "source"))
        return self._canonical.message("psa.internal.partial", person, key, content)

    def project(self, row: int) -> tuple[bytes, bytes]:
        """A project of the PSA that the ERP holds, too."""
        row_id, engagement = project_of(row), engagement_of(row)
        content = {
            "id": row_id,
            "source_system": "inhouse",
            "project_id": identity.project_id(engagement, "DE"),
            "engagement_id": engagement,
            "name": f"Project {row}",
            "status": "active",
            "currency": "EUR",
            "source_position": row,
        }
        return self._canonical.message("psa.project", row_id, row_id, content)


def stages() -> dict[str, Stage]:
    """Return the stages of a change's way, each with the rows that are there already."""
    registry = Registry()
    landscape = load_landscape((files("connectors") / "landscape.yaml").read_text())
    mappings = Systems().read("inhouse").mappings
    groups = {group.name: group for group in make_groups(mappings, registry, landscape)}
    firm, source = Firm(Canonical(registry)), debezium_schema()
    codec, rng = RecordCodec(source), random.Random(7)
    source_id = registry.subject_id(SOURCE, source.text)

    def change(position: int) -> tuple[bytes, bytes]:
        return b"", frame(source_id, codec.encode(captured(rng, position, ROWS)))

    def stage(group: str, topic: str, message: Callable[[int], tuple[bytes, bytes]]) -> Stage:
        return Stage(topic, groups[group].handlers()[topic], MemoryState(), message)

    found = {
        "normalize": stage("normalize", SOURCE, change),
        "time entry": stage("project", "psa.time_entry", firm.time_entry),
        "allocation": stage("project", "psa.assignment", firm.assignment),
        "deal": stage("engagement", "psa.opportunity", firm.deal),
        "partial": stage("rollup", "psa.internal.partial", firm.partial),
    }
    projects = Stage(
        "psa.project",
        groups["project"].handlers()["psa.project"],
        found["time entry"].state,
        firm.project,
    )
    work(projects, next(projects.chunks(0, PROJECTS)))
    return found


def work(stage: Stage, chunk: Chunk) -> None:
    """Have a stage take a chunk in, all of it."""
    effects = stage.handler(chunk, stage.state)
    assert not effects.accounting.dead_lettered
    commit(stage.state, effects)


def commit(state: MemoryState, effects: Effects) -> None:
    for key, value in effects.state.items():
        if value is None:
            state.rows.pop(key, None)
        else:
            state.rows[key] = value


def measured(
    handler: Callable[[Chunk, State], Effects], state: MemoryState, chunks: Sequence[Chunk]
) -> float:
    """Return the processor microseconds a chunk, those of polars' threads among them."""
    spent = 0.0
    for chunk in chunks:
        began = time.process_time()
        effects = handler(chunk, state)
        spent += time.process_time() - began
        commit(state, effects)
    return spent / len(chunks) * 1e6


def repetitions(size: int) -> int:
    """Return how many chunks of a size a round takes."""
    return max(2, 40 // max(size // 5, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", default="", help="some of them, by default all")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="rows a chunk")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    options = parser.parse_args()
    wanted = [name for name in options.stages.split(",") if name]
    print(f"{'stage':12s}{'rows':>8s}{'us a chunk':>12s}{'us a row':>12s}")
    for name, stage in stages().items():
        if wanted and name not in wanted:
            continue
        position = 1
        for chunk in (next(stage.chunks(position, ROWS)), next(stage.chunks(position + ROWS, 1))):
            work(stage, chunk)  # first use fills caches, too
        position += ROWS + 1
        for size in map(int, options.sizes.split(",")):
            rounds = []
            profiler = cProfile.Profile()
            for _ in range(ROUNDS):
                made = stage.chunks(position, size)
                chunks = [next(made) for _ in range(repetitions(size))]
                position += size * len(chunks)
                handler = stage.handler
                if options.profile:
                    handler = _profiled(profiler, stage.handler)
                rounds.append(measured(handler, stage.state, chunks))
            spent = statistics.median(rounds)
            print(f"{name:12s}{size:8,d}{spent:12,.0f}{spent / size:12,.1f}", flush=True)
            if options.profile:
                pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


def _profiled(profiler: cProfile.Profile, handler: ChunkHandler) -> ChunkHandler:
    def handle(chunk: Chunk, state: State) -> Effects:
        return profiler.runcall(handler, chunk, state)

    return handle


if __name__ == "__main__":
    main()
