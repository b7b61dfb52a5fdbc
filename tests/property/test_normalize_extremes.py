"""Source rows of any value their types allow: mapped or refused, and what is published is read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec
from schemas.contracts import record_of
from schemas.envelope import envelope_schema
from streams.agents.normalize import make_normalizer
from tests.support.catalogue import BY_NAME, SYSTEMS, load_mappings
from tests.support.examples import examples
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    chunk_of,
    debezium_schema,
    mapping_text,
    published,
)

MAPPINGS = {
    topic: mapping
    for system in SYSTEMS
    for topic, mapping in load_mappings(mapping_text(system)).items()
}
INTS = [-(2**31), -719_163, -719_162, 0, 2_932_896, 2_932_897, 6_661_026, 95_026_601, 2**31 - 1]
LONGS = [-(2**63), -62_135_596_800_001, 0, 253_402_300_800_000, 2**63 - 1]
TEXTS = ["", " ", "x", "EUR", "20206-01-05T00:00:00Z", "0000-01-01T00:00:00.000000Z", "2026-02-30"]


def values_of(  # noqa: PLR0911, PLR0912 - one branch for each type
    avro: Any,
) -> st.SearchStrategy[Any]:
    """Any value of a type of a source row, favouring what may be too much."""
    match avro:
        case list():
            return st.one_of(*(values_of(branch) for branch in avro))
        case {"type": "record", "fields": fields}:
            return st.fixed_dictionaries({f["name"]: values_of(f["type"]) for f in fields})
        case {"logicalType": "decimal", "precision": int(digits), "scale": int(scale)}:
            limit = 10**digits - 1
            return st.sampled_from([-limit, 0, 1, limit]).map(
                lambda unscaled: Decimal(unscaled).scaleb(-scale)
            )
        case {"type": "array", "items": items}:
            return st.lists(values_of(items), max_size=8)
        case {"type": "map", "values": values}:
            return st.dictionaries(st.sampled_from(TEXTS), values_of(values), max_size=3)
        case {"type": "enum", "symbols": symbols}:
            return st.sampled_from(symbols)
        case {"type": inner}:
            return values_of(inner)
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "int":
            return st.sampled_from(INTS)
        case "long":
            return st.sampled_from(LONGS)
        case "string":
            return st.sampled_from(TEXTS)
        case "bytes":
            return st.binary(max_size=9)
        case "float" | "double":
            return st.floats()
    raise AssertionError(avro)


@pytest.mark.fault("B1", place="schemas/mapping/rules.py")
@pytest.mark.parametrize("topic", MAPPINGS)
@settings(max_examples=examples(4), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_b1_whatever_a_source_row_holds_is_published_or_refused(
    topic: str, data: st.DataObject
) -> None:
    contract = record_of(BY_NAME[topic])
    schema = debezium_schema(topic) if contract is None else envelope_schema(contract)
    registry = FakeRegistry()
    schema_id, codec = registry.add(schema), RecordCodec(schema)
    names: dict[str, Any] = {}
    definition = _inlined(schema.parsed, names)
    rows = data.draw(st.lists(values_of(definition), min_size=1, max_size=5))
    for position, row in enumerate(rows):  # or no envelope would be sound
        row["op"] = data.draw(st.sampled_from("cu"))
        row["source"] |= {"sequence": f'["{position + 1}"]', "ts_ms": 1_767_225_600_000}
        if "lsn" in row["source"]:
            row["source"]["lsn"] = position + 1
    chunk = chunk_of(topic, [frame(schema_id, codec.encode(row)) for row in rows])
    effects = make_normalizer(MAPPINGS[topic], registry)(chunk, MemoryState())
    assert effects.accounting.consumed == len(rows)
    published(effects)  # whoever reads it can hold it


def _inlined(node: Any, names: dict[str, Any]) -> Any:
    """The schema with every named type in the place of its name."""
    if isinstance(node, str):
        return names.get(node, node)
    if isinstance(node, list):
        return [_inlined(item, names) for item in node]
    made = dict(node)
    if "fields" in made:
        made["fields"] = [
            {**field, "type": _inlined(field["type"], names)} for field in made["fields"]
        ]
    for part in ("items", "values"):
        if part in made:
            made[part] = _inlined(made[part], names)
    if not isinstance(made["type"], str) or made["type"] in names:
        made["type"] = _inlined(made["type"], names)
    if "name" in made:
        names[made["name"]] = made
    return made
