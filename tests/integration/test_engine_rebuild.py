"""`psastream rebuild` on a real Kafka: nobody may act on what a half-read group orders."""

import pytest

from connectors.dispatch.dispatcher import GROUP_ID
from psastream.anew import rebuild_group
from psastream.worker import chosen_groups, engine_settings
from runtime.brokers import present_topics
from runtime.kafka import create_topics, make_consumer
from runtime.registry import Registry
from runtime.settings import Settings
from schemas.errors import ConfigError, FatalError
from streams.engine.anew import copies_of, forget_state
from tests.support.catalogue import CATALOGUE
from tests.support.eventually import eventually

pytestmark = pytest.mark.stack
LOG = "psastream-rollup-state"


def test_a_group_is_not_computed_anew_while_a_dispatcher_runs(kafka: str) -> None:
    settings = Settings(
        bootstrap_servers=kafka, registry_url="http://127.0.0.1:1", replication_factor=3
    )
    create_topics(settings.kafka, CATALOGUE, replication_factor=1)
    dispatcher = make_consumer(settings.kafka, GROUP_ID)
    try:
        dispatcher.subscribe(["psa.command.netsuite"])
        eventually(
            lambda: dispatcher.poll(0.1) is None and bool(dispatcher.assignment()), deadline_s=60
        )
        with pytest.raises(FatalError, match="1 dispatchers are in the group psastream-dispatch"):
            rebuild_group(settings, "rollup")
        assert create_topics(settings.kafka, CATALOGUE, replication_factor=1) == [], "nothing gone"
    finally:
        dispatcher.close()
    assert rebuild_group(settings, "rollup").topics == 2
    made = present_topics(settings.kafka, [LOG])
    assert made[LOG].copies == 1, "as many as it had, whatever the settings say"


def test_a_state_log_that_cannot_be_made_again_is_not_deleted(kafka: str) -> None:
    settings = Settings(bootstrap_servers=kafka, registry_url="http://127.0.0.1:1")
    engine = engine_settings(settings)
    [group] = chosen_groups(settings, Registry(settings.registry_url), ["rollup"])
    create_topics(settings.kafka, CATALOGUE, replication_factor=1)
    forget_state(engine, group)
    with pytest.raises(ConfigError, match="is to have 3 copies, and there are 1 brokers"):
        rebuild_group(settings, "rollup")
    create_topics(settings.kafka, CATALOGUE, replication_factor=1)
    assert copies_of(engine, group, 3) == 1
