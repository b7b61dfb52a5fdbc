"""What a broker says of a state log and its sources while it goes away."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo

from schemas.errors import BrokerUnavailableError
from streams.engine.settings import EngineSettings
from streams.engine.state_log import StateLog


class GoingAway(AdminClient):
    """Answers with these offsets, as librdkafka does: some are no offsets."""

    def __new__(cls, **offsets: int) -> GoingAway:
        return super().__new__(cls, {})

    def __init__(self, **offsets: int) -> None:
        super().__init__({})
        self._answers = offsets

    def list_offsets(
        self, topic_partition_offsets: dict[TopicPartition, Any], **_: Any
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        futures: dict[TopicPartition, Future[ListOffsetsResultInfo]] = {}
        for at in topic_partition_offsets:
            futures[at] = Future()
            futures[at].set_result(ListOffsetsResultInfo(self._answers[at.topic], -1, -1))
        return futures


def state_log(directory: Path, **offsets: int) -> StateLog:
    settings = EngineSettings(
        app_id="unit", bootstrap_servers="localhost:9092", state_dir=directory
    )
    return StateLog("log", settings, GoingAway(**offsets))


@pytest.mark.fault("C12", place="streams/engine/state_log.py")
@pytest.mark.parametrize("offset", [OFFSET_INVALID, -1])
def test_c12_an_end_that_did_not_come_back_is_no_end_of_a_topic(
    tmp_path: Path, offset: int
) -> None:
    log = state_log(tmp_path, a=7, b=offset, empty=0)
    assert log.source_ends(["a", "empty"], 0) == {"a": 7, "empty": 0}
    with pytest.raises(BrokerUnavailableError, match="no offset of b came back"):
        log.source_ends(["a", "b"], 0)


@pytest.mark.fault("C12", place="streams/engine/state_log.py")
def test_c12_bounds_that_did_not_come_back_empty_no_state(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailableError, match="no offset of log came back"):
        state_log(tmp_path, log=OFFSET_INVALID).bounds(0)
