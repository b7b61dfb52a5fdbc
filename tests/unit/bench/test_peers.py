"""Peers that read a time entry field by field know the fields of its contract."""

import json
import re
from pathlib import Path

import pytest

from bench.canonical import RECORD
from bench.changes import TIME_ENTRIES, DebeziumWriter
from schemas.contracts import record_schema

JAVA = Path(__file__).parents[3] / "bench" / "peers" / "java"
FIELDS = [field["name"] for field in json.loads(record_schema(RECORD).text)["fields"]]


def test_kafka_streams_names_the_first_fields_of_the_contract() -> None:
    source = (JAVA / "kafka_streams" / "TimeEntry.java").read_text()
    listed = re.search(r"FIELDS = List\.of\(([^)]*)\)", source)
    assert listed is not None
    named = re.findall(r'"(\w+)"', listed[1])
    assert named == FIELDS[: len(named)]
    assert named[-1] == "is_billable"


@pytest.mark.parametrize("reader", ["kafka_streams/TimeEntry.java", "flink/ChangeReader.java"])
def test_who_steps_over_a_field_says_which(reader: str) -> None:
    source = (JAVA / reader).read_text()
    skipped = re.findall(r"// (id|task_ref|seconds)\b", source)
    used = {"project_ref", "resource_id", "work_on", "hours", "bill_rate", "cost_rate"}
    until = FIELDS[: FIELDS.index("currency")]
    assert skipped == [field for field in until if field not in used]


def test_kafka_streams_names_the_columns_of_the_database() -> None:
    source = (JAVA / "kafka_streams" / "Envelopes.java").read_text()
    listed = re.search(r"ROW = List\.of\(([^)]*)\)", source)
    assert listed is not None
    envelope = json.loads(DebeziumWriter().subjects[f"{TIME_ENTRIES}-value"].text)
    before = next(field["type"][1] for field in envelope["fields"] if field["name"] == "before")
    columns = [field["name"] for field in before["fields"]]
    assert re.findall(r'"(\w+)"', listed[1]) == columns
