"""The integration loses a right in the ERP and is given it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sandbox.story import hours
from sandbox.story.world import World

WITHOUT_RIGHT: Final = 40
"""Approved entries in the meantime: more than are refused before the others are held back."""
PERMISSION: Final = "permission"


def lose_right(world: World) -> Iterator[None]:
    """Somebody tidies up roles in the ERPs; people go on booking time."""
    for erp in world.erps.values():
        erp.deny_time()
        yield
    projects = [project for project in world.cast.projects if project.deal is not None]
    for _ in range(WITHOUT_RIGHT):
        yield from hours.book(world, world.random.choice(projects), status="approved")


def refusals_missing(world: World) -> str | None:
    """Whether every time bill that the ERPs lack waits for a person."""
    refused, lacking = _refused(world), {each.key for each in world.differences("erp time bills")}
    so_far = f"{refused} of {len(lacking)} time bills refused so far"
    return so_far if refused < len(lacking) else None


def give_right_back(world: World) -> Iterator[None]:
    """An administrator gives the right back, and does not want to wait for the next trial."""
    for erp in world.erps.values():
        erp.allow_time()
        yield
    world.library.ask_for_retry(PERMISSION)
    yield


def refusals_left(world: World) -> str | None:
    """Whether refused time bills still wait."""
    refused = _refused(world)
    return f"{refused} time bills still refused" if refused else None


def refused_hours(world: World) -> str:
    """Say how many time bills wait for the right."""
    return f"{_refused(world)} time bills wait for a right of the integration"


def _refused(world: World) -> int:
    exceptions = world.library.published("psa.exception").values()
    return sum(row["status"] == "open" and row["reason"] == PERMISSION for row in exceptions)
