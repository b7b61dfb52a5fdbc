"""Whether workers of this version go on with the state that there is, or refuse it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from confluent_kafka import KafkaException, TopicPartition

from psastream.check.findings import Finding
from psastream.verdict import Verdict
from runtime.kafka import READ_GROUP, KafkaSettings, make_consumer, spans_of
from runtime.rights import refused
from schemas.errors import BrokerUnavailableError
from streams.agents.own_measures import GROUP as OWN
from streams.engine import GroupSpec
from streams.engine.state_store import LAYOUT_KEY, layout_of

STATE: Final = "state"
HEAD_S: Final = 5.0
"""How long the layout is looked for from the beginning of the logs on: it is written first."""
_GATHER_S: Final = 0.2
_REMEDY: Final = (
    "in this order: stop the dispatchers, then the workers; psastream rebuild {group}; start the"
    " workers, and when they have read everything the dispatchers (psastream docs upgrades)"
)
_OF_MEASURES: Final = (
    "stop the workers of measures, psastream rebuild {group}, start them (psastream docs upgrades)"
)

Stored = Mapping[str, frozenset[str]]
"""Layouts in the state logs, by agent group; no entry where a log holds nothing."""


def ask_layouts(kafka: KafkaSettings, groups: Iterable[GroupSpec]) -> dict[str, frozenset[str]]:
    """Return the layouts that the partitions of each group's state were written in.

    A group of which nothing is stored yet is left out; of one whose layouts were not seen in time
    none is told. Raises BrokerUnavailableError.
    """
    names = {group.state_topic: group.name for group in groups}
    spans = {place: span for place, span in spans_of(kafka, names).items() if span[0] < span[1]}
    found: dict[str, set[str]] = {names[topic]: set() for topic, _ in spans}
    consumer = make_consumer(kafka, READ_GROUP)
    unseen = set(spans)
    deadline_at = time.monotonic() + HEAD_S
    try:
        consumer.assign([TopicPartition(*place, start) for place, (start, _) in spans.items()])
        while unseen and time.monotonic() < deadline_at:
            for message in consumer.consume(10_000, timeout=_GATHER_S):
                if (error := message.error()) is not None:
                    if not error.retriable():
                        raise KafkaException(error)
                    continue
                place = str(message.topic()), int(message.partition() or 0)
                if place in unseen and message.key() == LAYOUT_KEY:
                    found[names[place[0]]].add((message.value() or b"").decode())
                    unseen.discard(place)
                    consumer.incremental_unassign([TopicPartition(*place)])
    except KafkaException as error:
        detail = f"state logs cannot be read: {error}"
        raise refused(detail, error) or BrokerUnavailableError(detail) from error
    finally:
        consumer.close()
    return {group: frozenset(layouts) for group, layouts in found.items()}


def state_findings(stored: Stored, groups: Iterable[GroupSpec]) -> Iterator[Finding]:
    """Yield what is found of the state of the groups of this version."""
    for group in groups:
        wanted = layout_of(group.layout).decode()
        layouts = stored.get(group.name)
        if layouts is None:
            yield Finding(STATE, group.name, Verdict.OK, "holds nothing yet")
        elif others := layouts - {wanted}:
            yield Finding(
                STATE,
                group.name,
                Verdict.FAIL,
                f"has the layout {', '.join(sorted(others))}, workers of this version read {wanted}"
                " and refuse it",
                _remedy(group.name),
            )
        elif layouts:
            yield Finding(STATE, group.name, Verdict.OK, f"has the layout {wanted}")
        else:
            detail = f"its layout was not seen in {HEAD_S:.0f} s"
            yield Finding(STATE, group.name, Verdict.SKIP, detail)


def _remedy(group: str) -> str:
    return (_OF_MEASURES if group == OWN else _REMEDY).format(group=group)
