"""Acts about timers: hours that grow while somebody works, and count once that ends."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sandbox.story.hours import FIRST_DAY
from sandbox.story.psa import Hours, Time
from sandbox.story.world import World

RUNNING: Final = 5
WORKED: Final = Time(Decimal("1.25"))


def start(world: World) -> Iterator[None]:
    """Some people start a timer each."""
    projects = [project for project in world.cast.projects if project.deal is not None]
    for person in world.random.sample(world.cast.people, k=RUNNING):
        project = world.random.choice(projects)
        hours = Hours(project, person, FIRST_DAY, Time(Decimal(0)), status="draft")
        world.cast.timers.append(world.psa.start_timer(hours))
        yield


def running_missing(world: World) -> str | None:
    """Whether entries whose timer runs have arrived, without the hours that grow."""
    arrived, names = world.library.published("psa.time_entry"), _names(world)
    missing = [name for name in names if name not in arrived or arrived[name]["seconds"] != 0]
    return f"{len(missing)} running timers in psa.time_entry, of no hours yet" if missing else None


def stop(world: World) -> Iterator[None]:
    """They stop, put the hours right, and have them approved."""
    for entry in world.cast.timers:
        world.psa.stop_timer(entry)
        yield
        world.psa.correct(entry, WORKED)
        yield
        world.psa.decide(entry, "approved")
        world.cast.entries[entry] = "approved"
        yield


def _names(world: World) -> list[str]:
    return [f"{world.psa.entries_are}:{entry}" for entry in world.cast.timers]
