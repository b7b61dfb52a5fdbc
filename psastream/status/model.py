"""What a status says, part by part, and how well each part is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from psastream.lines import instant
from psastream.verdict import Verdict, worst

LATE: Final = timedelta(minutes=5)
"""How old the oldest record that a group has not read may be: the alerts on lag wait as long."""
SILENT: Final = timedelta(minutes=15)
"""How long a polled object may be without a complete poll: as the alert on silent sources."""
INTERVALS_LATE: Final = 3
DUE: Final = timedelta(minutes=1)
"""A complete poll is late after so many of its intervals, and not before so long a time."""
QUOTA_LOW: Final = 0.3
"""Share of a system's requests below which somebody is to look: as the alert on quotas."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What a process answers: None for a probe that was not answered.

    `reasons`: what keeps it from being ready, in its own words.
    """

    name: str
    url: str
    is_live: bool | None = None
    is_ready: bool | None = None
    reasons: Sequence[str] = ()

    def verdict(self) -> Verdict:
        """Whether it answers and does its work."""
        return Verdict.OK if self.is_live and self.is_ready else Verdict.FAIL


@dataclass(frozen=True, slots=True)
class GroupState:
    """What an agent group, or the dispatchers, have not read yet.

    `members`: processes in its consumer group. `records` counts offsets. `oldest_at`: when the
    first of those records was written; None where nothing is unread, or it does not say.
    `missing`: topics that it reads and the broker does not have. `is_dry_run`: these are the
    dispatchers, and none of them has read anything so far.
    """

    group: str
    members: int
    records: int
    oldest_at: datetime | None = None
    missing: Sequence[str] = ()
    is_dry_run: bool = False

    def verdict(self, at: datetime) -> Verdict:
        """Whether somebody reads, and keeps up."""
        if self.missing:
            return Verdict.FAIL
        if not self.members:
            return Verdict.WARN if self.is_dry_run else Verdict.FAIL
        is_late = self.oldest_at is not None and at - self.oldest_at > LATE
        return Verdict.WARN if is_late else Verdict.OK


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """A connector on Kafka Connect; `problem` is the first line of what it failed with."""

    name: str
    state: str
    tasks: Sequence[str]
    is_running: bool
    problem: str = ""

    def verdict(self) -> Verdict:
        """Whether it and its tasks run."""
        return Verdict.OK if self.is_running else Verdict.FAIL


@dataclass(frozen=True, slots=True)
class SourceState:
    """Changes of a system.

    `captured_at`: when one of its topics was written last; None: never. `is_polled`: whether a
    poller tells of it; None where none is to, or nobody was asked.
    `polled_at`: the end of the last complete poll of the object that waits longest for one, None
    where no poller tells of it; `interval`: the longest that is configured from one to the next.
    `unpolled`: objects that had none since their poller started. `stopped`: reasons by object that
    cannot be read until a person helps. `paused`: objects that a person has ordered not to be
    polled.
    """

    system: str
    captured_at: datetime | None = None
    objects: int = 0
    polled_at: datetime | None = None
    unpolled: Sequence[str] = ()
    stopped: Mapping[str, str] = field(default_factory=dict)
    quota_ratio: float | None = None
    is_polled: bool | None = None
    interval: timedelta | None = None
    paused: Sequence[str] = ()

    def verdict(self, at: datetime) -> Verdict:
        """Whether its objects are read."""
        if self.stopped or self._has_waited(SILENT, at):
            return Verdict.FAIL
        if self.is_polled is False:
            return Verdict.WARN if self.captured_at is None else Verdict.FAIL
        is_low = self.quota_ratio is not None and self.quota_ratio < QUOTA_LOW
        is_late = self.unpolled or self.paused or self.is_late(at)
        return Verdict.WARN if is_late or is_low else Verdict.OK

    def is_late(self, at: datetime) -> bool:
        """Whether an object waits for a complete poll for longer than it is to."""
        return self._has_waited(DUE, at)

    def _has_waited(self, least: timedelta, at: datetime) -> bool:
        if self.polled_at is None:
            return False
        late = INTERVALS_LATE * self.interval if self.interval is not None else least
        return abs(at - self.polled_at) > max(least, late)


@dataclass(frozen=True, slots=True)
class TargetState:
    """A system that commands go to.

    `is_paused`: it takes no command at all; None where no dispatcher tells. `open`: commands that
    are not settled, by queued, in_flight, retrying. `refused`: open exceptions of its commands,
    `held` of them not sent at all. `stopped`: kinds that a person, or the sink's file, has stopped.
    `shadowed`: commands in shadow, none of the refused.
    """

    target: str
    is_paused: bool | None = None
    open: Mapping[str, int] = field(default_factory=dict)
    refused: int | None = None
    held: int | None = None
    stopped: Sequence[str] = ()
    shadowed: int | None = None

    def verdict(self) -> Verdict:
        """Whether it takes commands."""
        if self.is_paused:
            return Verdict.FAIL
        return Verdict.WARN if self.held or self.stopped else Verdict.OK


@dataclass(frozen=True, slots=True)
class Money:
    """What waits in a currency, in so many exceptions."""

    currency: str
    amount: Decimal
    exceptions: int


@dataclass(frozen=True, slots=True)
class ExceptionState:
    """What waits for a person, the most money first; `open` counts those without money, too."""

    open: int
    oldest_at: datetime | None = None
    money: Sequence[Money] = ()

    def verdict(self) -> Verdict:
        """Whether a person is to look."""
        return Verdict.WARN if self.open else Verdict.OK


@dataclass(frozen=True, slots=True)
class LetterState:
    """Dead letters that are kept, of a topic and a code."""

    topic: str
    error_code: str
    count: int
    last_at: datetime | None = None

    def verdict(self) -> Verdict:
        """A dead letter is always for a person to look at."""
        return Verdict.WARN


@dataclass(frozen=True, slots=True)
class NumberState:
    """A measure's topic, with when it was written last; None: never."""

    topic: str
    newest_at: datetime | None = None

    def verdict(self) -> Verdict:
        """A measure that has not been told yet waits for its sources."""
        return Verdict.OK


