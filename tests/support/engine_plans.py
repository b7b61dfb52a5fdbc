"""What happens to the workers and the broker in one seed of the crash suite.

Pure: the plan of a seed is the same on every machine. Kinds go in rotation, so that a few seeds
cover them all; who is hit, how far into its work and in which company is drawn.
"""

import random
from dataclasses import dataclass
from enum import StrEnum

from streams.engine.marks import Mark
from tests.support.sinks import KillPoint

WORKERS = ("a", "b", "c")
STEPS_PER_SEED = 2
DISPATCH_EVERY = 3
"""One seed of so many has dispatchers at work."""


class Kind(StrEnum):
    """One kind of disturbance."""

    KILL = "kill"
    """SIGKILL of a worker at a mark."""
    FREEZE = "freeze"
    """SIGSTOP of a worker at a mark until its partitions are another's, then SIGCONT."""
    BROKER = "kill broker"
    """SIGKILL of the broker, and a start."""
    BROKER_AT_MARK = "kill broker with"
    """The same while a worker is at a mark."""
    ROLLING = "rolling restart"
    """SIGTERM of one worker after the other, and a start."""
    SCALE = "scale 3-1-3-1-3"
    """From three workers to one, to three, to another one, to three."""
    OUTAGE = "lose all workers and their state"
    """SIGKILL of all workers, and nothing left on their disks."""
    DAMAGE = "damage the state of a stopped"
    """SIGTERM of a worker, flipped bytes in its local state, and a start."""
    ROT = "let rot the state of a running"
    """Flipped bytes in the blocks a running worker reads."""


@dataclass(frozen=True)
class Step:
    """One disturbance. What a kind does not use is drawn all the same, and ignored."""

    kind: Kind
    mark: Mark | None
    worker: str
    nth: int
    loses_state: bool
    """Whether the local state of a worker is deleted before it starts again."""

    def __str__(self) -> str:
        at = f"{self.worker} {self.mark} no. {self.nth}"
        loses = ", lose state" if self.loses_state else ""
        match self.kind:
            case Kind.KILL:
                return f"{self.kind} {at}{loses}"
            case Kind.FREEZE | Kind.BROKER_AT_MARK:
                return f"{self.kind} {at}"
            case Kind.DAMAGE | Kind.ROT:
                return f"{self.kind} {self.worker}"
            case Kind.ROLLING | Kind.SCALE:
                return f"{self.kind} from {self.worker}{loses}"
            case _:
                return str(self.kind)


@dataclass(frozen=True)
class DispatcherFreeze:
    """SIGSTOP of a dispatcher at a point of a command until another took over, then SIGCONT.

    It is asked for before the step `first`, and goes on after the step `last`.
    """

    point: KillPoint
    nth: int
    first: int
    last: int
    about: str = ""
    """Only commands whose natural key holds this count."""

    def __str__(self) -> str:
        steps = f"from step {self.first + 1} to step {self.last + 1}"
        return f"freeze a dispatcher {self.point} no. {self.nth}, {steps}"


@dataclass(frozen=True)
class Plan:
    """One seed."""

    seed: int
    steps: tuple[Step, ...]
    chunk_records: int
    is_static: bool
    """Whether workers keep their membership of the group over a restart."""
    dispatch: DispatcherFreeze | None = None
    """What happens to dispatchers beside the steps; None if there are none."""

    def __str__(self) -> str:
        members = "static" if self.is_static else "dynamic"
        steps = "; ".join(str(step) for step in self.steps)
        beside = f"; beside it {self.dispatch}" if self.dispatch else ""
        head = f"seed {self.seed} ({members} members, chunks of {self.chunk_records})"
        return f"{head}: {steps}{beside}"


ROTATION: tuple[tuple[Kind, Mark | None], ...] = (
    *((Kind.KILL, mark) for mark in Mark),
    *((Kind.FREEZE, mark) for mark in Mark),
    (Kind.BROKER, None),
    (Kind.BROKER_AT_MARK, Mark.IN_TRANSACTION),
    (Kind.BROKER_AT_MARK, Mark.BEFORE_COMMIT),
    (Kind.ROLLING, None),
    (Kind.SCALE, None),
    (Kind.OUTAGE, None),
    (Kind.DAMAGE, None),
    (Kind.ROT, None),
)


def plan_of(seed: int) -> Plan:
    """The plan of a seed from 1 on: the next places of the rotation."""
    rng = random.Random(seed)
    first = (seed - 1) * STEPS_PER_SEED
    drawn = [_place(place) for place in range(first, first + STEPS_PER_SEED)]
    steps = [
        Step(
            kind,
            mark,
            worker=rng.choice(WORKERS),
            # A start reaches these two only a few times.
            nth=rng.randint(1, 2 if mark in (Mark.IN_REBALANCE, Mark.RESTORING) else 5),
            loses_state=rng.random() < 0.4,
        )
        for kind, mark in drawn
    ]
    chunk_records, is_static = rng.choice((20, 40, 80)), rng.random() < 0.4
    return Plan(seed, tuple(steps), chunk_records, is_static, _freeze(seed, rng))


def _freeze(seed: int, rng: random.Random) -> DispatcherFreeze | None:
    turn, rest = divmod(seed - 1, DISPATCH_EVERY)
    if rest:
        return None
    points = list(KillPoint)
    first = rng.randrange(STEPS_PER_SEED)
    last = rng.randrange(first, STEPS_PER_SEED)
    return DispatcherFreeze(points[turn % len(points)], rng.randint(1, 5), first, last)


def _place(place: int) -> tuple[Kind, Mark | None]:
    # Each round has an order of its own, so that other kinds meet.
    rounds, at = divmod(place, len(ROTATION))
    return random.Random(rounds).sample(ROTATION, len(ROTATION))[at]
