"""Expected rows of the status tables of customers, projects and assignments, and exceptions."""

from __future__ import annotations

from datetime import date
from typing import Any

from sandbox.books.people import resource_of
from sandbox.books.projects import (
    ProjectFile,
    age,
    allocation_plan,
    billers,
    customer_of_account,
    erp_customer,
    legal_entity,
    project_files,
    project_plan,
    refusal_of,
)
from sandbox.books.rows import Row, SourceRows, by_id, optional_number
from schemas.identity import customer_id, engagement_of

Expected = dict[str, dict[str, Any]]


def expected_customers(rows: SourceRows) -> Expected:
    """Return `psa.status.customer`: every customer the CRM or the ERP knows."""
    accounts = {customer_of_account(row["ref"]): row for row in rows.accounts}
    # Where an ERP holds several rows of one customer, the oldest stands for it.
    oldest_last = sorted(rows.customers, key=age, reverse=True)
    held = {(row["erp"], _customer_of_debtor(row)): row for row in oldest_last}
    expected: Expected = {}
    for identity in accounts.keys() | {identity for _, identity in held}:
        account = accounts.get(identity)
        debtors = {erp: held[erp, identity] for erp in rows.erps if (erp, identity) in held}
        debtor = next(iter(debtors.values()), None)
        deals = [d for d in rows.deals if customer_of_account(d["account_ref"]) == identity]
        if any(billers(rows, deal) - debtors.keys() for deal in deals):
            status = "requested"
        else:
            status = "active" if debtors else "prospect"
        expected[identity] = {
            "customer_id": identity,
            "name": account["name"] if account else debtor and debtor["companyname"],
            "status": status,
            "crm_id": account and account["ref"],
            "erp_id": debtor and f"{debtor['erp']}:customer:{debtor['id']}",
            "erp_ids": [f"{erp}:customer:{row['id']}" for erp, row in debtors.items()],
            "engagements": len(deals),
            "sealed": None,  # whoever reads it with the keys has it opened
        }
    return expected


def expected_projects(rows: SourceRows) -> Expected:
    """Return `psa.status.project`."""
    return {identity: _project_row(rows, each) for identity, each in project_files(rows).items()}


def expected_assignments(rows: SourceRows) -> Expected:
    """Return `psa.status.assignment`: every allocation of the resource tool."""
    people, projects = by_id(rows.people, "ref"), by_id(rows.rm_projects, "ref")
    expected: Expected = {}
    for allocation in rows.allocations:
        identity, project_ref = allocation["ref"], allocation["project_ref"]
        plan = allocation_plan(rows, allocation)
        expected[f"{project_ref}|{identity}"] = {
            "id": identity,
            "project_ref": project_ref,
            "project_id": projects[project_ref]["project_id"],
            "resource_id": resource_of(people[allocation["person_ref"]]),
            "status": allocation["status"] if plan.currency else "waiting_rate",
            "starts_on": date.fromisoformat(allocation["starts_on"]),
            "ends_on": date.fromisoformat(allocation["ends_on"]),
            "planned_hours": plan.hours,
            "planned_cost": plan.cost,
            "planned_revenue": plan.revenue,
            "currency": plan.currency,
        }
    return expected


def expected_exceptions(rows: SourceRows) -> Expected:
    """Return the open exceptions: projects that are refused, and those nobody asks for."""
    expected = _unsettled(rows)
    for identity, each in project_files(rows).items():
        refusal = _refusal(rows, each)
        if refusal is None or each.deal is None:
            continue
        entity = legal_entity(rows, each.country_code)
        erp = entity["erp"] if entity else None
        natural_key = f"{erp}:project:{identity}"
        expected[f"{erp}:{natural_key}"] = {
            "exception_id": f"{erp}:{natural_key}",
            "status": "open",
            "system": erp,
            "kind": "upsert_project",
            "natural_key": natural_key,
            "detail": refusal[0],
            "field": refusal[1],
            "amount": each.contract_value,
            "currency": each.deal["currency"],
        }
    return expected


def _unsettled(rows: SourceRows) -> Expected:
    return {
        f"engagement:{identity}": {
            "exception_id": f"engagement:{identity}",
            "status": "open",
            "system": rows.crm,
            "kind": "project_not_asked",
            "natural_key": identity,
            "amount": optional_number(each.erp["custentity_psa_contract_value"]),
            "currency": each.erp["currency"],
        }
        for identity, each in project_files(rows).items()
        if each.erp is not None and _is_unsettled(each)
    }


def _project_row(rows: SourceRows, project: ProjectFile) -> dict[str, Any]:
    status, reason = _project_status(rows, project)
    deal, plan = project.deal, project_plan(rows, project.rm)
    return {
        "project_id": project.project_id,
        "engagement_id": engagement_of(project.project_id),
        "customer_id": deal and customer_of_account(deal["account_ref"]),
        "country_code": project.country_code,
        "name": project.name,
        "status": status,
        "reason": reason,
        "erp_ref": project.erp and f"{project.erp['erp']}:project:{project.erp['id']}",
        "rm_ref": project.rm and project.rm["ref"],
        "psa_ref": project.psa and project.psa["ref"],
        "currency": deal and deal["currency"],
        "contract_value": project.contract_value,
        "budget_hours": plan and plan.hours,
        "budget_cost": plan and plan.cost,
        "budget_revenue": plan and plan.revenue,
        "budget_currency": plan and plan.currency,
    }


def _project_status(rows: SourceRows, project: ProjectFile) -> tuple[str, str | None]:
    if not project.is_wanted:
        status = "needs_finance" if _is_unsettled(project) else "withdrawn"
        return status, "the deal no longer asks for it"
    if project.erp is not None:
        return "active", None
    if project.deal is None or erp_customer(rows, project.deal, project.country_code) is None:
        return "waiting_customer", "the ERP does not hold the customer yet"
    if legal_entity(rows, project.country_code) is None:
        return "waiting_legal_entity", f"no active legal entity in {project.country_code}"
    if (refusal := _refusal(rows, project)) is not None:
        return "rejected", refusal[0]
    return "requested", None


def _is_unsettled(project: ProjectFile) -> bool:
    """Whether the ERP holds a project with money on it that no won deal asks for."""
    if project.is_wanted or project.erp is None:
        return False
    return optional_number(project.erp["custentity_psa_contract_value"]) != 0


def _refusal(rows: SourceRows, project: ProjectFile) -> tuple[str, str | None] | None:
    """Return how the ERP refuses to create the project as things stand, None where it does not."""
    if not project.is_wanted or project.erp is not None or project.deal is None:
        return None
    entity = legal_entity(rows, project.country_code)
    if entity is None or erp_customer(rows, project.deal, project.country_code) is None:
        return None
    return refusal_of(entity)


def _customer_of_debtor(debtor: Row) -> str:
    external_id = debtor["externalid"] or ""
    if external_id.startswith("cus-"):
        return str(external_id)
    return customer_id(f"{debtor['erp']}:customer:{debtor['id']}")