@dataclass(frozen=True, slots=True)
class Unknown:
    """A part that is not named, or did not answer, and what to do."""

    part: str
    detail: str
    remedy: str = ""
    is_failure: bool = True

    def verdict(self) -> Verdict:
        """What is not named is left out, and no failure."""
        return Verdict.FAIL if self.is_failure else Verdict.SKIP


@dataclass(frozen=True, slots=True)
class Status:
    """All of it, as at an instant. None: that part could not be asked, `unknown` says why."""

    at: datetime
    processes: Sequence[ProcessState] = ()
    groups: Sequence[GroupState] = ()
    connectors: Sequence[ConnectorState] = ()
    sources: Sequence[SourceState] = ()
    targets: Sequence[TargetState] = ()
    exceptions: ExceptionState | None = None
    dead_letters: Sequence[LetterState] | None = None
    numbers: Sequence[NumberState] = ()
    unknown: Sequence[Unknown] = ()

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """Yield each part with how well it is, in the order of the screen."""
        for process in self.processes:
            yield process.name, process.verdict()
        for group in self.groups:
            yield group.group, group.verdict(self.at)
        for connector in self.connectors:
            yield connector.name, connector.verdict()
        for source in self.sources:
            yield source.system, source.verdict(self.at)
        for target in self.targets:
            yield target.target, target.verdict()
        if self.exceptions is not None:
            yield "exceptions", self.exceptions.verdict()
        if self.dead_letters:
            yield "dead letters", Verdict.WARN
        for unknown in self.unknown:
            yield unknown.part, unknown.verdict()

    def verdict(self) -> Verdict:
        """The worst of all parts."""
        return worst(verdict for _, verdict in self.verdicts())


def status_json(status: Status) -> dict[str, Any]:
    """Return a status as plain values, each part with its verdict; amounts and times as texts."""

    def plain(value: object) -> object:
        match value:
            case dict():
                return {key: plain(each) for key, each in value.items()}
            case list() | tuple():
                return [plain(each) for each in value]
            case datetime():
                return instant(value)
            case timedelta():
                return value.total_seconds()
            case Decimal():
                return str(value)
        return value

    def told(part: Any, *given: datetime) -> dict[str, Any]:
        return {**asdict(part), "verdict": part.verdict(*given).value}

    at = status.at
    shown = {
        "verdict": status.verdict().value,
        "at": at,
        "processes": [told(each) for each in status.processes],
        "groups": [told(each, at) for each in status.groups],
        "connectors": [told(each) for each in status.connectors],
        "sources": [told(each, at) for each in status.sources],
        "targets": [told(each) for each in status.targets],
        "exceptions": None if status.exceptions is None else told(status.exceptions),
        "dead_letters": None
        if status.dead_letters is None
        else [told(each) for each in status.dead_letters],
        "numbers": [told(each) for each in status.numbers],
        "unknown": [told(each) for each in status.unknown],
    }
    found = plain(shown)
    assert isinstance(found, dict)
    return found
