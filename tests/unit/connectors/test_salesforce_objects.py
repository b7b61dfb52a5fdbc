"""`soql.yaml`: which objects of an org a folder reads, and which of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.systems import Systems
from connectors.vendors.salesforce.objects import DEALS, FILE, Sobject, read_objects
from connectors.vendors.salesforce.source import SalesforceSource
from schemas.errors import ConfigError

AVRO = """{"type": "record", "name": "Seat", "namespace": "psa.source.seats", "fields": [
  {"name": "Id", "type": ["null", "string"], "default": null, "doc": "Record id."},
  {"name": "Taken__c", "type": ["null", "boolean"], "default": null, "doc": "Whether it is."},
  {"name": "SystemModstamp", "type": ["null", "string"], "default": null, "doc": "Change."},
  {"name": "IsDeleted", "type": ["null", "boolean"], "default": null, "doc": "Whether it is."}
]}"""
MAPPING = """
system: seats
vendor: salesforce
ids: case_suffix
capture: polled
objects:
  seat: {kind: seat, key: Id, deleted_when: IsDeleted}
"""
SOQL = "objects:\n  seat: {sobject: Seat__c, only: {Taken__c: true}}\n"


def folder(tmp_path: Path, soql: str | None) -> Systems:
    root = tmp_path / "seats"
    (root / "avro").mkdir(parents=True)
    (root / "avro" / "seat.avsc").write_text(AVRO)
    (root / "mapping.yaml").write_text(MAPPING)
    if soql is not None:
        (root / FILE).write_text(soql)
    return Systems([root])


def test_a_folder_names_the_objects_that_are_read(tmp_path: Path) -> None:
    system = folder(tmp_path, SOQL).read("seats")
    assert read_objects(system) == {"seat": Sobject(sobject="Seat__c", only={"Taken__c": True})}
    assert list(SalesforceSource.objects_of(system)) == ["seat"]


def test_without_one_the_deals_are_read(tmp_path: Path) -> None:
    system = folder(tmp_path, None).read("seats")
    assert read_objects(system) == DEALS
    assert "seat" not in SalesforceSource.objects_of(system)


@pytest.mark.parametrize(
    ("only", "condition"),
    [
        ({}, ""),
        ({"Taken__c": True}, "Taken__c = true"),
        ({"Taken__c": False, "Row__c": 7}, "Taken__c = false AND Row__c = 7"),
        ({"Name": r"O'Hara \ Sons"}, r"Name = 'O\'Hara \\ Sons'"),
    ],
)
def test_what_rows_must_have_is_a_condition(only: Mapping[str, Any], condition: str) -> None:
    assert Sobject(sobject="Seat__c", only=dict(only)).condition == condition


@pytest.mark.parametrize(
    ("soql", "problem"),
    [
        (SOQL.replace("Taken__c", "Free__c"), "line 2: seat: the contract has no column Free__c"),
        (
            SOQL.replace("only: {Taken__c: true}", "optional: [Free__c]"),
            "line 2: seat: the contract has no column Free__c",
        ),
        (SOQL.replace("seat:", "chair:"), "line 2: there is no object chair in mapping.yaml"),
        (SOQL.replace("seat:", "chair:"), "line 1: seat of mapping.yaml is not declared"),
        (SOQL.replace("Seat__c", "Seat__c WHERE"), "line 2: objects.seat.sobject"),
        (SOQL.replace("Taken__c", "Taken__c OR Id"), "line 2: objects.seat.only"),
        ("objects: {}\n", "line 1: objects"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, soql: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_objects(folder(tmp_path, soql).read("seats"))
    assert any(problem in each for each in caught.value.problems), caught.value.problems
