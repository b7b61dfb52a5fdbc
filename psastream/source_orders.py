"""What people order of polled systems: it is written down, and their pollers take it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from connectors.polled.order_log import Told, is_there, read_told
from connectors.polled.orders import NOTE_MAX, Action, Order, Taken
from connectors.systems import Systems
from psastream.landscape import FirmSystems, read_firm
from psastream.lines import instant, say
from psastream.people import is_meant, who
from runtime.kafka import RawRecord, publish_all, require_broker
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.topics import SOURCE_ORDERS

FLUSH_S: Final = 30.0

Polled = Mapping[str, Sequence[str]]
"""Objects that can be polled, by system."""

_DOES: Final[Mapping[Action, str]] = {
    Action.PAUSE: "is polled no more, as of",
    Action.RESUME: "is polled again, as of",
    Action.SWEEP: "all rows are compared at",
    Action.RESYNC: "all rows are read and published again at",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is ordered. `since`: of a resync, which rows; None: all."""

    action: Action
    system: str
    objects: Sequence[str] = ()
    since: datetime | None = None
    note: str | None = None


def parse_since(text: str, at: datetime) -> datetime:
    """Read an instant with its zone. Raises ConfigError, for one of the future, too."""
    hint = "an instant with its zone, as in 2026-11-01T08:00Z"
    try:
        since = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"not an instant: {text}", hint=hint) from error
    if since.tzinfo is None:
        raise ConfigError(f"an instant without a zone: {text}", hint=hint)
    if since > at:
        raise ConfigError(f"an instant of the future: {text}", hint="nothing has changed since")
    return since.astimezone(UTC)


def polled_of(firm: FirmSystems, settings: Settings) -> Polled:
    """Return what can be polled of a firm's systems. Raises ConfigError."""
    systems = Systems(settings.systems, firm.landscape)
    polled = {}
    for name, bundle in firm.bundles.items():
        source = systems.vendor(bundle.vendor).source
        if source is not None:
            readable = source.objects_of(bundle)
            polled[name] = [obj for obj in bundle.topics if obj in readable]
    return polled


def is_polled(settings: Settings, name: str) -> bool:
    """Whether a name is that of a polled system. Raises ConfigError."""
    return name in polled_of(read_firm(settings), settings)


def orders_of(
    wanted: Wanted, polled: Polled, at: datetime, by: str, captured: Collection[str] = ()
) -> list[Order]:
    """Return an order for each object that is meant. Raises ConfigError for what there is not.

    `captured`: systems whose changes Debezium tells.
    """
    if wanted.system in captured:
        raise ConfigError(
            f"{wanted.system} is captured by Debezium, which takes no such order",
            hint="psastream docs operations says how its rows come again: by a signal where its "
            "connector file has a table of them, else by snapshot.mode",
        )
    if wanted.system not in polled:
        hint = f"one of {', '.join(polled)}" if polled else "no system of the firm is polled"
        raise ConfigError(f"not a polled system: {wanted.system}", hint=hint)
    known = polled[wanted.system]
    if unknown := [obj for obj in wanted.objects if obj not in known]:
        raise ConfigError(
            f"{wanted.system} has no {', '.join(unknown)}", hint=f"it has {', '.join(known)}"
        )
    if wanted.note and len(wanted.note) > NOTE_MAX:
        raise ConfigError(f"the note is too long: {len(wanted.note)}", hint=f"{NOTE_MAX} at most")
    return [
        Order(
            uuid.uuid4().hex, wanted.system, obj, wanted.action, at, by, wanted.note, wanted.since
        )
        for obj in wanted.objects or known
    ]


def order(
    settings: Settings, wanted: Wanted, *, is_dry: bool = False, is_sure: bool = False
) -> None:
    """Say what is ordered, and order it where that is meant.

    Raises ConfigError, and BrokerUnavailableError where it is not known what was ordered.
    """
    firm = read_firm(settings)
    polled = polled_of(firm, settings)
    captured = firm.bundles.keys() - polled.keys()
    orders = orders_of(wanted, polled, datetime.now(UTC), who(), captured)
    does = _does(wanted.action, wanted.since)
    for each in orders:
        say(f"{does} the next poll", f"{each.system} {each.obj}: ")
    if not is_meant(f"{wanted.action.value} {len(orders)}?", is_dry=is_dry, is_sure=is_sure):
        return
    require_broker(settings.kafka.client())
    require_topic(settings)
    records = (RawRecord(0, each.key.encode(), each.to_bytes()) for each in orders)
    hint = "check the broker; give the same command again: what was ordered twice is done once more"
    publish_all(settings.kafka, SOURCE_ORDERS.name, records, within_s=FLUSH_S, hint=hint)
    say(f"{len(orders)} ordered (psastream connectors status {wanted.system})")


def require_topic(settings: Settings) -> None:
    """Raise ConfigError where there is no topic of orders, BrokerUnavailableError if unknown."""
    if not is_there(settings.kafka):
        raise ConfigError(
            f"there is no topic {SOURCE_ORDERS.name}", hint="psastream topics apply makes it"
        )


def _does(action: Action, since: datetime | None) -> str:
    if since is None:
        return _DOES[action]
    return f"rows changed since {instant(since)} are read and published again at"


@dataclass(frozen=True, slots=True)
class Standing:
    """An order, and what came of it: None where no poller has taken it."""

    order: Order
    taken: Taken | None

    @property
    def is_paused(self) -> bool:
        """Whether its object is not to be polled."""
        return self.order.action is Action.PAUSE

    def as_record(self) -> dict[str, Any]:
        """Return what JSON shows."""
        at = {"taken_at": None, "done_at": None, "reached": None}
        if self.taken is not None:
            shown = self.taken.to_record()
            at = {name: shown[name] for name in at}
        return self.order.to_record() | at

    def told(self) -> str:
        """Say it in a line."""
        each, taken = self.order, self.taken
        said = f"{each.action.value} ordered {instant(each.ordered_at)} by {each.ordered_by}"
        if each.action is Action.PAUSE and taken is not None:
            said = f"paused since {instant(taken.taken_at)} by {each.ordered_by}"
        if each.since is not None:
            said += f" since {instant(each.since)}"
        if each.note:
            said += f" ({each.note})"
        if self.is_paused and taken is not None:
            return said
        if taken is None:
            return f"{said}: no poller has taken it yet"
        if taken.done_at is None:
            return f"{said}: taken {instant(taken.taken_at)}, not done"
        return f"{said}: done {instant(taken.done_at)}"


def standings(told: Told, systems: Iterable[str] = ()) -> list[Standing]:
    """Return the last order of each concern and object, of some systems or all. Pure."""
    wanted = set(systems)
    answers = {each.order.order_id: each for each in told.answers.values()}
    found = [each for each in told.orders.values() if not wanted or each.system in wanted]
    found.sort(key=lambda each: (each.system, each.obj, each.action))
    return [Standing(each, answers.get(each.order_id)) for each in found]


def read_standings(settings: Settings, systems: Sequence[str] = ()) -> list[Standing]:
    """Return what was ordered, and what came of it; nothing without the topic.

    Raises BrokerUnavailableError.
    """
    require_broker(settings.kafka.client())
    told = read_told(settings.kafka) if is_there(settings.kafka) else Told()
    return standings(told, systems)
