"""Which projects there should be and what each system holds of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from sandbox.books.people import cost_rate, planned_days
from sandbox.books.rows import Row, SourceRows, by_id, number, optional_number
from schemas.identity import (
    customer_id,
    engagement_id,
    engagement_of,
    is_project_id,
    project_id,
)

RM_CURRENCY: Final = "EUR"
TAX_CODE_FIELD: Final = "custentity_psa_tax_code"
TAX_CODE_MISSING: Final = "Please enter value(s) for: Tax Code"


@dataclass(frozen=True, slots=True)
class Plan:
    """What allocations plan; money is None while nobody knows a rate."""

    hours: Decimal
    cost: Decimal | None
    revenue: Decimal | None
    currency: str | None


@dataclass(slots=True)
class ProjectFile:
    """One project of a deal: the lines that ask for it, and its row in each system."""

    project_id: str
    deal: Row | None = None
    lines: list[Row] = field(default_factory=list)
    erp: Row | None = None
    rm: Row | None = None
    psa: Row | None = None

    @property
    def is_wanted(self) -> bool:
        return bool(self.lines)

    @property
    def country_code(self) -> str:
        return self.project_id.rpartition("-")[2].upper()

    @property
    def name(self) -> str | None:
        is_named = self.deal is not None and self.is_wanted
        return f"{self.deal['name']} ({self.country_code})" if is_named and self.deal else None

    @property
    def contract_value(self) -> Decimal | None:
        if not self.is_wanted:
            return None
        return sum((number(line["amount"]) for line in self.lines), Decimal(0))

    @property
    def service_lines(self) -> str:
        return ",".join(sorted({slug(line["service_line"]) for line in self.lines}))


def project_files(rows: SourceRows) -> dict[str, ProjectFile]:
    """Return every project that a won deal asks for or that a system holds under our id."""
    files: dict[str, ProjectFile] = {}

    def file(identity: str) -> ProjectFile:
        return files.setdefault(identity, ProjectFile(identity))

    for line in rows.deal_lines:
        deal = by_id(rows.deals, "ref").get(line["deal_ref"])
        if deal is not None and is_won(deal):
            file(project_id(engagement_of_deal(deal), line["country_code"])).lines.append(line)
    # Where a system holds several rows of one project, the first by id stands for it.
    for job in sorted(rows.jobs, key=age, reverse=True):
        if is_project_id(job["externalid"] or ""):
            file(job["externalid"]).erp = job
    for project in sorted(rows.rm_projects, key=lambda row: made(row["ref"]), reverse=True):
        if (identity := project["project_id"]) is not None:
            file(identity).rm = project
    for project in sorted(rows.projects, key=lambda row: made(row["ref"]), reverse=True):
        if (identity := project["project_id"]) is not None:
            file(identity).psa = project
    deals = {engagement_of_deal(deal): deal for deal in rows.deals}
    for each in files.values():
        each.deal = deals.get(engagement_of(each.project_id))
    return files


def is_won(deal: Row) -> bool:
    """Whether sales has handed the deal over to delivery."""
    return str(deal["stage"]) == "won"


def engagement_of_deal(deal: Row) -> str:
    """Return the engagement of a deal."""
    return engagement_id(deal["ref"])


def customer_of_account(account: str) -> str:
    """Return the customer of a CRM account, by its ref."""
    return customer_id(account)


def made(ref: str) -> tuple[int, str]:
    """Return what sorts rows of one kind as their system made them, by their refs or ids.

    Ids are texts to the books. Systems count them up: in numbers, which have more digits later, or
    in texts of one length, as an org of Salesforce does.
    """
    native = ref.rpartition(":")[2]
    return len(native), native


def legal_entity(rows: SourceRows, country_code: str) -> Row | None:
    """Return the active subsidiary of a country; the oldest where there are more."""
    active = (
        row
        for row in rows.subsidiaries
        if row["country"] == country_code and row["isinactive"] != "T"
    )
    return min(active, key=age, default=None)


def age(row: Row) -> tuple[int, str]:
    """Return what sorts rows of an ERP by their ids, the oldest first."""
    return made(str(row["id"]))


def billers(rows: SourceRows, deal: Row) -> set[str]:
    """Return the ERPs that bill what a won deal sells: those with the legal entities for it."""
    if not is_won(deal):
        return set()
    if len(rows.erps) == 1:
        return set(rows.erps)
    lines = (line for line in rows.deal_lines if line["deal_ref"] == deal["ref"])
    entities = (legal_entity(rows, line["country_code"]) for line in lines)
    return {entity["erp"] for entity in entities if entity is not None}


def erp_customer(rows: SourceRows, deal: Row, country_code: str) -> Row | None:
    """Return the customer of a deal in the ERP that bills for a country, or in any."""
    wanted, entity = customer_of_account(deal["account_ref"]), legal_entity(rows, country_code)
    found = (row for row in rows.customers if row["externalid"] == wanted)
    return next((row for row in found if entity is None or row["erp"] == entity["erp"]), None)


def refusal_of(entity: Row) -> tuple[str, str | None] | None:
    """Return in which words and for which field the ERP refuses projects of a legal entity."""
    if entity["needs_tax_code"] and entity["custrecord_psa_tax_code"] is None:
        return TAX_CODE_MISSING, TAX_CODE_FIELD
    refusal: tuple[str, str | None] | None = entity.get("refusal")
    return refusal


def allocation_plan(rows: SourceRows, allocation: Row) -> Plan:
    """Return what one allocation plans: hours on working days, at the person's rates of each."""
    person = by_id(rows.people, "ref")[allocation["person_ref"]]
    days = planned_days(
        rows,
        person,
        date.fromisoformat(allocation["starts_on"]),
        date.fromisoformat(allocation["ends_on"]),
    )
    hours = number(allocation["hours"])
    bill_rate = optional_number(person["bill_rate"])
    costs = [cost_rate(person, day) for day in days]
    if None in costs or bill_rate is None:
        return Plan(hours * len(days), None, None, None)
    revenue = hours * len(days) * bill_rate if allocation["is_billable"] else Decimal(0)
    cost = sum((hours * number(each) for each in costs), Decimal(0))
    return Plan(hours * len(days), cost, revenue, RM_CURRENCY)


def project_plan(rows: SourceRows, rm_project: Row | None) -> Plan | None:
    """Return what the approved, priced allocations of a project plan; None if it has none at all.

    Only the approved ones count, but a project whose allocations are all tentative has a plan of
    zero: there is something to budget, and so far it is nothing.
    """
    if rm_project is None:
        return None
    allocations = [a for a in rows.allocations if a["project_ref"] == rm_project["ref"]]
    if not allocations:
        return None
    approved = [a for a in allocations if a["status"] != "tentative"]
    plans = [plan for a in approved if (plan := allocation_plan(rows, a)).currency is not None]
    return Plan(
        hours=sum((plan.hours for plan in plans), Decimal(0)),
        cost=sum((number(plan.cost) for plan in plans), Decimal(0)),
        revenue=sum((number(plan.revenue) for plan in plans), Decimal(0)),
        currency=RM_CURRENCY if plans else None,
    )


def slug(text: str) -> str:
    """Return a service line as tables name it."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
