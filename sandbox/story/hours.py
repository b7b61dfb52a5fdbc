"""People at work: timesheets and expenses, with all that happens to them before and after approval.

Every function makes one change in the PSA and yields.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from sandbox.story.psa import Expense, Hours, PsaProject, Time
from sandbox.story.world import World

FIRST_DAY: Final = date(2026, 9, 7)
DAYS: Final = 40
EXPENSE_CATEGORIES: Final = ("Travel", "Meals & Entertainment", "Software")
ENTRIES_AN_EXPENSE: Final = 15
TAKEN_BACK: Final = 12

BILLABLE_SHARE: Final = 0.85
SUBMITTED_SHARE: Final = 0.9
APPROVED_SHARE: Final = 0.5
REJECTED_SHARE: Final = 0.1
CHANGED_LATER_SHARE: Final = 0.15
TIMED_SHARE: Final = 0.2


def timesheets(world: World) -> Iterator[None]:
    """Enter, submit, approve, reject, correct, move and delete hours; book expenses."""
    for number in range(world.entries):
        project = world.random.choice(world.cast.projects)
        entry = yield from book(world, project, status="draft")
        yield from _decide(world, entry)
        if world.random.random() < CHANGED_LATER_SHARE:
            yield from _change_of_mind(world)
        if number % ENTRIES_AN_EXPENSE == 0:
            yield from _expense(world)


def book(world: World, project: PsaProject, *, status: str) -> Generator[None, None, str]:
    """Enter hours of somebody on a project; returns the id of the entry."""
    entry = world.psa.book(
        Hours(
            project=project,
            worker=world.random.choice(world.cast.people),
            work_on=_work_day(world),
            time=_time(world),
            is_billable=project.deal is not None and world.random.random() < BILLABLE_SHARE,
            status=status,
            notes="workshop with the customer" if len(world.cast.entries) % 2 else None,
        )
    )
    world.cast.entries[entry] = status
    yield
    return entry


def take_back(world: World) -> Iterator[None]:
    """Withdraw the approval of some hours, delete others, and put the impossible day right."""
    approved = [entry for entry, status in world.cast.entries.items() if status == "approved"]
    chosen = world.random.sample(approved, k=min(2 * TAKEN_BACK, len(approved)))
    for entry in chosen[:TAKEN_BACK]:
        yield from _set_status(world, entry, "submitted")
    for entry in chosen[TAKEN_BACK:]:
        yield from _delete(world, entry)
    for entry in world.cast.impossible_entries:
        world.psa.correct(entry, Time(Decimal("3.00")))
        yield
        yield from _set_status(world, entry, "approved")


def _decide(world: World, entry: str) -> Iterator[None]:
    if world.random.random() < SUBMITTED_SHARE:
        yield from _set_status(world, entry, "submitted")
        verdict = world.random.random()
        if verdict < APPROVED_SHARE:
            yield from _set_status(world, entry, "approved")
        elif verdict < APPROVED_SHARE + REJECTED_SHARE:
            yield from _set_status(world, entry, "rejected")


def _change_of_mind(world: World) -> Iterator[None]:
    """Something happens to hours booked earlier, approved or not."""
    entry = world.random.choice(list(world.cast.entries))
    match world.random.choice(("correct", "correct", "move", "move", "reopen", "delete")):
        case "correct":
            world.psa.correct(entry, _time(world))
            yield
        case "move":
            world.psa.move(entry, world.random.choice(world.cast.projects))
            yield
        case "reopen":
            yield from _set_status(world, entry, "draft")
        case "delete":
            yield from _delete(world, entry)


def _set_status(world: World, entry: str, status: str) -> Iterator[None]:
    world.psa.decide(entry, status)
    world.cast.entries[entry] = status
    yield


def _delete(world: World, entry: str) -> Iterator[None]:
    world.psa.delete(entry)
    del world.cast.entries[entry]
    yield


def _expense(world: World) -> Iterator[None]:
    expense = world.psa.spend(
        Expense(
            project=world.random.choice(world.cast.projects),
            worker=world.random.choice(world.cast.people),
            spent_on=_work_day(world),
            amount=Decimal(world.random.randrange(500, 90_000)) / 100,
            is_billable=world.random.random() < BILLABLE_SHARE,
            category=world.random.choice(EXPENSE_CATEGORIES),
        )
    )
    yield
    world.psa.approve_expense(expense)
    yield
    if world.random.random() < CHANGED_LATER_SHARE:
        world.psa.delete_expense(expense)
        yield


def impossible_day(world: World) -> Iterator[None]:
    """Somebody books 30 hours on one day: a record nobody can process."""
    time = Time(Decimal("30.00"))
    project, person = world.cast.projects[0], world.cast.people[0]
    entry = world.psa.book(Hours(project, person, FIRST_DAY, time, status="submitted"))
    world.cast.impossible_entries.append(entry)
    yield


def _work_day(world: World) -> date:
    """Return a day of the story; some people work on Sundays."""
    return FIRST_DAY + timedelta(days=world.random.randrange(DAYS))


def _time(world: World) -> Time:
    """Return typed quarters of hours, or minutes of a timer with the hours a screen shows."""
    if world.random.random() < TIMED_SHARE:
        minutes = world.random.choice((10, 20, 50, 80))
        return Time((Decimal(minutes) / 60).quantize(Decimal("0.01")), minutes)
    return Time(Decimal(world.random.randrange(2, 34)) / 4)
