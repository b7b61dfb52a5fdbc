"""A part-timer: other days and other standard hours than the firm's, and others again in the year.

She works Monday to Wednesday, six hours a day, and from a Monday on four days of seven and a half
hours. Her plan lies across that day, and she books hours before and after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Final

from sandbox.story.psa import Hours, Person, Time
from sandbox.story.world import World

NAME: Final = ("Paula", "Petersen")
EMAIL: Final = "paula.petersen@psastream.example"
CHANGED_ON: Final = "2026-09-21"
THREE_DAYS: Final = [0, 6, 6, 6, 0, 0, 0]
FOUR_DAYS: Final = [0, Decimal("7.5"), Decimal("7.5"), Decimal("7.5"), Decimal("7.5"), 0, 0]
RATES: Final = {"cost_rate": Decimal(55), "default_hourly_rate": Decimal(125)}
WORKED: Final = {
    date(2026, 9, 9): "6.00",
    date(2026, 9, 16): "5.50",
    date(2026, 9, 24): "7.50",
    date(2026, 9, 30): "7.25",
}
CONFIRMED: Final = 2


def part_timer(world: World) -> Iterator[None]:
    """Hire her, plan her, let her work and change her week."""
    row = world.admin.create(
        "float",
        "people",
        {
            "name": " ".join(NAME),
            "email": EMAIL,
            **RATES,
            "work_days_hours": THREE_DAYS,
            "start_date": "2026-02-01",
        },
    )
    person = Person(
        row["people_id"], *NAME, EMAIL, RATES["default_hourly_rate"], RATES["cost_rate"]
    )
    world.psa.hire(person)
    yield
    project = world.planned_projects()[0]
    plan = {
        "people_id": person.id,
        "project_id": project["project_id"],
        "start_date": "2026-09-07",
        "end_date": "2026-10-02",
        "hours": Decimal("4.5"),
        "status": CONFIRMED,
    }
    world.admin.create("float", "tasks", plan)
    yield
    for day, hours in WORKED.items():
        world.psa.book(
            Hours(world.cast.projects[0], person, day, Time(Decimal(hours)), status="approved")
        )
        yield
    # The plain field of the resource tool may lag behind the dated history.
    history = {"1970-01-01": THREE_DAYS, CHANGED_ON: FOUR_DAYS}
    world.admin.update("float", "people", person.id, {"work_days_hours_history": history})
    yield
