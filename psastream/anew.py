"""Has groups of the worker compute again: the wiring of `streams.engine.anew`."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.dispatch.dispatcher import GROUP_ID as DISPATCH_GROUP
from psastream.exceptions import publish, read_exceptions
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


def reread_topic(settings: Settings, topic: str) -> None:
    """Have a topic read from its first record, into the state there is.

    Raises FatalError while workers run, or dispatchers where it is no topic of a source,
    ConfigError and BrokerUnavailableError.
    """
    groups = chosen_groups(settings, Registry(settings.registry), None)
    if not topic.startswith(f"{SOURCE_PREFIX}."):
        _refuse_dispatchers(engine_settings(settings))
    read = {app_id_of(group.name) for group in groups if topic in group.handlers()}
    apps = [app_id for app_id in APP_IDS if app_id in read] or [APP_IDS[0]]
    for app_id in apps:
        refuse_workers(engine_settings(settings, app_id))
    for app_id in apps:
        reread(engine_settings(settings, app_id), groups_of(app_id, groups), topic)


def rebuild_group(settings: Settings, name: str) -> int:
    """Have a group computed from nothing; return the number of topics it reads again.

    Raises FatalError while workers run that have it, or, of groups that order something,
    dispatchers, ConfigError and BrokerUnavailableError.
    """
    [group] = chosen_groups(settings, Registry(settings.registry), [name])
    engine = engine_settings(settings, app_id_of(name))
    if name != MEASURES:
        _refuse_dispatchers(engine)
    copies = copies_of(engine, group, settings.replication_factor)
    forget_state(engine, group)
    logs = [topic for topic in STATE_LOGS if topic.name == group.state_topic]
    create_topics(settings.kafka, logs, replication_factor=copies)
    _take_back(settings, name)
    reread_all(engine, group)
    return len(group.handlers())


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
