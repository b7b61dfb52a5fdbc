"""A chunk may hold every row of a firm: what it changes is derived once, not once a row."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import polars as pl

from tables.documents import Documents
from tables.effects import Emit, Outbox
from tables.engagement import EngagementTable
from tables.facts import (
    Assignment,
    CustomerStatus,
    LegalEntity,
    Opportunity,
    OpportunityLine,
    Project,
)
from tables.project import ASSIGNMENT_TOPIC, LINK_TOPIC, ProjectTable
from tests.support.source_events import LANDSCAPE
from tests.support.topology import MemoryState

ENGAGEMENT = "eng-1"
PROJECT = "float:project:1"


LINKED = Project(
    id=PROJECT, source_system="float", project_id=f"{ENGAGEMENT}-DE", engagement_id=ENGAGEMENT
)


def emitted(outbox: Outbox, topic: str) -> list[Emit]:
    return [emit for emit in outbox.emits if emit.topic == topic]


def project_table(outbox: Outbox) -> ProjectTable:
    return ProjectTable(
        Documents(MemoryState()), outbox, 0, lambda values: pl.DataFrame(), LANDSCAPE
    )


def test_a_project_is_planned_once_a_chunk_however_many_assignments_it_gets() -> None:
    outbox = Outbox()
    table = project_table(outbox)
    table.apply_project(PROJECT, LINKED, 1)
    outbox.emits.clear()
    names = [f"float:allocation:{number}" for number in range(40)]
    for name in names:
        assignment = Assignment(
            id=name,
            project_ref=PROJECT,
            resource_ref="float:person:1",
            starts_on=date(2026, 1, 5),
            ends_on=date(2026, 1, 9),
            hours_per_day=Decimal("8.00"),
            status="approved",
        )
        table.apply_assignment(name, assignment, 2)
    for name in names[1:]:
        table.apply_assignment(name, None, 3)
    table.settle(3)
    assert [emit.key for emit in emitted(outbox, LINK_TOPIC)] == [PROJECT]
    assert [emit.key for emit in emitted(outbox, ASSIGNMENT_TOPIC)] == [f"{PROJECT}|{names[0]}"]


def test_a_project_that_comes_and_goes_within_a_chunk_is_seen() -> None:
    outbox = Outbox()
    table = project_table(outbox)
    table.apply_project(PROJECT, LINKED, 1)
    table.apply_project(PROJECT, None, 2)
    table.settle(2)
    assert [emit.record is None for emit in emitted(outbox, LINK_TOPIC)] == [False, True]


def test_engagements_are_derived_once_a_chunk_however_many_legal_entities_it_brings() -> None:
    outbox = Outbox()
    table = EngagementTable(Documents(MemoryState()), outbox, 0, LANDSCAPE)
    deal = Opportunity(id="d", engagement_id=ENGAGEMENT, customer_id="cus-1", stage="won")
    line = OpportunityLine(id="l", engagement_id=ENGAGEMENT, country_code="DE", amount=Decimal(9))
    customer = CustomerStatus(engagement_id=ENGAGEMENT, customer_id="cus-1", is_in_erp=True)
    table.apply_opportunity("d", deal, 1)
    table.apply_line("l", line, 1)
    table.apply_customer_status(f"{ENGAGEMENT}|cus-1", customer, 1)
    for tax_code in ("A", "B", "C"):
        entity = LegalEntity(
            id="netsuite:subsidiary:2",
            native_id="2",
            country_code="DE",
            tax_code=tax_code,
            is_active=True,
        )
        table.apply_legal_entity(entity.id, entity, 2)
    table.settle(2)
    [command] = emitted(outbox, "psa.command.netsuite")
    assert command.record is not None
    assert json.loads(str(command.record["payload"]))["tax_code"] == "C"
