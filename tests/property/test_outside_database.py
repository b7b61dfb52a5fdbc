"""A database nobody here designed, declared by a folder outside the product, in memory.

Change events are made by hand as Debezium writes them (`tests/outside` has it write them): whatever
people did to the rows, in whichever order it came, margin, utilization and orders are those of the
rows that are left.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final

import pytest

from connectors.systems import Systems
from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec
from schemas.envelope import UNAVAILABLE
from schemas.landscape import Landscape, Role, System
from schemas.mapping.compiled import ObjectMapping
from schemas.routing import partition_of
from schemas.system import SystemBundle
from schemas.topics import PARTITIONS
from streams.groups import make_groups
from tables.lookups import WAITS
from tests.support.catalogue import LANDSCAPE
from tests.support.examples import examples
from tests.support.histories import Feeder
from tests.support.outputs import published_truth
from tests.support.topology import FixedRegistry, Topology
from tests.support.workshop import (
    FOLDER,
    HELD,
    KEYS,
    Change,
    Row,
    Truth,
    Workshop,
    canonical_project,
    truth_of,
)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRM: Final = Landscape(
    systems={
        **{name: each for name, each in LANDSCAPE.systems.items() if each.role is not Role.PSA},
        "workshop": System(role=Role.PSA),
    }
)
CHANGES: Final = 200
RICH: Final = 6
"""A seed whose story has all that is hard."""
TOASTED: Final = 2_000
"""Characters beyond which a text lies outside of its row, and is not sent with it unchanged."""


@cache
def bundle() -> SystemBundle:
    return Systems([FOLDER], FIRM).read("workshop")


@dataclass
class Captured:
    """The workshop as its changes are captured, and what the product makes of them."""

    seed: int

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.workshop = Workshop(self.seed)
        self.registry = FixedRegistry()
        self.mappings: dict[str, ObjectMapping] = {
            each.topic.rpartition(".")[2]: each for each in bundle().mappings
        }
        self.ids = {
            name: self.registry.add(f"{name}-value", each.reader)
            for name, each in self.mappings.items()
        }
        groups = make_groups(bundle().mappings, self.registry, FIRM)
        self.topology = Topology(
            [each for each in groups if each.agents],
            self.registry,
            seed=self.seed,
            chunk_max=self.chance.choice([30, 300]),
            own=[*bundle().topics.values()],
        )
        self.feeder = Feeder(self.topology)
        self.position = 0
        self.told: list[tuple[str, int, bytes, bytes]] = []

    def tell(self, change: Change) -> None:
        """Have a change captured; of what it was only the key, and long texts only if changed."""
        before = dict(zip(KEYS[change.table], change.key, strict=True))
        after = change.row
        if after is not None and change.before is not None and "note" in after:
            note = after["note"]
            if note is not None and len(note) > TOASTED and note == change.before["note"]:
                after = after | {"note": UNAVAILABLE}
        op = "d" if after is None else "c" if change.before is None else "u"
        self._write(
            change.table, change.key, op, None if op == "c" else before, after, kind="false"
        )

    def snapshot(self, kind: str) -> None:
        """Read all rows there are, in the midst of the stream."""
        reads = [(name, key) for name in KEYS for key in self.workshop.rows[name]]
        self.chance.shuffle(reads)
        for name, key in reads:
            self._write(name, key, "r", None, self.workshop.rows[name][key], kind=kind)

    def again(self) -> None:
        """Deliver a change that was delivered before."""
        topic, partition, key, value = self.chance.choice(self.told)
        self.topology.append(topic, partition, key, value)

    def bill(self) -> None:
        """Have the ERP hold the projects that it holds."""
        for number, (deal, country) in enumerate(HELD):
            project = canonical_project(deal, country)
            content = {"project_id": project, "engagement_id": project.rpartition("-")[0]}
            told = content | {"source_system": "netsuite", "country_code": country}
            self.feeder.upsert("psa.project", f"netsuite:project:{number}", told)

    def published(self) -> Truth:
        """What the product says, once it has read all there is."""
        self.topology.run()
        return published_truth(
            self.topology.table("psa.metric.project_margin"),
            self.topology.table("psa.metric.utilization"),
            self.topology.commands(),
        )

    def _write(
        self, table: str, key: object, op: str, before: Row | None, after: Row | None, *, kind: str
    ) -> None:
        self.position += 1_000
        mapping, declared = self.mappings[table], bundle().objects[table].columns
        fields: Any = mapping.reader.parsed["fields"]
        [read] = [each["type"][1]["fields"] for each in fields if each["name"] == "after"]
        used = after and {each["name"]: after[each["name"]] for each in read}
        source = {"ts_ms": self.topology.now_ms, "sequence": None, "lsn": self.position}
        envelope = {
            "before": before and as_debezium_writes(declared, before),
            "after": used and as_debezium_writes(declared, used),
            "source": source | {"snapshot": kind},
            "op": op,
        }
        value = frame(self.ids[table], RecordCodec(mapping.reader).encode(envelope))
        name = f"{table}|{key}"
        event = f"src.workshop.{table}", partition_of(name, PARTITIONS), name.encode(), value
        self.told.append(event)
        self.topology.append(*event)


def as_debezium_writes(declared: Mapping[str, str], row: Row) -> Row:
    return {name: written(declared[name], value) for name, value in row.items()}


def written(declared: str, value: Any) -> object:
    match value:
        case timedelta():
            seconds = Decimal(value // timedelta(microseconds=1)).scaleb(-6) - 86_400 * value.days
            hours, rest = divmod(seconds, 3_600)
            return f"P0Y0M{value.days}DT{hours}H{rest // 60}M{(rest % 60).normalize():f}S"
        case datetime() if declared == "timestamptz":
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case datetime():
            unit = timedelta(milliseconds=1) if "(0)" in declared else timedelta(microseconds=1)
            return (value.replace(tzinfo=UTC) - EPOCH) // unit
        case date():
            return (value - EPOCH.date()).days
        case Decimal():
            return str(value)
    return value


def story(seed: int) -> Captured:
    books = Captured(seed)
    for number, change in enumerate(books.workshop.changes(CHANGES)):
        books.tell(change)
        if number == CHANGES // 3:
            books.bill()
        if number == CHANGES // 2:
            books.topology.run()
            books.snapshot(books.chance.choice(["incremental", "true"]))
        if books.chance.random() < 0.1:
            books.again()
    return books


@pytest.mark.parametrize("seed", range(RICH, RICH + examples(1)))
def test_what_is_published_is_what_follows_from_the_rows_that_are_left(seed: int) -> None:
    books = story(seed)
    expected, found = truth_of(books.workshop), books.published()
    assert found.margin == expected.margin
    assert found.utilization == expected.utilization
    assert found.orders == expected.orders
    assert books.topology.outcomes["dead_lettered"] == 0
    if seed == RICH:  # else the comparison says little
        assert {key.rpartition("|")[2] for key in expected.margin} == {"EUR", "CHF", "XXX"}
        assert {key.split("|")[1] for key in expected.margin} == {"2025-12", "2026-01"}
        assert len(expected.utilization) > 5 and len(expected.orders) > 5
        waits = {each.split(b"|")[2] for each in books.topology.kept(WAITS.encode()).values()}
        assert b"missing" in waits
