"""What the PSA holds, whichever it is: its projects, time and expenses in one form.

Rows of a project: `ref`, and `project_id`, the canonical one, None where it names no deal. Of a
time entry: `ref`, `project_ref`, `worker` (an e-mail address), `work_on`, `hours` (a fraction),
`is_billable`, `status` in canonical words, `bill_rate`, `cost_rate`, `currency`. Of an expense:
`project_ref`, `spent_on`, `amount`, `currency`, `is_billable`, `status`. A `ref` is
`<system>:<kind>:<id>`, whatever text the id is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from schemas.identity import engagement_id, is_project_id, project_id

Row = Mapping[str, Any]
Tables = Mapping[str, Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Work:
    """The rows of a PSA that are not deleted."""

    system: str
    projects: tuple[Row, ...]
    time_entries: tuple[Row, ...]
    expenses: tuple[Row, ...]


def of_inhouse(tables: Tables, deals_are: str) -> Work:
    """Read the tables of the in-house database; `deals_are` is how a deal's ref begins."""
    project = "inhouse:project"
    return Work(
        system="inhouse",
        projects=tuple(
            {"ref": f"{project}:{row['id']}", "project_id": _of_deal(row, deals_are)}
            for row in tables["projects"]
        ),
        time_entries=tuple(
            {
                "ref": f"inhouse:time_entry:{row['id']}",
                "project_ref": f"{project}:{row['project_id']}",
                "worker": row["worker_email"],
                "work_on": row["work_on"],
                "hours": _worked(row),
                "is_billable": row["is_billable"],
                "status": row["status"],
                "bill_rate": row["bill_rate"],
                "cost_rate": row["cost_rate"],
                "currency": row["currency"],
            }
            for row in tables["time_entries"]
        ),
        expenses=tuple(
            {
                "project_ref": f"{project}:{row['project_id']}",
                "spent_on": row["spent_on"],
                "amount": row["amount"],
                "currency": row["currency"],
                "is_billable": row["is_billable"],
                "status": row["status"],
            }
            for row in tables["expenses"]
        ),
    )


def of_harvest(tables: Tables, deals_are: str) -> Work:
    """Read the lists of Harvest: projects bear their canonical id as their code, whatever the CRM.

    Money is in the currency of the project's client. The hours of a timer that runs are those
    before it was started. What is not approved is a draft.
    """
    project = "harvest:project"
    emails = {row["id"]: row["email"] for row in tables["users"]}
    of_client = {row["id"]: row["currency"] for row in tables["clients"]}
    currencies = {row["id"]: of_client[row["client_id"]] for row in tables["projects"]}
    statuses = {True: "approved", False: "draft"}
    return Work(
        system="harvest",
        projects=tuple(
            {"ref": f"{project}:{row['id']}", "project_id": _canonical(row["code"])}
            for row in tables["projects"]
        ),
        time_entries=tuple(
            {
                "ref": f"harvest:time_entry:{row['id']}",
                "project_ref": f"{project}:{row['project_id']}",
                "worker": emails[row["user_id"]],
                "work_on": date.fromisoformat(row["spent_date"]),
                "hours": Fraction(str(row["hours"])),
                "is_billable": row["billable"],
                "status": statuses[row["approval_status"] == "approved"],
                "bill_rate": _decimal(row["billable_rate"]),
                "cost_rate": _decimal(row["cost_rate"]),
                "currency": currencies[row["project_id"]],
            }
            for row in tables["time_entries"]
        ),
        expenses=tuple(
            {
                "project_ref": f"{project}:{row['project_id']}",
                "spent_on": date.fromisoformat(row["spent_date"]),
                "amount": _decimal(row["total_cost"]),
                "currency": currencies[row["project_id"]],
                "is_billable": row["billable"],
                "status": statuses[row["approval_status"] == "approved"],
            }
            for row in tables["expenses"]
        ),
    )


