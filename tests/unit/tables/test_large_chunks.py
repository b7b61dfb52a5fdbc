"""A chunk may hold every row of a firm: what it changes is derived once, not once a row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import polars as pl

from schemas.identity import time_bill_id
from schemas.routing import partition_of
from schemas.topics import PARTITIONS
from streams.agents.time_entries import TimeEntryHandler
from tables.engagement.table import EngagementTable
from tables.foundation.documents import Documents
from tables.foundation.effects import Emit, Outbox
from tables.foundation.facts import (
    Absence,
    Assignment,
    CustomerStatus,
    InvoiceLine,
    LegalEntity,
    Opportunity,
    OpportunityLine,
    Project,
    Resource,
    TimeBill,
)
from tables.foundation.ledger import GONE, LedgerEntry
from tables.project.billing import BillingDocument
from tables.project.table import ASSIGNMENT_TOPIC, CALENDAR_TOPIC, LINK_TOPIC, ProjectTable
from tests.support.catalogue import LANDSCAPE
from tests.support.topology import FixedRegistry, MemoryState

ENGAGEMENT = "eng-1"
PROJECT = "float:project:1"
IN_ERP = {PROJECT: "netsuite"}


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


class CountingState(MemoryState):
    """State that counts how often a key is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def get(self, key: bytes) -> bytes | None:
        self.reads[key.decode()] += 1
        return super().get(key)


def resource(number: int, address: str | None = None) -> Resource:
    return Resource(
        id=f"float:person:{number}",
        resource_id=f"res-{number}",
        address_id=address,
        kind="employee",
        starts_on=date(2026, 1, 1),
        is_active=True,
    )


def test_leave_of_everybody_is_read_once_a_chunk_however_many_it_names() -> None:
    """It names them all, so reading it for each of them would be quadratic."""
    state, people = CountingState(), [resource(number) for number in range(40)]
    leave = Absence(
        id="l",
        kind="leave",
        resource_refs=tuple(person.id for person in people),
        starts_on=date(2026, 2, 2),
        ends_on=date(2026, 2, 3),
        status="approved",
    )
    for moved in (False, True):
        documents, outbox = Documents(state), Outbox()
        table = ProjectTable(documents, outbox, 0, lambda values: pl.DataFrame(), LANDSCAPE)
        if not moved:
            table.apply_absence("l", leave, 1)
        for person in people:
            table.apply_resource(person.id, person, 1)
        if moved:
            later = {"starts_on": date(2026, 3, 2), "ends_on": date(2026, 3, 3)}
            table.apply_absence("l", leave.model_copy(update=later), 2)
        state.reads.clear()
        table.settle(2)
        assert state.reads["off:l"] <= 1
        state.commit(documents.changes())
        told = emitted(outbox, CALENDAR_TOPIC)
        assert told
        month = 3 if moved else 2
        for emit in told:
            assert emit.record is not None
            assert f"date(2026, {month}, 2)" in str(emit.record["days_off"])


def test_an_address_of_many_is_told_once_a_chunk_with_all_who_have_it() -> None:
    state, told = MemoryState(), []
    home = partition_of("adr-1", PARTITIONS)
    for numbers in (range(30), range(30, 40)):
        documents, outbox = Documents(state), Outbox()
        table = ProjectTable(documents, outbox, home, lambda values: pl.DataFrame(), LANDSCAPE)
        for number in numbers:
            person = resource(number, "adr-1")
            table.apply_resource(person.id, person, 1)
        table.settle(1)
        told += emitted(outbox, "psa.exception")
        state.commit(documents.changes())
    first, second = (str(emit.record and emit.record["detail"]) for emit in told)
    assert first.count("float:person:") == 30
    assert second.count("float:person:") == 40


def billing_table(state: MemoryState, outbox: Outbox) -> tuple[Documents, ProjectTable]:
    documents = Documents(state)
    rows = make_rows()
    return documents, ProjectTable(documents, outbox, 0, lambda _: rows, LANDSCAPE)


def make_rows() -> pl.DataFrame:
    """No time entry: what the ERP shows of one is kept for it all the same."""
    return TimeEntryHandler(FixedRegistry(), LANDSCAPE).stored_rows([])


def time_bill(number: int) -> TimeBill:
    return TimeBill(id=f"netsuite:time_bill:{number}", time_entry_id="x:e", project_ref=PROJECT)


def test_what_the_erp_shows_of_an_entry_is_counted_once_a_chunk_however_many_rows() -> None:
    state = CountingState()
    documents, table = billing_table(state, Outbox())
    for number in range(40):
        table.apply_time_bill(f"netsuite:time_bill:{number}", time_bill(number), number)
        line = InvoiceLine(id=f"netsuite:invoice:{number}", time_entry_id="x:e", status="void")
        table.apply_invoice_line(f"netsuite:invoice:{number}", line, number)
    table.settle(40)
    kept = documents.get(BillingDocument, "o:x:e")
    assert kept is not None and len(kept.bills) == len(kept.lines) == 40
    assert 0 < state.reads["o:x:e"] <= 3


def test_a_time_bill_that_comes_and_goes_within_a_chunk_is_seen() -> None:
    """Nobody wants it, so it was to go, and has gone."""
    state, outbox = MemoryState(), Outbox()
    documents, table = billing_table(state, outbox)
    identity = time_bill_id("x:e", PROJECT)
    ordered = LedgerEntry(revision=1, ordered="content")
    documents.put("o:x:e", BillingDocument(ledgers={PROJECT: ordered}, erps=IN_ERP))
    shown = time_bill(1).model_copy(update={"time_bill_id": identity})
    table.apply_time_bill(shown.id, shown, 2)
    table.apply_time_bill(shown.id, None, 3)
    table.settle(3)
    kept = documents.get(BillingDocument, "o:x:e")
    assert kept is not None and kept.bills == {}
    ledger = kept.ledgers[PROJECT]
    assert (ledger.ordered, ledger.is_confirmed) == (GONE, True)


def test_what_the_erp_shows_of_many_entries_is_counted_at_once_each_at_its_time() -> None:
    """A snapshot brings every time bill there is, to each partition."""
    state, outbox, read = MemoryState(), Outbox(), []
    documents, rows = Documents(state), make_rows()

    def read_rows(values: Sequence[bytes]) -> pl.DataFrame:
        read.append(len(values))
        return rows

    table = ProjectTable(documents, outbox, 0, read_rows, LANDSCAPE)
    for number in range(40):
        entry, bill = f"x:{number}", f"netsuite:time_bill:{number}"
        identity = time_bill_id(entry, PROJECT)
        documents.put(f"o:{entry}", BillingDocument(ledgers={PROJECT: LedgerEntry()}, erps=IN_ERP))
        shown = TimeBill(id=bill, time_bill_id=identity, time_entry_id=entry, project_ref=PROJECT)
        table.apply_time_bill(bill, shown, 100 + number)
    table.settle(200)
    assert len(read) <= 2
    gone = {emit.key: emit.record for emit in outbox.emits if emit.topic == "psa.command.netsuite"}
    assert len(gone) == 40
    issued = [record["issued_at"] for record in gone.values() if record]
    assert len(set(issued)) == 40, "each is ordered as of its own change"
