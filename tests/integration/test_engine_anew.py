"""Topics that are deleted and made again, on a real Kafka: a stop, and the operator's choice."""

from pathlib import Path

import pytest

from schemas.errors import FatalError
from streams.engine import Accounting, EngineSettings, GroupSpec, NoInstruments
from streams.engine.anew import forget_state, reread, reread_all
from streams.engine.errors import SourceChangedError
from tests.support.engine_agents import row, totals_group
from tests.support.engine_testbed import EngineTestbed, ThreadWorker

pytestmark = pytest.mark.stack


class Applied(NoInstruments):
    """Counts what is applied of each topic."""

    def __init__(self) -> None:
        self.records: dict[str, int] = {}

    def chunk_applied(self, group: str, topic: str, partition: int, accounting: Accounting) -> None:
        self.records[topic] = self.records.get(topic, 0) + accounting.applied


@pytest.fixture
def testbed(kafka: str, tmp_path: Path) -> EngineTestbed:
    testbed = EngineTestbed(kafka, tmp_path, partitions=1)
    testbed.create_topics()
    rows = [(b"R%d" % n, row(f"P{n % 7}", n)) for n in range(100)]
    testbed.produce(testbed.topics.rows, 0, rows)
    testbed.produce(testbed.topics.adjustments, 0, [(b"P1", b"1")] * 100)
    return testbed


def group_of(testbed: EngineTestbed) -> GroupSpec:
    return totals_group(testbed.topics, testbed.partitions)


def settings_of(testbed: EngineTestbed) -> EngineSettings:
    return testbed.settings(topic_check_interval_s=0.2)


def drain(testbed: EngineTestbed) -> dict[str, int]:
    """Run a worker to the end of the sources; the records applied of each."""
    seen = Applied()
    with ThreadWorker(settings_of(testbed), [group_of(testbed)], seen):
        testbed.wait_until_drained()
    return seen.records


def assert_refused(worker: ThreadWorker, *says: str) -> None:
    assert worker.join() == 1
    failure = worker.worker.failure
    assert isinstance(failure, SourceChangedError)
    assert any(each in str(failure) for each in says), failure


@pytest.mark.fault("C12", place="streams/engine/positions.py")
def test_c12_a_topic_made_again_stops_the_worker_until_somebody_chooses(
    testbed: EngineTestbed,
) -> None:
    drain(testbed)
    adjustments = testbed.topics.adjustments
    testbed.recreate(adjustments)
    testbed.produce(adjustments, 0, [(b"P1", b"1")] * 110)
    with ThreadWorker(settings_of(testbed), [group_of(testbed)]) as worker:
        assert_refused(worker, "deleted and made again: it holds offsets 0 to 110")

    reread(settings_of(testbed), [group_of(testbed)], adjustments)
    assert drain(testbed) == {adjustments: 110}
    assert drain(testbed) == {}

    forget_state(settings_of(testbed), group_of(testbed))
    testbed.create_topics(testbed.topics.state)
    reread_all(settings_of(testbed), group_of(testbed))
    assert drain(testbed) == {adjustments: 110, testbed.topics.rows: 100}
    assert testbed.totals() == testbed.expected()


@pytest.mark.fault("C12", place="streams/engine/positions.py")
def test_c12_a_topic_made_again_under_a_worker_stops_it(testbed: EngineTestbed) -> None:
    with ThreadWorker(settings_of(testbed), [group_of(testbed)]) as worker:
        testbed.wait_until_drained()
        with pytest.raises(FatalError, match="1 workers are in the group"):
            reread(settings_of(testbed), [group_of(testbed)], testbed.topics.rows)
        testbed.recreate(testbed.topics.adjustments)
        # Which one depends on how soon it is back.
        assert_refused(worker, "made again", "deleted while it was in use")


@pytest.mark.fault("C12", place="streams/engine/health.py")
def test_c12_a_topic_deleted_under_a_worker_stops_it(testbed: EngineTestbed) -> None:
    with ThreadWorker(settings_of(testbed), [group_of(testbed)]) as worker:
        testbed.wait_until_drained()
        testbed.delete_topics(testbed.topics.adjustments)
        assert_refused(worker, "deleted while it was in use")
