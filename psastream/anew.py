"""Has groups of the worker compute again: the wiring of `streams.engine.anew`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connectors.dispatch.dispatcher import GROUP_ID as DISPATCH_GROUP
from connectors.dispatch.exceptions import OPEN
from connectors.dispatch.guard import TABLES_ANEW, hold_id, hold_record, is_hold
from psastream.exceptions import publish, read_exceptions
from psastream.landscape import read_firm
from psastream.worker import APP_IDS, app_id_of, chosen_groups, engine_settings, groups_of
from runtime.kafka import create_topics
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.topics import SOURCE_PREFIX, STATE_LOGS
from streams.agents.own_measures import GROUP as MEASURES
from streams.engine.anew import (
    copies_of,
    forget_state,
    refuse_workers,
    require_no_members,
    reread,
    reread_all,
)
from streams.engine.settings import EngineSettings
from tables.foundation.exceptions import TOPIC, take_back

ORDERS_NOTHING: Final = frozenset({MEASURES, "rollup"})
"""Groups of whose results no command is made."""


def reread_topic(settings: Settings, topic: str) -> tuple[str, ...]:
    """Have a topic read from its first record, into the state there is.

    Return the exceptions that have commands wait: none where it is a topic of a source.

    Raises FatalError while workers run, or dispatchers where it is no topic of a source,
    ConfigError and BrokerUnavailableError.
    """
    groups = chosen_groups(settings, Registry(settings.registry), None)
    is_ours = not topic.startswith(f"{SOURCE_PREFIX}.")
    if is_ours:
        _refuse_dispatchers(engine_settings(settings))
    readers = [group.name for group in groups if topic in group.handlers()]
    read = {app_id_of(name) for name in readers}
    apps = [app_id for app_id in APP_IDS if app_id in read] or [APP_IDS[0]]
    for app_id in apps:
        refuse_workers(engine_settings(settings, app_id))
    held = _hold(settings, f"{topic} is read again") if is_ours and _order(readers) else ()
    for app_id in apps:
        reread(engine_settings(settings, app_id), groups_of(app_id, groups), topic)
    return held


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many topics a group reads again, and the exceptions that have commands wait."""

    topics: int
    held: tuple[str, ...] = ()


def rebuild_group(settings: Settings, name: str) -> Rebuilt:
    """Have a group computed from nothing, and the commands that it may order wait for a person.

    Raises FatalError while workers run that have it, or, of groups that order something,
    dispatchers, ConfigError and BrokerUnavailableError.
    """
    [group] = chosen_groups(settings, Registry(settings.registry), [name])
    engine = engine_settings(settings, app_id_of(name))
    if name != MEASURES:
        _refuse_dispatchers(engine)
    copies = copies_of(engine, group, settings.replication_factor)
    refuse_workers(engine)
    held = _hold(settings, f"{name} is computed anew") if _order([name]) else ()
    forget_state(engine, group)
    logs = [topic for topic in STATE_LOGS if topic.name == group.state_topic]
    create_topics(settings.kafka, logs, replication_factor=copies)
    _take_back(settings, name)
    reread_all(engine, group)
    return Rebuilt(len(group.handlers()), held)


def _order(groups: Iterable[str]) -> bool:
    """Whether commands may follow from what one of these groups publishes."""
    return not ORDERS_NOTHING.issuperset(groups)


def _hold(settings: Settings, what: str) -> tuple[str, ...]:
    """Have all commands wait; dispatchers that begin later read of it. Return the exceptions.

    Before anything is forgotten: whatever ends this here, nothing wrong is sent.
    """
    detail = f"{what}: what half-read tables order is wrong. No command is sent."
    at, targets = datetime.now(UTC), read_firm(settings).targets
    told = {
        row["system"]: row
        for row in read_exceptions(settings.kafka, Serde.of(settings))
        if is_hold(row)
    }
    records = []
    for target in targets:
        earlier = told.get(target)
        is_open = earlier is not None and earlier["status"] == OPEN
        if earlier is None or not is_open or earlier["error_code"] == TABLES_ANEW:
            seen = earlier and earlier["payload"]  # as it is, encrypted too
            record = hold_record(target, detail, at, code=TABLES_ANEW)
            records.append({**record, "payload": seen})
    publish(settings, TOPIC, "exception_id", records)
    _refuse_dispatchers(engine_settings(settings))
    return tuple(map(hold_id, targets))


def _take_back(settings: Settings, group: str) -> None:
    """Resolve the exceptions that a group told of: it knows of none any more."""
    serde = Serde.of(settings)
    rows = read_exceptions(settings.kafka, serde)
    publish(settings, TOPIC, "exception_id", take_back(rows, group, datetime.now(UTC)))


def _refuse_dispatchers(engine: EngineSettings) -> None:
    # Of what it has read half, a group orders what is wrong, and puts it right when it goes on.
    require_no_members(
        engine,
        DISPATCH_GROUP,
        who="dispatchers",
        hint="stop them, too, and start them when the workers have read all topics again; one "
        "that was killed, or has a PSASTREAM_INSTANCE_ID, leaves after 15 s",
    )
