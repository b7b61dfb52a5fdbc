"""What the target systems must hold through our commands, and that each effect happened once.

The ERP's and the resource tool's rows are compared with what the CRM, the PSA and the resource
tool's plan ask for; the log of executed writes is compared with the rows that are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from sandbox.books.billing import locked_projects, sold_time
from sandbox.books.contracts import contracts
from sandbox.books.measures import counted_entries
from sandbox.books.projects import (
    ProjectFile,
    billers,
    customer_of_account,
    erp_customer,
    legal_entity,
    project_files,
    project_plan,
    refusal_of,
)
from sandbox.books.rows import (
    SourceRows,
    by_id,
    erp_hours,
    number,
    optional_number,
)
from sandbox.books.status import Expected
from sandbox.vendors.effects import Effect
from schemas.identity import is_project_id, time_bill_id

LOG_NAMES: Final = {
    ("netsuite", "customer"): "netsuite customer",
    ("netsuite", "job"): "netsuite project",
    ("netsuite", "timeBill"): "netsuite time bill",
    ("business_central", "customer"): "business_central customer",
    ("business_central", "job"): "business_central project",
    ("business_central", "jobPlanningLine"): "business_central time bill",
    ("finance_operations", "customer"): "finance_operations customer",
    ("finance_operations", "project"): "finance_operations project",
    ("finance_operations", "hour line"): "finance_operations time bill",
    ("float", "project"): "float project",
    ("runn", "project"): "runn project",
}


def expected_debtors(rows: SourceRows) -> Expected:
    """Return the ERP customers of won deals, as the CRM has them; one in each of its companies."""
    accounts = by_id(rows.accounts, "ref")
    buyers = {(erp, deal["account_ref"]) for deal in rows.deals for erp in billers(rows, deal)}
    places = {(entity["erp"], entity.get("company")) for entity in rows.subsidiaries}
    return {
        _debtor_key(erp, company, customer_of_account(account)): {
            "name": accounts[account]["name"],
            "country_code": accounts[account]["country_code"],
            "currency": accounts[account]["currency"],
            "tax_number": accounts[account]["tax_number"],
        }
        for erp, account in buyers
        for of_erp, company in places
        if of_erp == erp
    }


def actual_debtors(rows: SourceRows) -> Expected:
    """Return the ERP's customers that carry an id of ours."""
    return {
        _debtor_key(row["erp"], row.get("company"), row["externalid"]): {
            "name": row["companyname"],
            "country_code": row["country"],
            "currency": row["currency"],
            "tax_number": row["vatregnumber"],
        }
        for row in rows.customers
        if (row["externalid"] or "").startswith("cus-")
    }


def _debtor_key(erp: str, company: str | None, customer: str) -> str:
    return " ".join(filter(None, (erp, company, customer)))


def expected_jobs(rows: SourceRows) -> Expected:
    """Return the ERP projects there must be, with the budget of the resource plan."""
    return {
        identity: _wanted_job(rows, each)
        for identity, each in project_files(rows).items()
        if _can_be_in_erp(rows, each)
    }


def actual_jobs(rows: SourceRows) -> Expected:
    """Return the ERP's projects that carry an id of ours."""
    customers = by_id(rows.customers)
    return {
        job["externalid"]: {
            "erp": job["erp"],
            "name": job["companyname"],
            "customer_id": customers[job["parent"]]["externalid"],
            "legal_entity_id": job["subsidiary"],
            "currency": job["currency"],
            "starts_on": _day(job["startdate"]),
            "billing_type": job["custentity_psa_billing_type"],
            "tax_code": job["custentity_psa_tax_code"],
            "service_lines": job["custentity_psa_service_lines"],
            "contract_value": optional_number(job["custentity_psa_contract_value"]),
            "budget_hours": optional_number(job["custentity_psa_budget_hours"]),
            "budget_cost": optional_number(job["estimatedcost"]),
            "budget_revenue": optional_number(job["estimatedrevenue"]),
            "budget_currency": job["custentity_psa_budget_currency"],
        }
        for job in rows.jobs
        if is_project_id(job["externalid"] or "")
    }


def expected_time_bills(rows: SourceRows) -> Expected:
    """Return the ERP's time bills there must be: one for each approved entry billed by the hour.

    What an invoice has used stays as it is; time that is credited gets a new one, once it is
    invoiced nowhere. Each invoice line that names an entry on a project uses up one id.
    """
    projects, agreed = by_id(rows.projects, "ref"), contracts(rows)
    in_erp = {job["externalid"]: job["erp"] for job in rows.jobs}
    expected, locked = _used_time_bills(rows), locked_projects(rows)
    used = Counter((line.entry, line.project) for line in sold_time(rows) if line.hours > 0)
    for entry in counted_entries(rows):
        entry_id, project_ref = entry["ref"], entry["project_ref"]
        project_id = projects[project_ref]["project_id"]
        is_hourly = entry["is_billable"] and agreed[project_ref].is_hourly
        if not is_hourly or project_id not in in_erp:
            continue
        if entry_id in locked:
            continue
        number_used = used[entry_id, project_ref]
        slot = f"{project_ref}#{number_used}" if number_used else project_ref
        expected[time_bill_id(entry_id, slot)] = {
            "erp": in_erp[project_id],
            "project_id": project_id,
            "project_ref": project_ref,
            "time_entry_id": entry_id,
            "work_on": entry["work_on"],
            "hours": entry["hours"],
            "bill_rate": entry["bill_rate"],
            "currency": entry["currency"],
        }
    return expected


