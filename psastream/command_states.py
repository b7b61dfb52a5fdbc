"""The commands that tables have derived: what would be written, and how far each is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from connectors.dispatch.approval import APPROVAL_REFUSED, APPROVAL_REQUIRED, content_of
from connectors.dispatch.commands import Command, Intent, Settled
from connectors.dispatch.decisions import Approvals, Decision, Stops, Verb
from connectors.dispatch.exceptions import OPEN
from connectors.dispatch.journal import (
    EXCEPTIONS,
    INTENTS,
    RESULTS,
    last_exceptions,
    last_intents,
    last_results,
    read_told,
)
from connectors.dispatch.shadow import PLANS
from psastream.command_decisions import read_decisions, said_of, said_of_word
from psastream.landscape import read_firm
from psastream.lines import WIDTH, cut, instant, plain, say, say_of, shown_age
from psastream.subjects import Names, Subject
from runtime.kafka import KafkaSettings, read_topic, require_broker
from runtime.offsets import present_places
from runtime.secrets import mask
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError, RecordError
from schemas.mapping.sql_text import suggestion
from schemas.topics import command_topic

Row = Mapping[str, Any]
_HOURS: Final = ("hours", "budget_hours")
"""Fields of contents that hold hours."""


class State(StrEnum):
    """How far the last command of a natural key is."""

    WAITING = "waiting"  # no dispatcher has begun it: it would be written
    ATTEMPTED = "attempted"  # an attempt has begun, and its outcome is not recorded
    REFUSED = "refused"  # the target refuses it; an exception is open
    HELD = "held"  # not sent: as the last of its kind, for want of an approval, or in shadow
    SUCCEEDED = "succeeded"
    ADOPTED = "adopted"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


ENDED: Final = frozenset({State.SUCCEEDED, State.ADOPTED, State.SUPERSEDED, State.WITHDRAWN})


@dataclass(frozen=True, slots=True)
class Ordered:
    """A command with its state. `hours` are those of its content, `amount` what it moves.

    `error_code`, `detail` and `hint` are of the open exception; `target_id` is the record's id in
    the target as last known.
    """

    natural_key: str
    target: str
    kind: str
    state: State
    revision: int
    amount: Decimal | None
    currency: str | None
    hours: Decimal | None
    issued_at: datetime | None
    command_id: str
    content: Mapping[str, Any]
    attempts: int = 0
    target_id: str | None = None
    exception_id: str | None = None
    error_code: str | None = None
    detail: str | None = None
    hint: str | None = None
    is_stopped: bool = False
    """Whether a person lets no command of its kind be sent."""
    word: Decision | None = None
    """Who approved or refused it as it is now."""

    @property
    def plan(self) -> str | None:
        """What it would do: `would create`, …; None where it is not in shadow."""
        code = self.error_code
        return code.lower().replace("_", " ") if code and code in PLANS else None


@dataclass(frozen=True, slots=True)
class Decided:
    """What people have decided about commands."""

    stops: Stops
    approvals: Approvals

    @classmethod
    def by(cls, decisions: Iterable[Decision] = ()) -> Decided:
        """Take in decisions in their order."""
        told = tuple(decisions)
        return cls(Stops(told), Approvals(told))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which commands are meant; None: any. Without a `state` those that have not ended."""

    target: str | None = None
    kind: str | None = None
    state: State | None = None

    def matches(self, ordered: Ordered) -> bool:
        """Whether a command is meant."""
        state_fits = (
            ordered.state not in ENDED if self.state is None else ordered.state is self.state
        )
        return (
            state_fits
            and self.target in (None, ordered.target)
            and self.kind in (None, ordered.kind)
        )


def parse_state(text: str) -> State:
    """Read the name of a state. Raises ConfigError."""
    try:
        return State(text)
    except ValueError as error:
        names = ", ".join(State)
        raise ConfigError(f"not a state: {text}", hint=f"one of {names}") from error


