"""What waits for a person: list it, show one with its remedy, ask that it be tried again."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import typer

from connectors.dispatch.commands import PAYLOAD_BOUNDS
from connectors.dispatch.exceptions import OPEN, read_reason
from connectors.dispatch.guard import is_hold
from connectors.dispatch.journal import last_exceptions, read_told
from connectors.dispatch.pace import PACES
from connectors.dispatch.signals import REQUESTS
from connectors.toolkit.body import parse_json
from connectors.toolkit.faults import Reason
from psastream.letters import read_letters
from psastream.letters import told as told_letters
from psastream.lines import (
    WIDTH,
    cut,
    plain,
    printable,
    say,
    say_of,
    shown_age,
)
from psastream.people import who
from psastream.subjects import Names, Subject
from runtime.kafka import KafkaSettings, RawRecord, publish_all, require_broker
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.routing import partition_of
from schemas.topics import BY_NAME

Row = Mapping[str, Any]

FLUSH_S: Final = 30.0
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which open exceptions are meant; None or empty: any that waits for somebody.

    What is in shadow is meant where it is named, by id or by its reason.
    """

    ids: Sequence[str] = ()
    target: str | None = None
    reason: Reason | None = None
    older_than: timedelta | None = None

    @property
    def _names_shadow(self) -> bool:
        return bool(self.ids) or self.reason is Reason.SHADOW

    def matches(self, row: Row, *, at: datetime) -> bool:
        """Whether an exception is meant."""
        return (
            row["status"] == OPEN
            and (not self.ids or row["exception_id"] in self.ids)
            and (self.target is None or row["system"] == self.target)
            and (self._names_shadow or not is_shadowed(row))
            and (self.reason is None or row["reason"] == self.reason.value)
            and (self.older_than is None or at - row["raised_at"] >= self.older_than)
        )


def is_shadowed(row: Row) -> bool:
    """Whether a command is not sent since its target or kind is in shadow: it waits for nobody."""
    return bool(row["reason"] == Reason.SHADOW.value)


def parse_age(text: str) -> timedelta:
    """Read `30m`, `2h` or `7d`. Raises ConfigError."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if found is None:
        raise ConfigError(f"not an age: {text}", hint="a number and m, h or d, as in 2h")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def parse_reason(text: str) -> Reason:
    """Read the name of a reason. Raises ConfigError."""
    try:
        return Reason(text)
    except ValueError as error:
        names = ", ".join(reason.value for reason in Reason)
        raise ConfigError(f"not a reason: {text}", hint=f"one of {names}") from error


def read_exceptions(kafka: KafkaSettings, serde: Serde) -> list[Row]:
    """Return the last word on every exception, oldest first. Raises BrokerUnavailableError."""
    rows, _ = last_exceptions(read_told(kafka, serde))
    return sorted(rows, key=lambda row: (row["raised_at"], row["exception_id"]))


def list_exceptions(settings: Settings, wanted: Filter, *, as_json: bool) -> None:
    """Print the open exceptions that are meant, by the money that waits.

    Where all are meant, also how many records went to the dead letters: they wait for a person,
    too, and nothing tells when they are settled.
    """
    at = datetime.now(UTC)
    told = _all(settings)
    rows = ranked(row for row in told if wanted.matches(row, at=at))
    names = _names(settings) if rows else Names()
    if as_json:
        shown = [{**row, **asdict(names.subject_of(row))} for row in rows]
        typer.echo(json.dumps(shown, default=plain, indent=2))
        return
    for row in rows:
        say_of(row["exception_id"], said_of(row, at=at))
        if subject := str(names.subject_of(row)):
            say(cut(subject, WIDTH - 2), "  ")
    sums = [f"{amount:,.2f} {currency}" for currency, amount in sums_of(rows).items()]
    say("; ".join([f"{len(rows)} open", *sums]))
    if wanted == Filter():
        if shadowed := sum(row["status"] == OPEN and is_shadowed(row) for row in told):
            say(f"{shadowed} in shadow (psastream exceptions list --class shadow)")
        serde = Serde.of(settings)
        for said in told_letters(read_letters(settings.kafka, serde)):
            say(f"{said} (psastream dlq list)", "dead letters: ")


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Return exceptions by their money, the most first; those without any last, oldest first.

    Amounts of two currencies are not compared: the currency of the largest sum comes first.
    """
    rows = list(rows)
    currencies = list(sums_of(rows))

    def rank(row: Row) -> tuple[int, Decimal, datetime, str]:
        has_money = row["amount"] is not None and row["currency"] in currencies
        place = currencies.index(row["currency"]) if has_money else len(currencies)
        amount = -row["amount"] if has_money else Decimal()
        return place, amount, row["raised_at"], row["exception_id"]

    return sorted(rows, key=rank)


