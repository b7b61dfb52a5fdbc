"""Desires that a target refuses, and when each is tried again. Pure: time comes in as seconds.

Refused commands of one kind, reason, code and field have one cause as far as anybody can tell:
they are a cohort. After a pause a few of them are tried (probes). When all are taken, twice as many
follow at once, then twice as many again; when none is, the cohort pauses for longer. So a cause
that lasts costs a few calls a pause, and a cause that is gone holds nothing up for long. Between
the two a sweep goes on as long as some are taken, and tries each once. It waits for an answer for
the length of a pause; then the others go on, and what has not answered counts as not taken.

What a target says may stand for several causes. So, unless the cause lies outside the records, no
command waits for ever behind others: pauses are short enough that each is tried within PATIENCE_S.
Those whose records change are tried soon, beside the sweeps, and take nobody's turn.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final

from connectors.dispatch.commands import Command, Problem
from connectors.dispatch.pace import DAY_S, MINUTE_S, PACES, Pace
from connectors.dispatch.references import references
from connectors.toolkit.faults import Reason

WINDOW_MAX: Final = 64
"""Most commands of a cohort that are tried at once."""
HOLD_AFTER: Final = 20
"""Refusals in a row after which a shared cause is believed to concern every command of a kind."""
TOUCH_GAP_S: Final = 30.0
"""Shortest time between trials of a cohort because something that it names has changed."""
PATIENCE_S: Final = 2 * DAY_S
"""Time within which each command of a cohort is tried, if a few a minute are enough for that."""

_CohortKey = tuple[str, Reason, str, str | None]
_Rank = tuple[bool, bool, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that is refused as it is now, or that left something to tidy up.

    `refusals` counts those of its cause in a row, 0 where it was held back and never sent.
    Times are seconds since the epoch.
    """

    exception_id: str
    command: Command
    problem: Problem
    attempts: int
    refusals: int
    raised_at_s: float
    attempted_at_s: float
    retry_at_s: float


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """What a person wants tried again now: one exception, or all of a target or reason.

    What was tried since `tried_before_s` is not meant.
    """

    exception_id: str | None = None
    target: str | None = None
    reason: Reason | None = None
    tried_before_s: float = inf

    def is_about(self, refusal: Refusal) -> bool:
        """Whether the refusal is meant."""
        return (
            refusal.attempted_at_s < self.tried_before_s
            and (self.exception_id is None or self.exception_id == refusal.exception_id)
            and (self.target is None or self.target == refusal.command.target)
            and (self.reason is None or self.reason is refusal.problem.reason)
        )


