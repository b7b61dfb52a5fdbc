"""Amounts flow in every currency there is or was, whatever its size."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
import yaml

from schemas.money import CURRENCIES, is_currency
from streams.agents.normalize import make_normalizer
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE, SYSTEMS
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

ENTRIES = "src.inhouse.time_entries"
WORK_ON = 19_783  # 2024-03-01, as days since 1970
DEAREST_HOUR = Decimal(9_000_000_000)
MONEY = ("amount", "cost_rate", "bill_rate", "contract_value")

# Currencies that ISO 4217 withdrew, of each decade and each way to end.
WITHDRAWN = ("ANG", "BGN", "BYR", "CUC", "DEM", "ESP", "HRK", "ITL", "SKK", "SLL", "TRL", "ZWL")


def time_entry(row_id: int, rate: Decimal, currency: str) -> dict[str, Any]:
    return {
        "id": row_id,
        "project_id": 4,
        "task_id": 5,
        "worker_email": "ada@example.com",
        "work_on": WORK_ON,
        "hours": Decimal("8.00"),
        "is_billable": True,
        "status": "approved",
        "bill_rate": rate.quantize(Decimal("0.0001")),
        "cost_rate": Decimal("0.0001"),
        "currency": currency,
        "notes": None,
        "updated_at": "2026-01-01T00:00:00.000000Z",
    }


def revenue_by_currency(rates: dict[str, Decimal]) -> dict[str, Decimal]:
    """What one entry of 8 hours in each currency earns, from its change event to the margin."""
    registry = FakeRegistry()
    source = Source(ENTRIES, registry)
    values = [
        source.change(row_id, time_entry(row_id, rate, currency))
        for row_id, (currency, rate) in enumerate(rates.items(), start=1)
    ]
    normalize = make_normalizer(mapping_of(ENTRIES), registry)
    records = published(normalize(chunk_of(ENTRIES, values), MemoryState()))
    known = FixedRegistry()
    feeder = Feeder(Topology(make_groups([], known, LANDSCAPE), known))
    project = {"source_system": "inhouse", "project_id": None, "status": "active"}
    feeder.upsert("psa.project", "inhouse:project:4", project)
    for record in records:
        if record.topic == "psa.time_entry" and record.value is not None:
            feeder.upsert(record.topic, record.key, record.value)
    feeder.topology.run()
    margins = feeder.topology.table("psa.metric.project_margin").values()
    return {str(row["currency"]): Decimal(str(row["revenue"])) for row in margins}


@pytest.mark.fault("C4", place="connectors/vendors/inhouse/mapping.yaml")
def test_c4_hours_at_a_rate_of_millions_are_counted() -> None:
    assert revenue_by_currency({"VND": Decimal(1_500_000)}) == {"VND": Decimal(12_000_000)}


@pytest.mark.fault("C4", place="connectors/vendors/inhouse/mapping.yaml")
@pytest.mark.fault("C14", place="schemas/money.py")
@pytest.mark.parametrize("rate", [Decimal("0.0001"), Decimal("1500000.0001"), DEAREST_HOUR])
def test_every_currency_flows_at_every_size_of_rate(rate: Decimal) -> None:
    rates = dict.fromkeys(CURRENCIES, rate)
    assert revenue_by_currency(rates) == dict.fromkeys(CURRENCIES, 8 * rate)


@pytest.mark.fault("C4", place="connectors/vendors/inhouse/mapping.yaml")
@pytest.mark.parametrize("system", SYSTEMS)
def test_no_mapping_bounds_money_below_what_a_small_currency_needs(system: str) -> None:
    objects = yaml.safe_load(mapping_text(system))["objects"].values()
    checks = [
        (field, check["between"][1])
        for each in objects
        for target in each["targets"]
        for field, check in target.get("checks", {}).items()
        if field in MONEY and "between" in check
    ]
    assert [check for check in checks if check[1] <= DEAREST_HOUR] == []


@pytest.mark.fault("C14", place="schemas/money.py")
def test_c14_hours_in_a_currency_withdrawn_since_are_counted() -> None:
    assert revenue_by_currency({"ANG": Decimal(90)}) == {"ANG": Decimal(720)}


@pytest.mark.fault("C14", place="schemas/money.py")
@pytest.mark.parametrize("code", WITHDRAWN)
def test_withdrawn_currencies_are_currencies(code: str) -> None:
    frame = pl.DataFrame({"code": [code]})
    assert frame.select(is_currency(pl.col("code"))).item()
