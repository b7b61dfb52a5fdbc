"""AsyncAPI and ODCS documents of the catalogue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from psastream.governance.asyncapi import asyncapi_document
from psastream.governance.odcs import odcs_document
from psastream.governance.published import published
from schemas.codec.record import load_schema
from schemas.contracts import value_schema
from schemas.errors import ConfigError
from schemas.topics import source_topic
from tests.support.catalogue import BY_NAME, CATALOGUE, WITH_RECORDS


def fields(properties: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in properties}


def test_without_patterns_the_public_topics_are_told() -> None:
    names = {topic.name for topic in published(CATALOGUE)}
    assert {"psa.project", "psa.metric.utilization", "psa.status.billing", "psa.dlq"} <= names
    assert not any(name.startswith(("src.", "psa.internal.", "psastream-")) for name in names)


def test_patterns_choose_topics_and_one_that_matches_nothing_is_refused() -> None:
    assert [topic.name for topic in published(CATALOGUE, ["psa.metric.*", "psa.role"])] == [
        "psa.role", "psa.metric.project_margin", "psa.metric.utilization",
        "psa.metric.pipeline_health",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"matches psa\.metrics"):
        published(CATALOGUE, ["psa.role", "psa.metrics.*"])


def test_asyncapi_holds_each_schema_as_it_is_registered() -> None:
    document = asyncapi_document(WITH_RECORDS)
    messages = document["components"]["messages"]
    for topic in WITH_RECORDS:
        assert messages[topic.name]["payload"]["schema"] == json.loads(value_schema(topic).text)
    binding = document["channels"]["psa.dlq"]["bindings"]["kafka"]
    assert binding["topicConfiguration"] == {
        "cleanup.policy": ["delete"],
        "retention.ms": 90 * 86_400_000,
    }


def test_odcs_tells_types_keys_partitions_and_personal_data() -> None:
    document = odcs_document([BY_NAME["psa.time_entry"], BY_NAME["psa.dlq"]])
    entry, _ = document["schema"]
    told = fields(entry["properties"])
    assert told["bill_rate"] == {
        "name": "bill_rate",
        "logicalType": "number",
        "physicalType": "decimal(18,4)",
        "required": False,
        "description": "Bill rate an hour.",
    }
    assert told["work_on"]["logicalType"] == "date"
    assert told["source_at"]["logicalType"] == "timestamp"
    assert {name for name, each in told.items() if each.get("primaryKey")} == {"project_ref", "id"}
    assert [name for name, each in told.items() if each.get("partitioned")] == ["project_ref"]
    assert {name for name, each in told.items() if "classification" in each} == {
        "cost_rate",
        "notes",
    }
    assert document["slaProperties"] == [
        {"property": "retention", "value": 90, "unit": "d", "element": "psa.dlq"}
    ]


def test_odcs_tells_the_row_of_an_envelope_before_and_after() -> None:
    [person] = odcs_document([BY_NAME["src.float.person"]])["schema"]
    told = fields(person["properties"])
    before, after = (fields(told[each]["properties"]) for each in ("before", "after"))
    assert before == after
    assert after["email"]["classification"] == "personal"


def test_a_contract_of_a_firm_may_use_all_of_avro() -> None:
    contract = load_schema(
        {
            "type": "record",
            "name": "Odd",
            "namespace": "firm",
            "fields": [
                {"name": "either", "type": ["null", "string", "long"]},
                {"name": "by_name", "type": {"type": "map", "values": "long"}},
                {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["a"]}},
                {"name": "again", "type": {"type": "array", "items": "State"}},
                {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 8}},
                {"name": "at", "type": {"type": "int", "logicalType": "time-millis"}},
                {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
            ],
        }
    )
    [odd] = odcs_document([source_topic("firm", "odd", contract=contract)])["schema"]
    told = fields(fields(odd["properties"])["after"]["properties"])
    kinds = {name: (each.get("logicalType"), each["physicalType"]) for name, each in told.items()}
    assert kinds == {
        "either": (None, "union"),
        "by_name": ("object", "map"),
        "state": ("string", "enum"),
        "again": ("array", "array"),
        "digest": (None, "fixed"),
        "at": ("time", "time-millis"),
        "id": ("string", "uuid"),
    }
    assert told["again"]["items"]["logicalType"] == "string"
