"""Facts name fields of the Avro contracts, with types that hold what the contracts allow."""

from __future__ import annotations

import json
import types
import typing
from datetime import date, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest

from tables.foundation import facts

CONTRACTS = {
    facts.Customer: "canonical/customer",
    facts.LegalEntity: "canonical/legal_entity",
    facts.Opportunity: "canonical/opportunity",
    facts.OpportunityLine: "canonical/opportunity_line",
    facts.CustomerDemand: "internal/customer_demand",
    facts.CustomerStatus: "internal/customer_status",
    facts.Project: "canonical/project",
    facts.ProjectLink: "internal/project_link",
    facts.ProjectContext: "internal/project_context",
    facts.CommandResult: "command/command_result",
    facts.RateCard: "canonical/rate_card",
    facts.Assignment: "canonical/assignment",
    facts.Resource: "canonical/resource",
    facts.Absence: "canonical/absence",
    facts.Calendar: "internal/calendar",
    facts.Expense: "canonical/expense",
    facts.TimeBill: "canonical/time_bill",
    facts.InvoiceLine: "canonical/invoice",
    facts.MeasurePartial: "internal/measure_partial",
    facts.Partial: "internal/partial",
}
ITEMS = {  # of lists of records: fact and the name of its record
    facts.WorkPattern: "WorkPattern",
    facts.DatedRate: "DatedRate",
    facts.Employment: "Employment",
    facts.KnownPattern: "KnownPattern",
    facts.DayOff: "DayOff",
}
BY_AVRO = {
    "string": str,
    "long": int,
    "int": int,
    "boolean": bool,
    "bytes": bytes,
    "date": date,
    "timestamp-millis": datetime,
}
BY_RECORD = {name: fact for fact, name in ITEMS.items()}


def contract(path: str) -> dict[str, Any]:
    text = files("schemas").joinpath("avro", *f"{path}.avsc".split("/")).read_text()
    return {field["name"]: python_type(field["type"]) for field in json.loads(text)["fields"]}


def python_type(avro: Any) -> Any:
    if isinstance(avro, list):
        return python_type(next(branch for branch in avro if branch != "null"))
    if isinstance(avro, str):
        return BY_AVRO[avro]
    if avro["type"] == "record":
        fields = {field["name"]: python_type(field["type"]) for field in avro["fields"]}
        fact = BY_RECORD[avro["name"]]
        assert types_of(fact) == {name: fields.get(name) for name in fact.model_fields}
        return fact
    if avro["type"] == "array":
        return types.GenericAlias(tuple, (python_type(avro["items"]), ...))
    logical = avro.get("logicalType")
    return Decimal if logical == "decimal" else BY_AVRO.get(logical, avro["type"])


def required(annotation: Any) -> Any:
    if isinstance(annotation, types.UnionType):
        return next(each for each in typing.get_args(annotation) if each is not type(None))
    return annotation


def types_of(fact: type[facts.Fact]) -> dict[str, Any]:
    return {name: required(info.annotation) for name, info in fact.model_fields.items()}


def test_every_fact_is_listed() -> None:
    declared = {
        value
        for value in vars(facts).values()
        if isinstance(value, type) and issubclass(value, facts.Fact) and value is not facts.Fact
    }
    assert declared == set(CONTRACTS) | set(ITEMS)


@pytest.mark.parametrize("fact", CONTRACTS, ids=lambda fact: fact.__name__)
def test_fields_and_types_are_the_contracts(fact: type[facts.Fact]) -> None:
    declared = types_of(fact)
    fields = contract(CONTRACTS[fact])
    assert declared == {name: fields.get(name) for name in declared}