@dataclass(slots=True)
class _Cohort:
    identity: str
    pace: Pace
    due_at_s: float
    members: dict[str, Refusal] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)
    round: set[str] = field(default_factory=set)  # under way, and waited for by this sweep
    tried: set[str] = field(default_factory=set)  # in this sweep, or under way when it began
    # The order in which members were tried last: by count, since a clock may go back.
    turns: dict[str, int] = field(default_factory=dict)
    queue: list[tuple[_Rank, str]] = field(default_factory=list)  # a heap; may hold what is over
    wanted: dict[str, None] = field(default_factory=dict)  # to be tried before the others
    touched: dict[str, None] = field(default_factory=dict)  # to be tried soon, beside the sweeps
    soon_at_s: float = inf
    is_sweeping: bool = False  # not in a pause, in which trials take nobody's turn
    window: int = 1
    failures: int = 1  # sweeps in a row of which nothing was taken
    in_a_row: int = 0  # refusals without one of the kind being taken
    taken: int = 0
    refused: int = 0
    tried_at_s: float = 0.0
    last: Problem | None = None  # what the target said last

    def join(self, member: Refusal, turn: int) -> None:
        """Take in a member, or what became of it; it has its turn in a sweep once."""
        self.members[member.exception_id] = member
        self.turns[member.exception_id] = turn
        if member.exception_id not in self.tried:
            heapq.heappush(self.queue, (self._rank(member), member.exception_id))

    def choose(self) -> list[Refusal]:
        """Return who is tried next: wanted first, then never sent, then longest not tried."""
        chosen: list[Refusal] = []
        while len(chosen) < self.window and (member := self._next()) is not None:
            self.tried.add(member.exception_id)
            chosen.append(member)
        return chosen

    def _next(self) -> Refusal | None:
        """Return whose turn it is, None where each has had its own in this sweep."""
        while self.queue:
            rank, identity = self.queue[0]
            member = self.members.get(identity)
            if member is not None and identity not in self.tried and rank == self._rank(member):
                return member
            heapq.heappop(self.queue)
        return None

    def _rank(self, member: Refusal) -> _Rank:
        is_wanted, was_sent = member.exception_id in self.wanted, member.refusals > 0
        return not is_wanted, was_sent, self.turns[member.exception_id]

    def leave(self, identity: str) -> Refusal:
        """Let a member go and return it."""
        self.wanted.pop(identity, None)
        self.touched.pop(identity, None)
        self.turns.pop(identity)
        return self.members.pop(identity)

    def waits_until_s(self, now_s: float) -> float:
        """Return when the cohort is due."""
        return self.pace.believed_s(self.due_at_s, now_s)

    def touch(self, identity: str, now_s: float) -> None:
        """Take in that something that a member names has changed."""
        self.touched[identity] = None
        at_s = max(now_s, min(self.tried_at_s, now_s) + TOUCH_GAP_S)
        self.soon_at_s = min(self.soon_at_s, at_s)

    def touched_at_s(self, now_s: float) -> float:
        """Return when members are due whose records changed: no later than they ever wait."""
        if self.soon_at_s <= now_s + TOUCH_GAP_S or not self.touched:
            return self.soon_at_s
        return now_s

    def choose_touched(self, now_s: float) -> list[Refusal]:
        """Return who is tried because its record has changed; the rest follows a little later."""
        found = [it for it in self.touched if it not in self.under_way][: self.pace.probes]
        for identity in found:
            del self.touched[identity]
        self.soon_at_s = now_s + TOUCH_GAP_S if self.touched else inf
        return [self.members[identity] for identity in found]

    def begin_sweep(self, due_at_s: float) -> None:
        """Let each have its turn again, from then on."""
        self.window = self.pace.probes
        self.is_sweeping = False
        self.due_at_s = due_at_s

    def _give_turns(self) -> None:
        """Begin the sweep: only what is under way now has its turn already."""
        self.is_sweeping = True
        self.tried = set(self.under_way)
        self.queue = [
            (self._rank(member), identity)
            for identity, member in self.members.items()
            if identity not in self.tried
        ]
        heapq.heapify(self.queue)

    def begin_anew(self, now_s: float) -> None:
        """Begin a sweep now, as if nothing had been tried; what is under way goes on beside it."""
        self.failures = 1
        self.taken = self.refused = 0
        self.round.clear()
        self.begin_sweep(now_s)

    def pause(self, now_s: float) -> None:
        """Begin a pause; afterwards a new sweep begins."""
        self.begin_sweep(now_s + self._pause_s(self.failures))

    def _pause_s(self, failures: int) -> float:
        """Return the pause after so many failures in a row: no longer than all can be tried in."""
        pause_s = self.pace.pause_s(failures, self.identity)
        if self.pace.is_shared or not self.members:
            return pause_s
        share_s = PATIENCE_S * self.pace.probes / len(self.members)
        return min(pause_s, max(MINUTE_S, share_s))

    def begin_round(self, now_s: float) -> list[Refusal]:
        """Begin to try the next ones and return them; a pause where it is nobody's turn.

        Who has not answered in the time of a pause is waited for no longer, and is no good news.
        """
        if self.round:
            self.refused += len(self.round)
            self.round.clear()
            self.end_round(now_s)
        if not self.is_sweeping:
            self._give_turns()
        chosen = self.choose()
        if not chosen:
            self.pause(now_s)
            return []
        # Should an answer never come, the others go on.
        self.due_at_s = now_s + self._pause_s(self.failures + 1)
        self.tried_at_s = now_s
        for member in chosen:
            self.wanted.pop(member.exception_id, None)
            self.round.add(member.exception_id)
            self.under_way.add(member.exception_id)
        return chosen

    def answered(self, identity: str, is_taken: bool | None, now_s: float) -> None:
        """Take in what came of a trial; None: it was not tried after all.

        One that no sweep waits for says nothing about the others where it is refused.
        """
        self.under_way.discard(identity)
        is_waited_for = identity in self.round
        self.round.discard(identity)
        self.taken += is_taken is True
        self.refused += is_taken is False and is_waited_for
        if not self.round and (self.taken or is_waited_for):
            self.end_round(now_s)

    def end_round(self, now_s: float) -> None:
        """Decide what follows once all that were tried have been answered."""
        is_in_vain = self.taken == 0 and self.refused > 0
        if self.taken:
            self.failures = 1
            grown = self.window * 2 if self.refused == 0 else self.window // 2
            self.window = max(1, min(WINDOW_MAX, grown))
        elif self.refused:
            self.failures += 1
        self.taken = self.refused = 0
        if is_in_vain or self._next() is None:
            self.pause(now_s)
        else:  # also where nothing was learned: it is the next one's turn
            self.due_at_s = now_s


