"""What the resource tool holds, whichever it is: its people and its plan in one form.

Rows of a person: `ref`, `email`, `is_placeholder`, `region`, `starts_on`, `ends_on`, `bill_rate`,
`weeks` (pairs of a first day and the hours of Monday to Sunday, None where nobody knows them) and
`cost_rates` (pairs of a first day and what an hour costs), both in the order of the days; a value
holds until the next one, the first for the time before it, too. Of a project: `ref`, `project_id`
(the canonical one, None where it bears none), `name`, `starts_on`. Of an allocation: `ref`,
`person_ref`, `project_ref`, `starts_on`, `ends_on`, `hours` (a day), `status` in canonical words,
`is_billable`. Of approved days off: `people` (refs), `starts_on`, `ends_on`, `hours` (None: whole
days). Of a holiday: `region` (None: everybody's), `starts_on`, `ends_on`. A `ref` is
`<system>:<kind>:<id>`, days are texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from schemas.identity import is_project_id

Row = Mapping[str, Any]
Rows = tuple[Row, ...]
Tables = Mapping[str, Iterable[Row]]

EVER_SINCE: Final = "1970-01-01"
FLOAT_STATUSES: Final = {1: "tentative", 2: "approved", 3: "completed"}
FLOAT_APPROVED: Final = 2
FLOAT_PLACEHOLDER: Final = 3
RUNN_REFERENCE: Final = "psastream"
RUNN_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday")


@dataclass(frozen=True, slots=True)
class Staff:
    """The rows of a resource tool that are not deleted."""

    people: Rows
    projects: Rows
    allocations: Rows
    days_off: Rows
    holidays: Rows


def of_float(tables: Tables) -> Staff:
    """Read the collections of Float, whose weeks begin on Sunday."""
    return Staff(
        people=tuple(
            {
                "ref": f"float:person:{row['people_id']}",
                "email": row["email"],
                "is_placeholder": row["people_type_id"] == FLOAT_PLACEHOLDER,
                "region": row["region_id"],
                "starts_on": row["start_date"],
                "ends_on": row["end_date"],
                "bill_rate": row["default_hourly_rate"],
                "weeks": tuple(_float_weeks(row)),
                "cost_rates": tuple(_float_costs(row)),
            }
            for row in tables["people"]
        ),
        projects=tuple(
            {
                "ref": f"float:project:{row['project_id']}",
                "project_id": _canonical(row["project_code"]),
                "name": row["name"],
                "starts_on": row["start_date"],
            }
            for row in tables["projects"]
        ),
        allocations=tuple(
            {
                "ref": f"float:allocation:{row['task_id']}",
                "person_ref": f"float:person:{row['people_id']}",
                "project_ref": f"float:project:{row['project_id']}",
                "starts_on": row["start_date"],
                "ends_on": row["end_date"],
                "hours": row["hours"],
                "status": FLOAT_STATUSES[row["status"]],
                "is_billable": row["billable"] == 1,
            }
            for row in tables["tasks"]
        ),
        days_off=tuple(
            {
                "people": [f"float:person:{person}" for person in row["people_ids"]],
                "starts_on": row["start_date"],
                "ends_on": row["end_date"],
                "hours": None if row["full_day"] == 1 else row["hours"] or Decimal(0),
            }
            for row in tables["timeoffs"]
            if row["status"] == FLOAT_APPROVED
        ),
        holidays=(
            *(
                {"region": row["region"], "starts_on": day, "ends_on": day}
                for row in tables["public-holidays"]
                for day in row["dates"]
            ),
            *(
                {
                    "region": None,
                    "starts_on": row["date"],
                    "ends_on": row["end_date"] or row["date"],
                }
                for row in tables["holidays"]
            ),
        ),
    )


def of_runn(tables: Tables, today: date) -> Staff:
    """Read the lists of Runn, of whose contracts it tells only those in force today.

    It has no prices of people, no requests for time off, and no tentative allocation: a plan is
    as certain as its project. Holidays are days off of each person that has them.
    """
    day = today.isoformat()
    agreed = {
        row["personId"]: row
        for row in tables["contracts"]
        if row["startDate"] <= day <= (row["endDate"] or day)
    }
    starts = {
        row["projectId"]: row["date"] for row in tables["milestones"] if row["icon"] == "start"
    }
    projects = [row for row in tables["projects"] if not row["isTemplate"]]
    confirmed = {row["id"]: row["isConfirmed"] for row in projects}
    return Staff(
        people=(
            *(_runn_person(row, agreed.get(row["id"])) for row in tables["people"]),
            *(_runn_seat(row) for row in tables["placeholders"]),
        ),
        projects=tuple(
            {
                "ref": f"runn:project:{row['id']}",
                "project_id": _canonical(_reference(row, RUNN_REFERENCE)),
                "name": row["name"],
                "starts_on": starts.get(row["id"]),
            }
            for row in projects
        ),
        allocations=tuple(
            {
                "ref": f"runn:assignment:{row['id']}",
                "person_ref": _runn_ref(row["personId"], is_seat=row["isPlaceholder"]),
                "project_ref": f"runn:project:{row['projectId']}",
                "starts_on": row["startDate"],
                "ends_on": row["endDate"],
                "hours": _hours(row["minutesPerDay"]),
                "status": "approved" if confirmed[row["projectId"]] else "tentative",
                "is_billable": row["isBillable"],
            }
            for row in tables["assignments"]
            if not row["isTemplate"]
        ),
        days_off=tuple(
            {
                "people": [_runn_ref(row["personId"])],
                "starts_on": row["startDate"],
                "ends_on": row["endDate"],
                "hours": _hours(row["minutesPerDay"]),
            }
            for row in (*tables["leave"], *tables["holidays"])
        ),
        holidays=(),
    )


READ: Final[Mapping[str, Callable[[Tables, date], Staff]]] = {
    "float": lambda tables, _: of_float(tables),
    "runn": of_runn,
}
"""By the name of the system, of its tables and today."""


def _float_weeks(person: Row) -> Iterator[tuple[str, Any]]:
    """The plain field may lag behind the dated history, which counts where there is one."""
    history = person["work_days_hours_history"] or {EVER_SINCE: person["work_days_hours"]}
    for first in sorted(history):
        week = history[first]
        yield first, None if week is None else (*week[1:], week[0])


def _float_costs(person: Row) -> Iterator[tuple[str, Any]]:
    dated = [each for each in person["contracts"] or [] if each["effective_date"] is not None]
    if not dated:
        yield EVER_SINCE, person["cost_rate"]
    yield from sorted((each["effective_date"], each["cost_rate"]) for each in dated)


def _runn_person(person: Row, contract: Row | None) -> Row:
    """What a contract says holds for all days: no other one is told of."""
    week = contract and (*(_hours(contract["rosteredDays"][day]) for day in RUNN_DAYS), 0, 0)
    return {
        "ref": _runn_ref(person["id"]),
        "email": person["email"],
        "is_placeholder": False,
        "region": None,
        "starts_on": None,
        "ends_on": person["updatedAt"][:10] if person["isArchived"] else None,
        "bill_rate": None,
        "weeks": ((EVER_SINCE, week),),
        "cost_rates": ((EVER_SINCE, contract and contract["costPerHour"]),),
    }


def _runn_seat(seat: Row) -> Row:
    return {
        **_runn_person({**seat, "email": None}, None),
        "ref": _runn_ref(seat["id"], is_seat=True),
        "is_placeholder": True,
    }


def _runn_ref(person_id: int, *, is_seat: bool = False) -> str:
    return f"runn:{'placeholder' if is_seat else 'person'}:{person_id}"


def _reference(row: Row, name: str) -> str | None:
    texts = (each["externalId"] for each in row["references"] if each["referenceName"] == name)
    return next(texts, None)


def _hours(minutes: Any) -> Decimal | None:
    return None if minutes is None else Decimal(str(minutes)) / 60


def _canonical(code: str | None) -> str | None:
    return code if is_project_id(code or "") else None