def of_certinia(tables: Tables, deals_are: str) -> Work:
    """Read the objects of Certinia's org: projects bear their canonical id, whatever the CRM.

    A timecard is a week; each of its days with hours is an entry. People are contacts, known by
    their addresses. A cost in another currency than the timecard's is none in its own.
    """
    project, timecard = "certinia_custom:project", "certinia_custom:timecard"
    emails = {row["Id"]: row["Email"] for row in tables["Contact"]}
    return Work(
        system="certinia_custom",
        projects=tuple(
            {
                "ref": f"{project}:{row['Id']}",
                "project_id": _canonical(row["Psastream_Project_Id__c"]),
            }
            for row in tables["pse__Proj__c"]
            if not row["IsDeleted"]
        ),
        time_entries=tuple(
            {
                "ref": f"{timecard}:{row['Id']},{name.lower()}",
                "project_ref": f"{project}:{row['pse__Project__c']}",
                "worker": emails[row["pse__Resource__c"]],
                "work_on": day,
                "hours": Fraction(str(row[f"pse__{name}_Hours__c"])),
                "is_billable": row["pse__Billable__c"],
                "status": _decided(row),
                "bill_rate": _decimal(row["pse__Bill_Rate__c"]),
                "cost_rate": _decimal(row["pse__Cost_Rate_Amount__c"])
                if row["pse__Cost_Rate_Currency_Code__c"] == row["CurrencyIsoCode"]
                else None,
                "currency": row["CurrencyIsoCode"],
            }
            for row in tables["pse__Timecard_Header__c"]
            if not row["IsDeleted"]
            for name, day in _week(date.fromisoformat(row["pse__Start_Date__c"]))
            if row[f"pse__{name}_Hours__c"]
        ),
        expenses=tuple(
            {
                "project_ref": f"{project}:{row['pse__Project__c']}",
                "spent_on": date.fromisoformat(row["pse__Expense_Date__c"]),
                "amount": _decimal(row["pse__Amount__c"]),
                "currency": row["CurrencyIsoCode"],
                "is_billable": row["pse__Billable__c"],
                "status": _decided(row),
            }
            for row in tables["pse__Expense__c"]
            if not row["IsDeleted"]
        ),
    )


@dataclass(frozen=True, slots=True)
class PsaTables:
    """Where the tables of a PSA are found among the sources' rows, and how they are read."""

    vendor: str
    read: Callable[[Tables, str], Work]


READ: Final[Mapping[str, PsaTables]] = {
    "inhouse": PsaTables("inhouse", of_inhouse),
    "harvest": PsaTables("harvest", of_harvest),
    "certinia_custom": PsaTables("certinia", of_certinia),
}
"""By the name of the system."""


def _of_deal(project: Row, deals_are: str) -> str | None:
    """The canonical project of one that names a deal, by the id people typed, and a country."""
    if project["opportunity_ref"] is None or project["country_code"] is None:
        return None
    deal = f"{deals_are}:{project['opportunity_ref']}"
    return project_id(engagement_id(deal), project["country_code"])


def _week(first: date) -> list[tuple[str, date]]:
    """The days of a week that begins on a day, each with its English name."""
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    days = [first + timedelta(days=after) for after in range(7)]
    return [(names[day.weekday()], day) for day in days]


def _decided(row: Row) -> str:
    """The status of a timecard or an expense of Certinia, whose flags count before its words."""
    if row["pse__Approved__c"]:
        return "approved"
    if row["pse__Status__c"] == "Rejected":
        return "rejected"
    return "submitted" if row["pse__Submitted__c"] else "draft"


def _canonical(code: str | None) -> str | None:
    text = (code or "").strip()
    return text if is_project_id(text) else None


def _decimal(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _worked(entry: Row) -> Fraction:
    """The time of an entry in hours: what the timer counted, or else what was typed."""
    minutes = entry["minutes"]
    return Fraction(entry["hours"]) if minutes is None else Fraction(minutes, 60)
