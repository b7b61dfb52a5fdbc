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
from sandbox.story.resource import Allocation, Hire, Week
from sandbox.story.world import World

NAME: Final = ("Paula", "Petersen")
EMAIL: Final = "paula.petersen@psastream.example"
CHANGED_ON: Final = "2026-09-21"
HIRED_ON: Final = "2026-02-01"
LONG_DAY: Final = Decimal("7.5")
THREE_DAYS: Final[Week] = (6, 6, 6, 0, 0, 0, 0)
FOUR_DAYS: Final[Week] = (LONG_DAY, LONG_DAY, LONG_DAY, LONG_DAY, 0, 0, 0)
COST_RATE: Final = Decimal(55)
BILL_RATE: Final = Decimal(125)
WORKED: Final = {
    date(2026, 9, 9): "6.00",
    date(2026, 9, 16): "5.50",
    date(2026, 9, 24): "7.50",
    date(2026, 9, 30): "7.25",
}


def part_timer(world: World) -> Iterator[None]:
    """Hire her, plan her, let her work and change her week."""
    hire = Hire(*NAME, HIRED_ON, THREE_DAYS, email=EMAIL, cost_rate=COST_RATE, bill_rate=BILL_RATE)
    person = Person(world.resource_tool.hire(hire), *NAME, EMAIL, BILL_RATE, COST_RATE)
    world.psa.hire(person)
    yield
    project = world.planned_projects()[0]
    world.resource_tool.plan(
        Allocation(person.id, project.id, "2026-09-07", "2026-10-02", Decimal("4.5"))
    )
    yield
    for day, hours in WORKED.items():
        world.psa.book(
            Hours(world.cast.projects[0], person, day, Time(Decimal(hours)), status="approved")
        )
        yield
    weeks = {HIRED_ON: THREE_DAYS, CHANGED_ON: FOUR_DAYS}
    world.resource_tool.change_week(person.id, weeks, is_shown_late=True)
    yield
