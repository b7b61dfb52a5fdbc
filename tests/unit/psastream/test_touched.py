"""What hangs on a field of a source follows from what is declared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.polled.fingerprint import Difference, DriftKind
from connectors.systems import Systems
from psastream.access.files import reads_of
from psastream.check.metadata import made_of
from psastream.touched import Touched, touched
from tables.flows.catalogue import FLOWS
from tables.measures.own import load_measure
from tests.support.catalogue import FIRM

READS = reads_of(FIRM)


def of(system: str, obj: str, field: str, kind: DriftKind) -> Touched:
    return touched(FIRM, READS, FIRM.bundles[system], obj, Difference(field, kind))


def test_a_value_touches_what_is_made_of_its_field_and_who_reads_that() -> None:
    found = of("salesforce", "opportunity", "Billing_Type__c", DriftKind.NEW_VALUE)
    assert (found.fields, found.entities) == (("opportunity.billing_type",), ("opportunity",))
    assert {"project (erp)", "project (resource)"} <= set(found.flows)
    assert {"upsert_project", "delete_project"} <= set(found.commands)
    assert found.measures == ("psa.metric.pipeline_health",)
    assert set(found.behind) == {"customer", "project", "rollup"}


@pytest.mark.parametrize("kind", [DriftKind.VANISHED, DriftKind.RENAMED, DriftKind.CHANGED_TYPE])
def test_a_field_without_which_rows_are_not_read_touches_all_that_is_made_of_them(
    kind: DriftKind,
) -> None:
    found = of("salesforce", "account", "SystemModstamp", kind)
    assert "customer" in found.entities
    assert found.flows == ("customer (erp)",)
    assert found.commands == ("upsert_customer",)


def test_a_field_of_which_nothing_is_made_touches_nothing_by_its_values() -> None:
    assert of("salesforce", "account", "MasterRecordId", DriftKind.NEW_VALUE) == Touched()
    assert of("salesforce", "account", "Colour__c", DriftKind.NEW_FIELD) == Touched()


def test_time_touches_bills_and_each_measure_of_hours() -> None:
    found = of("inhouse", "time_entries", "hours", DriftKind.CHANGED_TYPE)
    assert "time_entry" in found.entities
    assert found.flows == ("time_bill (erp)",)
    measures = {"psa.metric.project_margin", "psa.metric.utilization", "psa.status.billing"}
    assert set(found.measures) == measures


def test_a_measure_of_the_firm_s_own_is_touched_by_the_rows_it_counts() -> None:
    text = """-- name: won
-- key: stage
-- sums: entries
-- unit: entries
-- period: none
SELECT stage, COUNT(*) AS entries FROM opportunity GROUP BY stage"""
    firm = replace(FIRM, measures=(load_measure(text, "won.sql"),))
    difference = Difference("StageName", DriftKind.NEW_VALUE)
    found = touched(firm, READS, FIRM.bundles["salesforce"], "opportunity", difference)
    assert "psa.metric.won" in found.measures


def test_what_another_object_looks_up_touches_what_that_makes() -> None:
    systems = Systems()
    looked_up = [
        (system, lookup.object, column, f"{alias}.{column}")
        for system in map(systems.read, systems.names())
        for mapped in system.objects.values()
        for alias, lookup in mapped.lookups.items()
        for column in lookup.columns
    ]
    for system, obj, column, alias in looked_up:
        made = [each for mapped in system.objects.values() for each in made_of(mapped, alias)]
        found = touched(FIRM, READS, system, obj, Difference(column, DriftKind.NEW_VALUE))
        assert set(made) <= set(found.fields), f"{system.name} {obj} {column}"
    assert len(looked_up) > 10


def test_each_flow_that_the_firm_has_is_touched_by_something() -> None:
    flows = {
        flow
        for system in FIRM.bundles.values()
        for obj, mapped in system.objects.items()
        for flow in touched(FIRM, READS, system, obj, Difference("x", DriftKind.VANISHED)).flows
        if mapped.targets
    }
    takers = FIRM.landscape.takers
    assert flows == {f"{it.noun} ({it.role.value})" for it in FLOWS if takers(it.role)}