def list_commands(settings: Settings, wanted: Wanted, *, limit: int, as_json: bool) -> bool:
    """Print the commands that are meant, newest first; return whether all could be read.

    Raises ConfigError where there is no such target, BrokerUnavailableError and
    RegistryUnavailableError.
    """
    decided = Decided.by(read_decisions(settings.kafka, Serde.of(settings)))
    found, unreadable = _read(settings, [wanted.target] if wanted.target else None, decided)
    meant = [each for each in found if wanted.matches(each)]
    names = _names(settings) if meant[:limit] else Names()
    named = [(each, subject_of(each, names)) for each in meant[:limit]]
    if as_json:
        told = [{**as_plain(each), **asdict(subject)} for each, subject in named]
        print(mask(json.dumps(told, indent=2)))
    else:
        at = datetime.now(UTC)
        for each, subject in named:
            say_of(*line_of(each, at=at))
            if str(subject):
                say(cut(str(subject), WIDTH - 2), "  ")
        for line in summary(meant, len(named)):
            say(line)
        for stop in decided.stops.all():
            if wanted.target in (None, stop.target):
                say(said_of(stop))
    for problem in unreadable:
        say(problem, is_error=True)
    return not unreadable


def show_command(settings: Settings, natural_key: str, *, as_json: bool = False) -> None:
    """Print one command whole. Raises ConfigError where there is none of that natural key."""
    target = natural_key.partition(":")[0]
    known = read_firm(settings).targets
    decided = Decided.by(read_decisions(settings.kafka, Serde.of(settings)))
    found, _ = _read(settings, [target] if target in known else None, decided)
    each = next((each for each in found if each.natural_key == natural_key), None)
    if each is None:
        raise ConfigError(f"no command: {natural_key}", hint="psastream commands list --state …")
    subject = subject_of(each, _names(settings))
    if as_json:
        print(mask(json.dumps({**as_plain(each), **asdict(subject)}, indent=2)))
        return
    for head, said in lines_of(each, subject):
        say(said, head)
    if each.is_stopped:
        for stop in decided.stops.all():
            if stop.target == each.target and stop.kind in (None, each.kind):
                say(said_of(stop))


def subject_of(each: Ordered, names: Names) -> Subject:
    """Return what a command is about."""
    payload = json.dumps(each.content, default=plain)
    return names.subject_of({"payload": payload, "natural_key": each.natural_key})


def _names(settings: Settings) -> Names:
    return Names.read(settings.kafka, Serde.of(settings))


def _read(
    settings: Settings, targets: Sequence[str] | None, decided: Decided
) -> tuple[list[Ordered], list[str]]:
    known = read_firm(settings).targets
    for target in targets or ():
        if target not in known:
            raise ConfigError(
                f"no commands go to {target}{suggestion(target, known)}",
                hint=f"one of {', '.join(known) or 'none: the landscape has no target'}",
            )
    topics = [command_topic(target).name for target in targets or known]
    kafka = settings.kafka
    require_broker(kafka.client())
    present = present_places(kafka, [*topics, RESULTS, INTENTS, EXCEPTIONS])
    if missing := [topic for topic in (*topics, RESULTS, INTENTS, EXCEPTIONS)
                   if topic not in present]:  # fmt: skip
        raise ConfigError(
            f"topics are missing: {', '.join(missing)}", hint="psastream topics apply makes them"
        )
    serde = Serde.of(settings)
    unreadable: list[str] = []
    exceptions, _ = last_exceptions(read_told(kafka, serde))
    ordered = ordered_of(
        (row for topic in topics for row in _rows(kafka, topic, serde, unreadable)),
        last_results(_rows(kafka, RESULTS, serde, unreadable)),
        last_intents(_rows(kafka, INTENTS, serde, unreadable)),
        exceptions,
        unreadable,
        decided=decided,
    )
    return ordered, unreadable


