"""What to do with commands, per natural key: the pure core of dispatch.

The ledger knows, of every natural key, the last result, whether an attempt of unknown
outcome is open, and which commands wait. From that it names the next step. It makes no call,
reads no clock and writes nothing: the executor does, and reports back. Upholds I8.

The rules:

- A revision at or below the last settled or a newer known one has no effect.
- At most one step of a natural key is under way, and revisions settle in ascending order.
- An attempt is of unknown outcome from the moment it is begun until it is reported otherwise, so a
  crash anywhere leaves it unknown; what is unknown is looked up before anything else happens.
- A command with a newer one behind it is superseded, unless an attempt of it may have landed.
- What nobody wants any more is not attempted: the desire was withdrawn.
- A refused command is settled; it may be reopened as long as nothing newer is known. It is then
  looked up before it is attempted: somebody may have mended the target by hand.
- What a carried-out command left over is looked at beside all that, when nothing else waits. It
  settles nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.dispatch.commands import Command, Intent, Settled

NEVER = Settled(-1)
"""The last result of a natural key that has none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Record the intent, then call the target."""

    command: Command
    number: int


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the target whether it already holds the content of the command."""

    command: Command
    attempts: int


@dataclass(frozen=True, slots=True)
class Supersede:
    """Settle the command without calling the target."""

    command: Command
    attempts: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Settle the command without calling the target: nobody wants it any more."""

    command: Command
    attempts: int


@dataclass(frozen=True, slots=True)
class Revisit:
    """Ask the target whether what a carried-out command left over is still there."""

    command: Command
    attempts: int


Step = Attempt | Look | Supersede | Withdraw | Revisit


@dataclass(slots=True)
class _Entry:
    settled: Settled = NEVER
    open_intent: Intent | None = None
    pending: list[Command] = field(default_factory=list)  # ascending by revision
    attempts: int = 0
    is_under_way: bool = False
    must_look: bool = False  # before anything is attempted
    is_withdrawn: bool = False
    leftover: Command | None = None

    def first(self) -> Command | None:
        """Return what the next step is about."""
        return self.pending[0] if self.pending else self.leftover

    def newest_revision(self) -> int:
        if self.pending:
            return self.pending[-1].revision
        # An intent is recorded only after everything older was settled.
        floor = self.open_intent.revision - 1 if self.open_intent else NEVER.revision
        return max(self.settled.revision, floor)


def is_open(intent: Intent, last: Settled) -> bool:
    """Whether nothing is recorded of what came of an attempt."""
    return (intent.revision, intent.attempt) > (last.revision, last.attempts)


class Ledger:
    """State machine of all natural keys. Not thread-safe; one owner."""

    def __init__(self, settled: Mapping[str, Settled], intents: Mapping[str, Intent]) -> None:
        """Start from the last result and the last intent of every natural key."""
        self._settled = dict(settled)
        self._entries: dict[str, _Entry] = {}  # of keys that are not at rest
        for key, intent in intents.items():
            if is_open(intent, last := self._settled.get(key, NEVER)):
                self._entries[key] = _Entry(last, intent)

    def deliver(self, command: Command) -> bool:
        """Take in a command; False where it must have no effect (a replay or out of date)."""
        key = command.natural_key
        entry = self._entry(key)
        if command.revision <= entry.newest_revision():
            return False
        self._entries[key] = entry
        intent = entry.open_intent
        if not entry.pending and intent and intent.command_id == command.command_id:
            entry.attempts = intent.attempt
        entry.pending.append(command)
        entry.is_withdrawn = False
        return True

    def withdraw(self, natural_key: str, revision: int) -> Command | None:
        """Take in that nobody wants what is below a revision; return the last that waits, if any.

        A withdrawal that is read again after a restart does not concern what came after it.

        What may have landed is looked up all the same, and what is under way ends as it ends.
        """
        entry = self._entries.get(natural_key)
        if entry is None or not entry.pending or entry.pending[-1].revision >= revision:
            return None
        entry.is_withdrawn = True
        return entry.pending[-1]

    def is_withdrawn(self, natural_key: str) -> bool:
        """Whether nobody wants what waits any more."""
        return natural_key in self._entries and self._entries[natural_key].is_withdrawn

    def reopen(self, command: Command, *, attempts: int) -> bool:
        """Take a refused command in again; False where something newer is known of its key.

        It was refused after so many `attempts`: its result may be lost behind an older one.
        """
        key = command.natural_key
        entry = self._entry(key)
        attempted = entry.open_intent.revision if entry.open_intent else NEVER.revision
        if entry.pending or command.revision < max(entry.settled.revision, attempted):
            return False
        self._entries[key] = entry
        known = entry.open_intent.attempt if entry.open_intent else entry.settled.attempts
        entry.attempts = max(known, attempts)
        entry.must_look = True
        entry.pending.append(command)
        return True

    def revisit(self, command: Command) -> bool:
        """Take in that a command left something over; False where others wait: they will tell."""
        entry = self._entry(command.natural_key)
        if entry.pending:
            return False
        self._entries[command.natural_key] = entry
        entry.leftover = command
        return True

    def known_id(self, natural_key: str) -> str | None:
        """Return the id that an earlier result gave, if there is a record."""
        return self._settled.get(natural_key, NEVER).target_id

    def knows_of_record(self, natural_key: str) -> bool:
        """Whether an attempt at the natural key is known, or a record.

        False says nothing for sure: of several results only the last one is known.
        """
        entry = self._entries.get(natural_key)
        last = self._settled.get(natural_key, NEVER)
        is_open = entry is not None and entry.open_intent is not None
        return is_open or last.attempts > 0 or last.target_id is not None

    def is_waiting(self, command: Command) -> bool:
        """Whether this very command was taken in and is not settled yet."""
        entry = self._entries.get(command.natural_key)
        return entry is not None and any(
            known.command_id == command.command_id for known in entry.pending
        )

    def has_work(self, natural_key: str) -> bool:
        """Whether a command of the natural key is not settled yet, or one is to be revisited."""
        entry = self._entries.get(natural_key)
        return entry is not None and entry.first() is not None

    def pending(self, natural_key: str) -> int:
        """Return how many commands of a natural key are not settled yet."""
        entry = self._entries.get(natural_key)
        return len(entry.pending) if entry else 0

    def wanted(self) -> Iterator[tuple[datetime | None, Command]]:
        """Yield of each natural key the last command that is not settled and is still wanted.

        With the instant of the change that the natural key waits for since: a command that takes
        the place of another has waited as long as that one.
        """
        for entry in self._entries.values():
            if entry.pending and not entry.is_withdrawn:
                yield entry.pending[0].issued_at, entry.pending[-1]

    def kind(self, natural_key: str) -> str:
        """Return the kind of what is next of a natural key that has work."""
        first = self._entries[natural_key].first()
        assert first is not None, natural_key
        return first.kind

    def is_outdated(self, natural_key: str) -> bool:
        """Whether nobody wants the head command any more, or a newer one is behind it."""
        entry = self._entries[natural_key]
        return entry.is_withdrawn or len(entry.pending) > 1

    def open_intent(self, natural_key: str) -> Intent | None:
        """Return the attempt that may have landed without our knowing, if there is one."""
        entry = self._entries.get(natural_key)
        return entry.open_intent if entry else None

    def next(self, natural_key: str) -> Step:
        """Begin the next step of a natural key that has work. One of the reports must follow."""
        entry = self._entries[natural_key]
        head = entry.first()
        assert head is not None and not entry.is_under_way, natural_key
        entry.is_under_way = True
        if not entry.pending:
            return Revisit(head, entry.settled.attempts)
        if entry.open_intent is not None or (entry.must_look and not entry.is_withdrawn):
            return Look(head, entry.attempts)
        if len(entry.pending) > 1:
            return Supersede(head, entry.attempts)
        if entry.is_withdrawn:
            return Withdraw(head, entry.attempts)
        entry.attempts += 1
        entry.open_intent = Intent(head.command_id, head.revision, entry.attempts)
        return Attempt(head, entry.attempts)

    def not_applied(self, natural_key: str) -> None:
        """Report that no attempt of the head command has had an effect."""
        entry = self._entries[natural_key]
        entry.open_intent = None
        entry.must_look = False
        entry.is_under_way = False

    def unknown(self, natural_key: str) -> None:
        """Report that an attempt may or may not have landed, or that the look-up failed."""
        self._entries[natural_key].is_under_way = False

    def settled(self, command: Command, attempts: int, target_id: str | None) -> None:
        """Report that the result of the head command is recorded."""
        entry = self._entries[command.natural_key]
        assert entry.pending[0] is command, command.command_id
        entry.pending.pop(0)
        entry.settled = Settled(command.revision, attempts, target_id)
        self._settled[command.natural_key] = entry.settled
        entry.open_intent = None
        entry.must_look = False
        entry.attempts = 0
        entry.is_under_way = False
        if not entry.pending:
            entry.is_withdrawn = False
            self._rest(command.natural_key)

    def revisited(self, natural_key: str) -> None:
        """Report that what was left over is told, or gone."""
        entry = self._entries[natural_key]
        entry.leftover = None
        entry.is_under_way = False
        self._rest(natural_key)

    def _rest(self, natural_key: str) -> None:
        entry = self._entries[natural_key]
        if entry.first() is None and entry.open_intent is None:
            del self._entries[natural_key]

    def _entry(self, natural_key: str) -> _Entry:
        return self._entries.get(natural_key) or _Entry(self._settled.get(natural_key, NEVER))
