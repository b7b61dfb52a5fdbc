"""What people decide about commands: to stop a target, or a kind of its commands, and to start it.

A stop does no harm, so nobody is asked whether it is meant: commands wait in their order. It is
lifted by who starts the same again, the target or the kind, so that nobody starts what somebody
else has stopped for another reason.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from confluent_kafka import Message

from connectors.dispatch.decisions import DECISIONS, Decision, Stops, Verb, decisions_in
from connectors.systems import Systems
from psastream.exceptions import publish
from psastream.landscape import read_firm
from psastream.lines import instant, say
from psastream.people import is_meant, who
from runtime.kafka import KafkaSettings, read_topic, require_broker
from runtime.offsets import present_places
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.mapping.sql_text import suggestion

HEARD: Final = "each dispatcher hears of it within a second; calls under way end as they end"


def stop_commands(
    settings: Settings, target: str, kind: str | None, *, note: str, is_dry: bool = False
) -> None:
    """Have no command of a target sent, or of one kind of it, until somebody starts it.

    Raises ConfigError where there is no such target or kind, and BrokerUnavailableError.
    """
    stops = _known(settings, target, kind)
    if (earlier := stops.by(target, kind)) is not None:
        say(said_of(earlier))
        return
    say(f"{named(target, kind)}: no command is sent until somebody starts it")
    if is_dry:
        say("nothing was done: a dry run")
        return
    _publish(settings, Verb.STOPPED, target, kind, note)
    say(HEARD)


def start_commands(
    settings: Settings,
    target: str,
    kind: str | None,
    *,
    note: str | None = None,
    is_dry: bool = False,
    is_sure: bool = False,
) -> None:
    """Have the commands sent that were stopped, in their order, where that is meant.

    Raises ConfigError where there is no such target or kind, or it is not stopped, and
    BrokerUnavailableError.
    """
    stops = _known(settings, target, kind)
    for line in lines_of_start(stops, target, kind):
        say(line)
    if is_meant(f"start {named(target, kind)}?", is_dry=is_dry, is_sure=is_sure):
        _publish(settings, Verb.STARTED, target, kind, note)
        say(HEARD)


def lines_of_start(stops: Stops, target: str, kind: str | None) -> list[str]:
    """Return what is lifted, and what stays stopped. Pure. Raises ConfigError: nothing is."""
    stopped = stops.by(target, kind)
    others = [it for it in stops.all() if it.target == target and it.kind != kind]
    if stopped is None:
        told = "; ".join(map(said_of, others))
        raise ConfigError(
            f"{named(target, kind)} is not stopped",
            hint=told or "what a sink's file stops, its file starts",
        )
    is_whole = kind is not None and any(it.kind is None for it in others)
    stays = others if kind is None else [it for it in others if it.kind is None]
    done = f"{named(target, kind)}: its commands are sent, those that wait first"
    return [
        said_of(stopped),
        *([] if is_whole else [done]),
        *(f"stays: {said_of(it)}" for it in stays),
    ]


def read_decisions(kafka: KafkaSettings, serde: Serde) -> list[Decision]:
    """Return what people have decided, in its order; nothing without the topic.

    Raises BrokerUnavailableError and RegistryUnavailableError.
    """
    if DECISIONS not in present_places(kafka, [DECISIONS]):
        return []
    messages: Sequence[Message] = list(read_topic(kafka, DECISIONS))
    return list(decisions_in(messages, serde))


def said_of(stop: Decision) -> str:
    """Return who stopped what, since when, and why."""
    since = "" if stop.decided_at is None else f" since {instant(stop.decided_at)}"
    return f"{named(stop.target, stop.kind)} is stopped{since} {_by_whom(stop)}"


def said_of_word(word: Decision) -> str:
    """Return who approved or refused one command, when, and why."""
    at = "" if word.decided_at is None else f" at {instant(word.decided_at)}"
    return f"{word.verb.value}{at} {_by_whom(word)}"


def named(target: str, kind: str | None) -> str:
    """Return the name of a target, or of a kind of its commands."""
    return target if kind is None else f"{kind} of {target}"


def record_of(
    verb: Verb, target: str, kind: str | None, note: str | None, *, at: datetime
) -> dict[str, Any]:
    """Return the `psa.command.CommandDecision` of whoever runs this process."""
    return {
        "decision_id": uuid.uuid4().hex,
        "decision": verb.value,
        "target": target,
        "kind": kind,
        "decided_at": at,
        "decided_by": who(),
        "note": note,
    }


def _known(settings: Settings, target: str, kind: str | None) -> Stops:
    """Return what is stopped. Raises ConfigError where no such commands are sent."""
    targets = read_firm(settings).targets
    if target not in targets:
        raise ConfigError(
            f"no commands go to {target}{suggestion(target, targets)}",
            hint=f"one of {', '.join(targets) or 'none: the landscape has no target'}",
        )
    kinds = [it.kind for it in Systems(settings.systems).vendor_of(target).commands]
    if kind is not None and kind not in kinds:
        raise ConfigError(
            f"{target} carries out no {kind}{suggestion(kind, kinds)}",
            hint=f"one of {', '.join(kinds)}",
        )
    kafka = settings.kafka
    require_broker(kafka.client())
    if DECISIONS not in present_places(kafka, [DECISIONS]):
        raise ConfigError(f"there is no topic {DECISIONS}", hint="psastream topics apply makes it")
    return Stops(read_decisions(kafka, Serde.of(settings)))


def _by_whom(decision: Decision) -> str:
    why = f": {decision.note}" if decision.note else ""
    return f"by {decision.decided_by or 'somebody'}{why}"


def _publish(
    settings: Settings, verb: Verb, target: str, kind: str | None, note: str | None
) -> None:
    record = record_of(verb, target, kind, note, at=datetime.now(UTC))
    publish(settings, DECISIONS, "decision_id", [record])