def _used_time_bills(rows: SourceRows) -> Expected:
    """Return the time bills that invoice lines were made from, as they are; none may be missing.

    The ERP refuses to change them, and a refusal would be an open exception.
    """
    void = {row["id"] for row in rows.invoices if row["status"] == "V"}
    used = {
        line["timebill"]
        for line in rows.invoice_lines
        if line.get("timebill") is not None and line["transaction"] not in void
    }
    names = {bill["id"]: str(bill["externalid"]) for bill in rows.time_bills}
    actual = actual_time_bills(rows)
    expected: Expected = {}
    for bill in used:
        name = names.get(bill, f"time bill {bill}")
        expected[name] = actual.get(name, {"is_there": True})
    return expected


def actual_time_bills(rows: SourceRows) -> Expected:
    """Return the ERP's time bills that carry an id of ours."""
    jobs = by_id(rows.jobs)
    return {
        bill["externalid"]: {
            "erp": bill["erp"],
            "project_id": jobs[bill["customer"]]["externalid"],
            "project_ref": bill["custcol_psa_project"],
            "time_entry_id": bill["custcol_psa_time_entry"],
            "work_on": _day(bill["trandate"]),
            "hours": erp_hours(bill["hours"]),
            "bill_rate": number(bill["rate"]),
            "currency": bill["custcol_psa_currency"],
        }
        for bill in rows.time_bills
        if (bill["externalid"] or "").startswith("tb-")
    }


def expected_rm_projects(rows: SourceRows) -> Expected:
    """Return the resource tool's projects there must be: one for each project in the ERP."""
    return {
        identity: {
            "copies": 1,
            "name": each.name,
            "starts_on": _day(each.deal["starts_on"]) if each.deal else None,
        }
        for identity, each in project_files(rows).items()
        if each.is_wanted and each.erp is not None
    }


def actual_rm_projects(rows: SourceRows) -> Expected:
    """Return the resource tool's projects that carry an id of ours; a code is not unique there."""
    ours = [row for row in rows.rm_projects if row["project_id"] is not None]
    copies = Counter(row["project_id"] for row in ours)
    return {
        row["project_id"]: {
            "copies": copies[row["project_id"]],
            "name": row["name"],
            "starts_on": _day(row["starts_on"]),
        }
        for row in ours
    }


def expected_log(rows: SourceRows) -> Expected:
    """Return what the log of writes must add up to: one creation for each row that is there."""
    debtors = (key.split() for key in actual_debtors(rows))
    names = [
        *(f"{words[0]} customer {words[-1]}" for words in debtors),
        *(f"{job['erp']} project {name}" for name, job in actual_jobs(rows).items()),
        *(f"{bill['erp']} time bill {name}" for name, bill in actual_time_bills(rows).items()),
        *(f"{rows.resource} project {name}" for name in actual_rm_projects(rows)),
    ]
    return {name: {"creations_less_deletions": count} for name, count in Counter(names).items()}


def actual_log(effects: Iterable[Effect]) -> Expected:
    """Return creations less deletions of every record that was written; 0 is as if it never was."""
    balance: Counter[str] = Counter()
    for effect in effects:
        name = LOG_NAMES.get((effect.vendor, effect.record_type))
        if name is not None:
            sign = {"create": 1, "update": 0, "delete": -1}[effect.operation]
            balance[f"{name} {effect.external_id}"] += sign
    return {key: {"creations_less_deletions": sum_} for key, sum_ in balance.items() if sum_}


def _can_be_in_erp(rows: SourceRows, project: ProjectFile) -> bool:
    if project.deal is None or not project.is_wanted:
        return False
    entity = legal_entity(rows, project.country_code)
    if entity is None or refusal_of(entity) is not None:
        return False
    return erp_customer(rows, project.deal, project.country_code) is not None


def _wanted_job(rows: SourceRows, project: ProjectFile) -> dict[str, Any]:
    deal, entity = project.deal, legal_entity(rows, project.country_code)
    assert deal is not None
    assert entity is not None
    plan = project_plan(rows, project.rm)
    return {
        "erp": entity["erp"],
        "name": project.name,
        "customer_id": customer_of_account(deal["account_ref"]),
        "legal_entity_id": entity["id"],
        "currency": deal["currency"],
        "starts_on": _day(deal["starts_on"]),
        "billing_type": deal["billing_type"],
        "tax_code": entity["custrecord_psa_tax_code"],
        "service_lines": project.service_lines,
        "contract_value": project.contract_value,
        "budget_hours": plan and plan.hours,
        "budget_cost": plan and plan.cost,
        "budget_revenue": plan and plan.revenue,
        "budget_currency": plan and plan.currency,
    }


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text[:10]) if text else None
