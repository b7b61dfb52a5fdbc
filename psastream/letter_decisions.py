"""What people decide about dead letters: their records are published again, or set aside.

A decision is final, and is kept with who made it. It and the record that it lets through are
written in one transaction of one transactional id, and decisions are read after older writers were
fenced: a letter that two people release at once is released once. A record that is published again
is processed as any other; where its row has changed since, its position makes it stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from psastream.landscape import read_firm
from psastream.letters import (
    DECISIONS,
    TOPIC,
    UNREADABLE,
    Identity,
    Letter,
    identity,
    read_by_key,
    read_decisions,
)
from psastream.lines import instant, say
from psastream.people import is_meant, who
from runtime.kafka import make_producer, require_broker
from runtime.offsets import present_places
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import BrokerUnavailableError, ConfigError
from schemas.routing import partition_of
from schemas.topics import BY_NAME, COMMAND_PREFIX, INTERNAL_PREFIX, SOURCE_PREFIX, Topic

TRANSACTIONAL_ID: Final = "psastream-dlq"
TRANSACTION_MS: Final = 60_000
ANSWER_S: Final = 30.0


class Decision(StrEnum):
    """What is done with a dead letter."""

    RELEASED = "released"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Meant:
    """Which dead letters: by their keys, or all of a topic and a code."""

    letters: Sequence[str] = ()
    topic: str | None = None
    code: str | None = None

    def chosen(self, letters: Mapping[str, Letter]) -> dict[str, Letter]:
        """Return those that are meant. Raises ConfigError where none is named, or there is none."""
        if not (self.letters or self.topic or self.code):
            raise ConfigError("no dead letter is named", hint="give places, --topic or --code")
        if unknown := [each for each in self.letters if each not in letters]:
            raise ConfigError(f"no dead letter: {', '.join(unknown)}", hint="psastream dlq list")
        return {
            key: letter
            for key, letter in letters.items()
            if (not self.letters or key in self.letters)
            and self.topic in (None, letter["topic"])
            and self.code in (None, letter["error_code"])
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a decision does: `doable` letters by key; `told` is why others are left as they are."""

    doable: Mapping[str, Letter]
    told: Sequence[str] = ()


def plan_of(
    decision: Decision,
    chosen: Mapping[str, Letter],
    decided: Mapping[Identity, Mapping[str, Any]],
    topics: Mapping[str, Topic],
) -> Plan:
    """Return what a decision does with some dead letters. Pure."""
    doable, told = {}, []
    for key, letter in chosen.items():
        if last := decided.get(identity(key, letter)):
            at = instant(last["decided_at"])
            told.append(f"{key}: was {last['decision']} at {at} by {last['decided_by']}")
        elif decision is Decision.RELEASED and (obstacle := obstacle_to(letter, topics)):
            told.append(f"{key}: cannot be released: {obstacle}")
        else:
            doable[key] = letter
    return Plan(doable, told)


def obstacle_to(letter: Letter, topics: Mapping[str, Topic]) -> str:
    """Return why a record cannot be published again; nothing where it can."""
    topic = letter["topic"]
    if letter is UNREADABLE:
        return "nobody can read it: find who writes to psa.dlq"
    if letter["partition"] is None:
        return "its reader refused it before it was published; correct it at its source"
    if topic not in topics:
        return f"the firm has no topic {topic}"
    if not topic.startswith(f"{SOURCE_PREFIX}."):
        # Whoever reads the topic as a table takes the last record of a key for the row.
        is_made = topic.startswith((COMMAND_PREFIX, INTERNAL_PREFIX))
        reason = "tables make it anew from their own topics" if is_made else "a later one may stand"
        return f"{reason}: psastream reread {'' if is_made else topic}".strip()
    if letter["value"] is None:
        return "it was too large to be kept; read it at its place in its topic"
    return ""


def decide(
    settings: Settings,
    decision: Decision,
    meant: Meant,
    *,
    note: str | None = None,
    is_dry: bool = False,
    is_sure: bool = False,
) -> None:
    """Say what a decision does, and do it where that is meant.

    Raises ConfigError, and BrokerUnavailableError where nothing was done.
    """
    kafka = settings.kafka
    require_broker(kafka.client())
    topics = {topic.name: topic for topic in read_firm(settings).topics}
    if missing := {TOPIC, DECISIONS} - present_places(kafka, [TOPIC, DECISIONS]).keys():
        raise ConfigError(
            f"there is no topic {min(missing)}", hint="psastream topics apply makes it"
        )
    serde = Serde.of(settings)
    chosen = meant.chosen(read_by_key(kafka, serde))
    plan = plan_of(decision, chosen, read_decisions(kafka, serde), topics)
    for text in lines_of_plan(decision, plan):
        say(text)
    if not plan.doable:
        return
    count = len(plan.doable)
    if not is_meant(f"{_order(decision)} {count}?", is_dry=is_dry, is_sure=is_sure):
        return
    producer = make_producer(
        kafka, transactional_id=TRANSACTIONAL_ID, transaction_timeout_ms=TRANSACTION_MS
    )
    try:
        producer.init_transactions(ANSWER_S)
        still = plan_of(decision, plan.doable, read_decisions(kafka, serde), topics).doable
        producer.begin_transaction()
        _write(producer, serde, decision, still, note)
        producer.commit_transaction(ANSWER_S)
    except KafkaException as error:
        raise BrokerUnavailableError(
            f"not known whether anything was {decision.value}: {error.args[0].str()}",
            hint="another psastream dlq runs, or the broker is away; give the same command again:"
            " what was decided is not done twice",
        ) from error
    say(f"{len(still)} {decision.value}")


def lines_of_plan(decision: Decision, plan: Plan) -> list[str]:
    """Return what would be done, a line a letter."""
    said = "to be set aside" if decision is Decision.DISCARDED else "to be published again"
    doable = [f"{key}: {said} ({letter['error_code']})" for key, letter in plan.doable.items()]
    return [*plan.told, *doable] or ["no dead letter is meant"]


def _order(decision: Decision) -> str:
    return "publish again" if decision is Decision.RELEASED else "set aside"


def _write(
    producer: Producer,
    serde: Serde,
    decision: Decision,
    letters: Mapping[str, Letter],
    note: str | None,
) -> None:
    """Produce decisions, and the records that they let through."""
    at, by = datetime.now(UTC), who()
    for key, letter in letters.items():
        if decision is Decision.RELEASED:
            producer.produce(
                letter["topic"],
                key=letter["key"],
                value=letter["value"],
                partition=letter["partition"],
            )
        record = {
            "letter": key,
            "content": identity(key, letter)[1],
            "decision": decision.value,
            "topic": letter["topic"],
            "error_code": letter["error_code"],
            "decided_by": by,
            "note": note,
            "decided_at": at,
        }
        producer.produce(
            DECISIONS,
            key=serde.key(DECISIONS, key),
            value=serde.value(DECISIONS, record),
            partition=partition_of(key, BY_NAME[DECISIONS].partitions),
        )
        producer.poll(0)
