"""What an act is, and the driver that plays acts and waits for what must follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

from stamina import retry_context

from sandbox.story.psa import Ability
from sandbox.story.world import World
from schemas.errors import TransientError

POLL_INTERVAL_S = 0.3
LONGEST_PAUSE_S = 2.0

T = TypeVar("T")


class StoryError(Exception):
    """A consequence did not show up in time; the text names it."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act.

    `do` makes one change and yields, again and again; `missing` names what does not show yet in
    any system, None once everything does; `outcome` says in a line or several what came of it.
    `needs` is what only some PSAs can show: without it the act is left out. So it is in a firm that
    has no system in its `role`, where it has one. `narrations` are other words where another ERP
    than usual keeps most of the books.
    """

    name: str
    title: str
    narration: str
    do: Callable[[World], Iterator[None]]
    missing: Callable[[World], str | None]
    outcome: Callable[[World], str] = lambda _: ""
    needs: frozenset[Ability] = frozenset()
    role: str = ""
    narrations: Mapping[str, str] = field(default_factory=dict, hash=False)

    def told_with(self, erp: str) -> Act:
        """Return the act in the words for an ERP."""
        return replace(self, narration=self.narrations[erp]) if erp in self.narrations else self

    def lacks(self, abilities: Set[Ability]) -> list[Ability]:
        """Return what the act needs and a PSA with these abilities cannot show."""
        return [each for each in Ability if each in self.needs - abilities]


class Audience(Protocol):
    """Follows a story. Called from the thread that plays it."""

    def act_began(self, act: Act) -> None:
        """The act begins."""

    def changed(self, act: Act, changes: int) -> None:
        """The act has made so many changes."""

    def waiting(self, act: Act, missing: str) -> None:
        """All changes are made; this does not show yet."""

    def act_ended(self, act: Act, seconds: float, outcome: str) -> None:
        """Everything that must follow is there."""


@dataclass(frozen=True, slots=True)
class Stage:
    """How acts are played: for whom, how patiently, and who may stop them."""

    audience: Audience
    deadline_s: float
    stop: threading.Event


def play(acts: Sequence[Act], world: World, stage: Stage) -> None:
    """Play the acts in order.

    Raises StoryError where a consequence is missing at the deadline, and when stopped.
    """
    for act in acts:
        began_at = time.monotonic()
        stage.audience.act_began(act)
        _perform(act, world, stage)
        _wait(act, world, stage)
        outcome = patiently(partial(act.outcome, world), stage.deadline_s)
        stage.audience.act_ended(act, time.monotonic() - began_at, outcome)


def patiently(ask: Callable[[], T], deadline_s: float) -> T:
    """Return an answer; while a part is down for a moment it is asked for again.

    Raises TransientError where it is down at the deadline.
    """
    for attempt in retry_context(
        on=TransientError, attempts=None, timeout=deadline_s, wait_max=LONGEST_PAUSE_S
    ):
        with attempt:
            return ask()
    raise AssertionError("the last attempt returns or raises")


def _perform(act: Act, world: World, stage: Stage) -> None:
    """Make the changes, no faster than the rate of the story."""
    began_at = time.monotonic()
    for changes, _ in enumerate(act.do(world), start=1):
        stage.audience.changed(act, changes)
        ahead_s = changes / world.rate - (time.monotonic() - began_at)
        _pause(act, stage, max(0.0, ahead_s))


def _wait(act: Act, world: World, stage: Stage) -> None:
    deadline_at = time.monotonic() + stage.deadline_s
    while True:
        try:
            missing = act.missing(world)
        except TransientError as error:  # a part is down for a moment
            missing = f"an answer: {error}"
        if missing is None:
            return
        if time.monotonic() > deadline_at:
            raise StoryError(f"act {act.name}: not within {stage.deadline_s:.0f} s: {missing}")
        stage.audience.waiting(act, missing)
        _pause(act, stage, POLL_INTERVAL_S)


def _pause(act: Act, stage: Stage, seconds: float) -> None:
    if stage.stop.wait(seconds):
        raise StoryError(f"act {act.name}: stopped")