def sums_of(rows: Iterable[Row]) -> dict[str, Decimal]:
    """Return the money of exceptions by currency, the largest sum first."""
    sums: dict[str, Decimal] = {}
    for row in rows:
        if row["amount"] is not None and row["currency"]:
            sums[row["currency"]] = sums.get(row["currency"], Decimal()) + row["amount"]
    return dict(sorted(sums.items(), key=lambda each: (-each[1], each[0])))


def show_exception(settings: Settings, exception_id: str, *, as_json: bool = False) -> None:
    """Print one exception whole. Raises ConfigError where there is none of that id."""
    row = next((row for row in _all(settings) if row["exception_id"] == exception_id), None)
    if row is None:
        raise ConfigError(f"no exception: {exception_id}", hint="psastream exceptions list")
    subject = _names(settings).subject_of(row)
    if as_json:
        typer.echo(json.dumps({**row, **asdict(subject)}, default=plain, indent=2))
        return
    for head, said in lines_of(row, subject):
        say(said, head)


def _names(settings: Settings) -> Names:
    return Names.read(settings.kafka, Serde.of(settings))


def retry_exceptions(
    settings: Settings, wanted: Filter, *, note: str | None = None, is_dry: bool = False
) -> None:
    """Ask the dispatchers to try what is meant again now.

    Raises ConfigError where nothing is named, or an id has no open exception.
    """
    rows, at = meant(settings, wanted, "tried again"), datetime.now(UTC)
    if wanted.ids and (holds := [row["exception_id"] for row in rows if is_hold(row)]):
        raise ConfigError(
            f"no refused command: {', '.join(holds)}",
            hint="psastream exceptions release has the commands of a target sent",
        )
    refuse_asked(wanted, rows)
    ours = [row for row in rows if row["revision"] is not None and not awaits_word(row)]
    if is_dry:
        for row in ours:
            say_of(row["exception_id"], f"{row['kind']} would be tried again{worth(row)}")
        say(f"{len(ours)} of {len(rows)} would be tried again; nothing was done: a dry run")
        return
    if ours:
        publish(settings, REQUESTS, "request_id", requests(wanted, at=at, note=note))
    say(f"{len(ours)} of {len(rows)} are tried again; a cause that lasts stops the rest")


def refuse_asked(wanted: Filter, rows: Iterable[Row]) -> None:
    """Raise ConfigError where an id is of a command that waits for an approval."""
    if wanted.ids and (asked := [row["natural_key"] for row in rows if awaits_word(row)]):
        raise ConfigError(
            f"waits for an approval: {', '.join(asked)}",
            hint="psastream commands approve has it sent, with who approved it",
        )


def awaits_word(row: Row) -> bool:
    """Whether a command is not sent before a person approves it."""
    return bool(row["reason"] == Reason.APPROVAL.value)


def meant(settings: Settings, wanted: Filter, what: str) -> list[Row]:
    """Return the open exceptions that are meant. Raises ConfigError as its callers."""
    if not (wanted.ids or wanted.target or wanted.reason):
        raise ConfigError(f"nothing is named to be {what}", hint="give ids, --target or --class")
    at = datetime.now(UTC)
    rows = [row for row in _all(settings) if wanted.matches(row, at=at)]
    if unknown := sorted(set(wanted.ids) - {row["exception_id"] for row in rows}):
        raise ConfigError(
            f"no open exception: {', '.join(unknown)}", hint="psastream exceptions list"
        )
    return rows