def _rows(
    kafka: KafkaSettings, topic: str, serde: Serde, unreadable: list[str]
) -> Iterator[dict[str, Any]]:
    for message in read_topic(kafka, topic):
        value = message.value()
        if value is None:
            continue
        try:
            yield serde.read(value)
        except RecordError as error:
            place = f"{topic} [{message.partition()}] at {message.offset()}"
            unreadable.append(f"{place} cannot be decoded: {error.detail}")


def ordered_of(
    rows: Iterable[Row],
    results: Mapping[str, Settled],
    intents: Mapping[str, Intent],
    exceptions: Iterable[Row],
    unreadable: list[str],
    *,
    decided: Decided,
) -> list[Ordered]:
    """Return the last command of each natural key with its state, newest first. Pure.

    What is no command is told in `unreadable`.
    """
    commands: dict[str, Command] = {}
    for row in rows:
        try:
            command = Command.from_record(row)
        except RecordError as error:
            unreadable.append(f"{row.get('natural_key')} is no command: {error.detail}")
            continue
        known = commands.get(command.natural_key)
        if known is None or command.revision >= known.revision:
            commands[command.natural_key] = command
    refused = {
        (row["natural_key"], row["revision"]): row
        for row in exceptions
        if row["status"] == OPEN and row["revision"] is not None
    }
    found = [
        _ordered(
            command,
            results.get(name),
            intents.get(name),
            refused.get((name, command.revision)),
            unreadable,
            decided=decided,
        )
        for name, command in commands.items()
    ]
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(
        found, key=lambda each: (each.issued_at or oldest, each.natural_key), reverse=True
    )


def _ordered(
    command: Command,
    result: Settled | None,
    intent: Intent | None,
    exception: Row | None,
    unreadable: list[str],
    *,
    decided: Decided,
) -> Ordered:
    try:
        content = command.content()
    except RecordError as error:
        unreadable.append(f"{command.natural_key}: {error.detail}")
        content = {}
    told = exception or {}
    state = _state(command, result, intent, exception)
    return Ordered(
        command.natural_key,
        command.target,
        command.kind,
        state,
        command.revision,
        command.amount,
        command.currency,
        _hours(content),
        command.issued_at,
        command.command_id,
        content,
        result.attempts if result and result.revision == command.revision else 0,
        result.target_id if result else None,
        told.get("exception_id"),
        told.get("error_code"),
        told.get("detail"),
        told.get("hint"),
        state not in ENDED and decided.stops.holds(command.target, command.kind),
        decided.approvals.of(command.target, content_of(command)),
    )


def _state(
    command: Command, result: Settled | None, intent: Intent | None, exception: Row | None
) -> State:
    is_settled = result is not None and result.revision >= command.revision
    if exception is not None and exception["is_held"]:
        return State.HELD
    if is_settled and result is not None and result.status is not None:
        told = result.status.value
        return State(told) if told in set(State) else State.REFUSED
    if exception is not None:
        return State.REFUSED
    if intent is not None and intent.revision >= command.revision:
        return State.ATTEMPTED
    return State.WAITING


def _hours(content: Mapping[str, Any]) -> Decimal | None:
    for name in _HOURS:
        try:
            return Decimal(str(content[name]))
        except (KeyError, InvalidOperation):
            continue
    return None


def line_of(each: Ordered, *, at: datetime) -> tuple[str, str]:
    """Return a command in a line of two parts: natural key; state, kind, hours, money, age.

    Behind the state of one that waits stands what it would do, where it is in shadow, and what
    people have decided about it.
    """
    said = [each.state.value]
    if each.plan is not None:
        said.append(each.plan)
    if each.is_stopped:
        said.append("stopped")
    if each.word is not None and each.state not in ENDED:
        said.append(each.word.verb.value)
    said.append(each.kind)
    if each.hours is not None:
        said.append(f"{each.hours:,.2f} h")
    if each.amount is not None:
        said.append(f"{each.amount:,.2f} {each.currency or ''}".strip())
    if each.issued_at is not None:
        said.append(shown_age(at - each.issued_at))
    return each.natural_key, "  ".join(said)


