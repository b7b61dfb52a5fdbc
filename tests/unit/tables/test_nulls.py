"""What the normalizer publishes, the tables take: whichever columns of a source row are null."""

from __future__ import annotations

import random
from typing import Any

import pytest

from schemas.errors import InvalidEntityError
from schemas.mapping.config import parse_config
from streams.agents.normalize import make_normalizer
from streams.groups import make_groups
from tables.foundation import facts
from tests.support.catalogue import LANDSCAPE, SYSTEMS
from tests.support.examples import examples
from tests.support.histories import Feeder
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Source,
    chunk_of,
    mapping_of,
    mapping_text,
    published,
)
from tests.support.topology import FixedRegistry, Topology
from tests.unit.schemas.test_mapping import CASES
from tests.unit.tables.test_facts import CONTRACTS

KEYS = {
    f"src.{system}.{name}": obj.key
    for system in SYSTEMS
    for name, obj in parse_config(mapping_text(system)).objects.items()
}
KNOWN = FixedRegistry()
GROUPS = make_groups([], KNOWN, LANDSCAPE)
READ = {agent.topic for group in GROUPS for agent in group.agents}  # by tables


def with_nulls(topic: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The row as it is, with each column null, with all of them null, and with some of them."""
    columns = [name for name in row if name != KEYS[topic]]
    some = random.Random(topic)
    chosen = [[], columns, *([name] for name in columns)]
    chosen += [some.sample(columns, some.randrange(len(columns))) for _ in range(examples(6))]
    return [{**row, **dict.fromkeys(names)} for names in chosen]


@pytest.mark.fault("B10", place="tables/foundation/facts.py")
@pytest.mark.parametrize(
    ("topic", "row"), [case[:2] for case in CASES], ids=lambda case: str(case)[:40]
)
def test_tables_take_whatever_is_published(topic: str, row: dict[str, Any]) -> None:
    registry = FakeRegistry()
    source, normalize = Source(topic, registry), make_normalizer(mapping_of(topic), registry)
    feeder = Feeder(Topology(GROUPS, KNOWN))
    for position, each in enumerate(with_nulls(topic, row), start=1):
        try:
            value = source.change(position, each)
        except InvalidEntityError:  # a NOT NULL column of a database
            continue
        for record in published(normalize(chunk_of(topic, [value]), MemoryState())):
            if record.topic in READ and record.value is not None:
                feeder.upsert(record.topic, record.value["id"], record.value)
    feeder.topology.run()
    assert feeder.topology.outcomes["dead_lettered"] == 0


@pytest.mark.fault("B10", place="tables/foundation/facts.py")
def test_what_a_fact_needs_the_mapping_requires() -> None:
    """All fields of a contract may be null; of those a table cannot do without none is."""
    made = {path.partition("/")[2]: fact for fact, path in CONTRACTS.items()}
    missing = [
        f"{system}.{name}: {field}"
        for system in SYSTEMS
        for name, obj in parse_config(mapping_text(system)).objects.items()
        for target in obj.targets
        for field in needed(made.get(target.entity))
        if field not in target.required and not is_never_null(obj.key, target.fields.get(field))
    ]
    assert missing == []


def needed(fact: type[facts.Fact] | None) -> list[str]:
    common = ("id", "source_system")
    fields = fact.model_fields if fact is not None else {}
    return [name for name, info in fields.items() if info.is_required() and name not in common]


def is_never_null(key: str, rule: Any) -> bool:
    """A constant, or what is made of the key; of alternatives, one of them."""
    if rule is None:
        return False
    if rule.first_non_null is not None:
        return any(is_never_null(key, part) for part in rule.first_non_null)
    return rule.constant is not None or rule.columns == (key,)