def worth(row: Row) -> str:
    """Return what to say of the money of an exception, if it has any."""
    return "" if row["amount"] is None else f", {row['amount']:,.2f} {row['currency']}"


def requests(wanted: Filter, *, at: datetime, note: str | None = None) -> list[dict[str, Any]]:
    """Return the `psa.command.CommandRetry` records that say what is meant, and who means it."""
    by = who()
    return [
        {
            "request_id": uuid.uuid4().hex,
            "exception_id": exception_id,
            "target": wanted.target,
            "reason": wanted.reason.value if wanted.reason else None,
            "requested_at": at,
            "requested_by": by,
            "note": note,
        }
        for exception_id in (wanted.ids or (None,))
    ]


def said_of(row: Row, *, at: datetime) -> str:
    """Return reason, age and money of an exception, and what the target says."""
    amount = "" if row["amount"] is None else f"  {row['amount']:,.2f} {row['currency']}"
    held = " (not sent)" if row["is_held"] else ""
    detail = printable(row["detail"] or "")
    reason = row["reason"] or row["kind"]
    age = shown_age(at - row["raised_at"])
    return f"{reason}{held}  {age}{amount}  {detail}"


def lines_of(row: Row, subject: Subject = Subject()) -> Iterator[tuple[str, str]]:
    """Yield an exception whole: what was ordered, what was said to it, what is done about it.

    A line is its beginning, and what is said behind it.
    """
    shown = {
        "exception": row["exception_id"],
        "status": row["status"],
        "since": row["raised_at"],
        "project": subject.project or subject.project_id,
        "customer": subject.customer or subject.customer_id,
        "what": None if row["command_id"] else row["kind"],
        "command": row["command_id"] and f"{row['kind']} {row['command_id']}",
        "content": row["payload"],
        "money": None if row["amount"] is None else f"{row['amount']:,.2f} {row['currency']}",
        "refused": row["error_code"] and f"{row['error_code']}: {row['detail']}",
        "field": row["field"],
        "attempts": row["attempts"],
        "last refused": row["attempted_at"],
        "tried again": row["retry_at"],
        "to do": row["hint"],
    }
    for name, value in shown.items():
        if value is not None and name == "content":
            yield from _content(value)
        elif value is not None:
            text = value if isinstance(value, str) else str(plain(value))
            yield f"{name + ':':<14}", text
    if row["reason"]:
        yield f"{'waits until:':<14}", PACES[read_reason(row["reason"])].cure
    if row["is_held"] and not (is_hold(row) or awaits_word(row) or is_shadowed(row)):
        held = "the last commands of its kind were refused for this cause"
        yield f"{'not sent:':<14}", held


def _content(payload: str) -> Iterator[tuple[str, str]]:
    """A payload, a line a field; one that is no JSON object, since it was cut, as it is."""
    try:
        content = parse_json(payload.encode(), PAYLOAD_BOUNDS)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        yield f"{'content:':<14}", payload
        return
    yield "content:", ""
    for name, value in content.items():
        said = json.dumps(value, default=plain, ensure_ascii=False)
        yield f"  {printable(name)}: ", said


def _all(settings: Settings) -> list[Row]:
    require_broker(settings.kafka.client())
    return read_exceptions(settings.kafka, Serde.of(settings))


def publish(settings: Settings, topic: str, key_field: str, records: Iterable[Row]) -> None:
    """Publish records to a topic that is routed by its key. Raises BrokerUnavailableError."""
    serde, partitions = Serde.of(settings), BY_NAME[topic].partitions
    raw = (
        RawRecord(
            partition_of(record[key_field], partitions),
            serde.key(topic, record[key_field]),
            serde.value(topic, record),
        )
        for record in records
    )
    hint = "check the broker; give the same command again"
    publish_all(settings.kafka, topic, raw, within_s=FLUSH_S, hint=hint)