def summary(meant: Sequence[Ordered], shown: int) -> Iterator[str]:
    """Yield how many commands there are, and of each kind its hours and its money by currency.

    What is in shadow is told by what it would do, too.

    Kinds are not added up: of a project it is the contract value, of a time bill a part of that.
    """
    count = _commands(len(meant))
    yield count if shown == len(meant) else f"{shown} of {count}, the newest (--limit)"
    for kind in sorted({each.kind for each in meant}):
        of_kind = [each for each in meant if each.kind == kind]
        yield f"{kind}: {_sums(of_kind)}"
        for plan in sorted({each.plan for each in of_kind if each.plan}):
            yield f"  {plan}: {_sums([each for each in of_kind if each.plan == plan])}"


def _sums(of_kind: Sequence[Ordered]) -> str:
    amounts: dict[str, Decimal] = {}
    for each in of_kind:
        if each.amount is not None and each.currency:
            amounts[each.currency] = amounts.get(each.currency, Decimal()) + each.amount
    hours = sum((each.hours for each in of_kind if each.hours), Decimal())
    said = [f"{len(of_kind):,}", *([f"{hours:,.2f} h"] if hours else [])]
    said += [f"{amount:,.2f} {name}" for name, amount in sorted(amounts.items())]
    return "; ".join(said)


def _commands(count: int) -> str:
    return f"{count:,} command{'' if count == 1 else 's'}"


def lines_of(each: Ordered, subject: Subject = Subject()) -> Iterator[tuple[str, str]]:
    """Yield a command whole: what it says, how far it is, what stands against it.

    A line is its beginning, and what is said behind it.
    """
    money = None if each.amount is None else f"{each.amount:,.2f} {each.currency or ''}".strip()
    shown = {
        "command": each.natural_key,
        "target": each.target,
        "kind": each.kind,
        "state": each.state.value,
        "decided": each.word and said_of_word(each.word),
        "revision": each.revision,
        "issued": each.issued_at and instant(each.issued_at),
        "project": subject.project or subject.project_id,
        "customer": subject.customer or subject.customer_id,
        "money": money,
        "hours": each.hours,
        "attempts": each.attempts or None,
        "target id": each.target_id,
        "exception": each.exception_id,
        "in shadow": each.plan and each.detail,
        "refused": None if each.plan else _refused(each),
        "to do": None if _is_approved(each) else each.hint,
        "command id": each.command_id,
    }
    for name, value in shown.items():
        if value is not None:
            yield f"{name + ':':<12}", str(value)
    yield "content:", ""
    for name, value in each.content.items():
        yield f"  {name}: ", json.dumps(value, default=plain, ensure_ascii=False)


def _refused(each: Ordered) -> str | None:
    return each.error_code and f"{each.error_code}: {each.detail}"


def _is_approved(each: Ordered) -> bool:
    """Whether all that a command waits for is its dispatcher: a person has approved it."""
    is_asked = each.error_code in (APPROVAL_REQUIRED, APPROVAL_REFUSED)
    return is_asked and each.word is not None and each.word.verb is Verb.APPROVED


def as_plain(each: Ordered) -> dict[str, Any]:
    """Return a command as values of JSON: amounts and hours as texts."""
    told = asdict(each)
    word = told.pop("word")
    told["decision"] = word and word["verb"].value
    told["decided_by"] = word and word["decided_by"]
    told["decided_at"] = word and word["decided_at"] and instant(word["decided_at"])
    told["decision_note"] = word and word["note"]
    for name in ("amount", "hours"):
        told[name] = None if told[name] is None else str(told[name])
    told["issued_at"] = None if each.issued_at is None else instant(each.issued_at)
    told["content"] = json.loads(json.dumps(each.content, default=plain))
    return told