class Refusals:
    """All refusals of one target. Not thread-safe; one owner."""

    def __init__(self, known: Iterable[Refusal] = ()) -> None:
        """Start from what earlier sessions left behind."""
        self._cohorts: dict[_CohortKey, _Cohort] = {}
        self._keys: dict[str, _CohortKey] = {}  # exception id → its cohort
        self._urgent: dict[str, None] = {}
        self._again: set[str] = set()  # a person asked while they were under way
        self._turns = itertools.count()
        self._changes: dict[str, int] = {}  # exception id → how often its cause was another one
        self._of: dict[str, dict[str, None]] = {}  # natural key → exception ids
        self._references: dict[str, tuple[str, ...]] = {}  # exception id → what its command names
        self._names: dict[str, set[str]] = {}  # what a command names → exception ids
        for refusal in sorted(known, key=lambda it: it.attempted_at_s):
            self._restore(refusal)

    def __len__(self) -> int:
        return len(self._keys)

    def _restore(self, refusal: Refusal) -> None:
        cohort = self._join(refusal)
        cohort.failures = max(cohort.failures, refusal.refusals)
        # The cohort was tried last when any of it was.
        cohort.due_at_s = max(cohort.due_at_s, refusal.retry_at_s)

    def refused(
        self, exception_id: str, command: Command, problem: Problem, attempts: int, now_s: float
    ) -> Refusal:
        """Take in a refusal and return it as it is to be remembered.

        `attempts` counts those of the command; its refusals go on where the cause is the same.
        A cause is gone where another one is said; where they are said in turns, none is.
        """
        before = self._member(exception_id)
        key = _cohort_key(command, problem)
        is_held = problem.is_held
        changes = self._changed(exception_id, command, key)
        is_gone = self._keys.get(exception_id) != key and changes <= 1
        was_tried = self._left(exception_id, is_taken=is_gone, now_s=now_s)
        if key not in self._cohorts:
            self._cohorts[key] = _cohort(key, now_s)
            self._cohorts[key].failures = max(1, changes)
            self._cohorts[key].pause(now_s)
        cohort = self._cohorts[key]
        if not is_held:
            cohort.in_a_row += 1
            cohort.tried_at_s = now_s
            cohort.last = problem
        if was_tried and not is_gone:
            self._cohorts[self._keys[exception_id]].answered(exception_id, False, now_s)
        refusal = Refusal(
            exception_id,
            command,
            problem,
            attempts,
            0 if is_held else cohort.failures,
            before.raised_at_s if before else now_s,
            now_s,
            cohort.due_at_s,
        )
        self._join(refusal)
        if exception_id in self._again:  # its answer may be from before the cure
            self._again.discard(exception_id)
            self._urgent[exception_id] = None
        return refusal

    def waiting(self, exception_id: str) -> Refusal | None:
        """Return the refusal of an exception, None where none waits."""
        return self._member(exception_id)

    def of(self, natural_key: str, *, below: int) -> list[Refusal]:
        """Return what waits of a natural key below a revision."""
        return [
            member
            for identity in self._of.get(natural_key, ())
            if (member := self._member(identity)) is not None and member.command.revision < below
        ]

    def met(self, exception_id: str, now_s: float) -> None:
        """Take in that the desire is met, or withdrawn; the exception is resolved."""
        self._left(exception_id, is_taken=True, now_s=now_s)
        self._forget(exception_id)
        self._again.discard(exception_id)
        self._changes.pop(exception_id, None)

    def put_back(self, exception_id: str, now_s: float) -> None:
        """Take in that a command was not tried after all; others of its sweep are."""
        key = self._keys.get(exception_id)
        if key is None or exception_id not in self._cohorts[key].under_way:
            return
        self._again.discard(exception_id)
        self._cohorts[key].answered(exception_id, None, now_s)

    def flows(self, kind: str) -> None:
        """Take in that a command of this kind was carried out: no cause concerns all of them."""
        for key, cohort in self._cohorts.items():
            if key[0] == kind:
                cohort.in_a_row = 0

    def holding(self, kind: str) -> Problem | None:
        """Return why no further command of a kind need be sent for now, None where it may."""
        for key, cohort in self._cohorts.items():
            if key[0] == kind and cohort.pace.is_shared and cohort.in_a_row >= HOLD_AFTER:
                return cohort.last
        return None

    def due(self, now_s: float) -> list[Refusal]:
        """Return what is to be tried now; each must be answered by one of the reports."""
        released = [member for identity in self._urgent if (member := self._begin(identity))]
        self._urgent.clear()
        for cohort in self._cohorts.values():
            if cohort.touched_at_s(now_s) <= now_s:
                cohort.tried_at_s = now_s
                for member in cohort.choose_touched(now_s):
                    self._begin(member.exception_id)
                    released.append(member)
            if cohort.waits_until_s(now_s) <= now_s:
                released += cohort.begin_round(now_s)
        return released

    def next_at_s(self, now_s: float) -> float | None:
        """Return when something is due next, None where nothing waits."""
        if self._urgent:
            return 0.0
        return min(
            (
                min(cohort.touched_at_s(now_s), cohort.waits_until_s(now_s))
                for cohort in self._cohorts.values()
            ),
            default=None,
        )

    def request(self, request: RetryRequest, now_s: float) -> int:
        """Make what a person asks for due at once; return how many are meant.

        One by its id is tried whatever its cohort does; of many, a few are tried first. Who is
        under way is tried once more, should it be refused: the target may have answered before the
        cure.
        """
        meant = [member for member in self._members() if request.is_about(member)]
        keys: dict[_CohortKey, None] = {}
        for member in meant:
            identity = member.exception_id
            key = self._keys[identity]
            is_under_way = identity in self._cohorts[key].under_way
            if is_under_way:
                self._again.add(identity)
            elif request.exception_id is not None:
                self._urgent[identity] = None
            else:
                self._cohorts[key].wanted[identity] = None
            if request.exception_id is None:
                keys[key] = None
        for key in keys:
            self._cohorts[key].begin_anew(now_s)
        return len(meant)

    def touched(self, names: Collection[str], now_s: float) -> None:
        """Take in that something of these names has changed or was captured again."""
        for name in names:
            for identity in self._names.get(name, ()):
                self._cohorts[self._keys[identity]].touch(identity, now_s)

    def _members(self) -> Iterator[Refusal]:
        for cohort in self._cohorts.values():
            yield from cohort.members.values()

    def _member(self, exception_id: str) -> Refusal | None:
        key = self._keys.get(exception_id)
        return None if key is None else self._cohorts[key].members.get(exception_id)

    def _changed(self, exception_id: str, command: Command, key: _CohortKey) -> int:
        """Count how often a command was refused for another cause than the time before."""
        before = self._member(exception_id)
        if before is None or before.command.command_id != command.command_id:
            self._changes.pop(exception_id, None)
        elif self._keys[exception_id] != key:
            self._changes[exception_id] = self._changes.get(exception_id, 0) + 1
        return self._changes.get(exception_id, 0)

    def _begin(self, exception_id: str) -> Refusal | None:
        key = self._keys.get(exception_id)
        if key is None or exception_id in self._cohorts[key].under_way:
            return None
        cohort = self._cohorts[key]
        cohort.under_way.add(exception_id)
        cohort.tried.add(exception_id)
        return cohort.members[exception_id]

    def _join(self, refusal: Refusal) -> _Cohort:
        identity = refusal.exception_id
        key = _cohort_key(refusal.command, refusal.problem)
        cohort = self._cohorts.setdefault(key, _cohort(key, refusal.retry_at_s))
        self._unname(identity)
        if self._keys.get(identity) != key:
            self._forget(identity)
        cohort.join(refusal, next(self._turns))
        self._keys[identity] = key
        self._of.setdefault(refusal.command.natural_key, {})[identity] = None
        self._references[identity] = tuple(references(refusal.command))
        for name in self._references[identity]:
            self._names.setdefault(name, set()).add(identity)
        return cohort

    def _left(self, exception_id: str, *, is_taken: bool, now_s: float) -> bool:
        """Note the answer of a trial; return whether it was one. Taken: its cause is gone."""
        key = self._keys.get(exception_id)
        if key is None:
            return False
        cohort = self._cohorts[key]
        if exception_id not in cohort.under_way:
            return False
        if is_taken:
            cohort.in_a_row = 0
            cohort.answered(exception_id, True, now_s)
        return True

    def _forget(self, exception_id: str) -> None:
        self._unname(exception_id)
        key = self._keys.pop(exception_id, None)
        if key is None:
            return
        cohort = self._cohorts[key]
        natural_key = cohort.leave(exception_id).command.natural_key
        self._of[natural_key].pop(exception_id)
        if not self._of[natural_key]:
            del self._of[natural_key]
        if not cohort.members:
            del self._cohorts[key]

    def _unname(self, exception_id: str) -> None:
        for name in self._references.pop(exception_id, ()):
            named = self._names.get(name, set())
            named.discard(exception_id)
            if not named:
                self._names.pop(name, None)


def _cohort_key(command: Command, problem: Problem) -> _CohortKey:
    return (command.kind, problem.reason, problem.code, problem.field)


def _cohort(key: _CohortKey, due_at_s: float) -> _Cohort:
    kind, reason, code, field_name = key
    pace = PACES[reason]
    return _Cohort(f"{kind}|{code}|{field_name}", pace, due_at_s, window=pace.probes)
