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


READ: Final[Mapping[str, Callable[[Tables], Staff]]] = {
    "float": of_float,
}
"""By the name of the system."""


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


def _canonical(code: str | None) -> str | None:
    return code if is_project_id(code or "") else None
