"""`psastream rebuild` on a real Kafka: nobody may act on what a half-read group orders."""

import pytest

from connectors.dispatch.dispatcher import GROUP_ID
from psastream.anew import rebuild_group
from runtime.kafka import create_topics, make_consumer
from runtime.settings import Settings
from schemas.errors import FatalError
from tests.support.catalogue import CATALOGUE
from tests.support.eventually import eventually

pytestmark = pytest.mark.stack


def test_a_group_is_not_computed_anew_while_a_dispatcher_runs(kafka: str) -> None:
    settings = Settings(
        bootstrap_servers=kafka, registry_url="http://127.0.0.1:1", replication_factor=1
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
    assert rebuild_group(settings, "rollup") == 2
