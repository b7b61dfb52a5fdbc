"""Workers are killed at progress marks, local state is deleted: totals stay exact (I1, I3, I6).

Proves the commit, fencing and recovery of the engine; not the agents of the product.
"""

import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.engine_agents import Record, row
from tests.support.engine_process import ForkedProcess
from tests.support.engine_sabotage import Sabotage
from tests.support.engine_testbed import EngineTestbed
from tests.support.engine_worker import run_forked
from tests.support.eventually import eventually
from tests.support.stack import StackBroker

pytestmark = [pytest.mark.stack, pytest.mark.crash]

_ROWS_PER_PARTITION = 12_000


def make_input(seed: int, partition: int, rows: int) -> tuple[list[Record], list[Record]]:
    """Rows that are inserted, changed, moved and deleted; and adjustments of the same totals."""
    rng = random.Random(seed)
    changes: list[Record] = []
    for _ in range(rows):
        key = f"R{partition}-{rng.randrange(rows // 3)}".encode()
        project = f"P{partition}-{rng.randrange(100)}"
        deleted = rng.random() < 0.1
        changes.append((key, None if deleted else row(project, rng.randrange(1, 1000))))
    adjustments: list[Record] = [
        (f"P{partition}-{rng.randrange(100)}".encode(), b"%d" % rng.randrange(-50, 50))
        for _ in range(rows // 10)
    ]
    return changes, adjustments


def fill(testbed: EngineTestbed, seed: int, rows: int = _ROWS_PER_PARTITION) -> None:
    for partition in range(testbed.partitions):
        changes, adjustments = make_input(seed + partition, partition, rows)
        testbed.produce(testbed.topics.rows, partition, changes)
        testbed.produce(testbed.topics.adjustments, partition, adjustments)


@pytest.mark.parametrize("seed", [1, 2])
def test_i1_i6_killed_workers_leave_exact_totals(seed: int, kafka: str, tmp_path: Path) -> None:
    testbed = EngineTestbed(kafka, tmp_path, partitions=4)
    testbed.create_topics()
    fill(testbed, seed)
    rng = random.Random(seed)
    sources = (testbed.topics.rows, testbed.topics.adjustments)
    total = testbed.ends(*sources)
    # Small chunks: there is a commit in flight at almost any moment.
    small = {"max_chunk_records": 300, "halt_timeout_s": 2.0}
    workers = {name: testbed.spawn(name, **small) for name in ("a", "b")}
    try:
        for mark in (0.1, 0.3, 0.5, 0.7):
            eventually(
                lambda mark=mark: testbed.committed(*sources) >= mark * total,  # type: ignore[misc]
                deadline_s=90,
            )
            victim = rng.choice(sorted(workers))
            workers[victim].kill()
            workers[victim].wait()
            if rng.random() < 0.5:
                shutil.rmtree(tmp_path / victim, ignore_errors=True)
            workers[victim] = testbed.spawn(victim, **small)
        testbed.wait_until_drained(deadline_s=120)
        for name, worker in workers.items():
            assert worker.poll() is None, (tmp_path / f"{name}.log").read_text()
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    assert testbed.totals() == testbed.expected()


def test_zombie_worker_is_fenced(kafka: str, tmp_path: Path) -> None:
    """A worker that is frozen past its session wakes up after another has taken over."""
    testbed = EngineTestbed(kafka, tmp_path)
    testbed.create_topics()
    fill(testbed, seed=3, rows=30_000)
    sources = (testbed.topics.rows, testbed.topics.adjustments)
    total = testbed.ends(*sources)
    frozen = testbed.spawn("frozen", max_chunk_records=100)
    try:
        eventually(lambda: testbed.committed(*sources) > 0.05 * total, deadline_s=60)
        frozen.send_signal(signal.SIGSTOP)
        seen = testbed.committed(*sources)
        assert seen < total, "the worker was done before it was frozen"
        heir = testbed.spawn("heir", max_chunk_records=100)
        try:
            eventually(lambda: testbed.committed(*sources) > seen + 0.1 * total, deadline_s=90)
            frozen.send_signal(signal.SIGCONT)
            testbed.wait_until_drained(deadline_s=120)
        finally:
            heir.kill()
            heir.wait()
    finally:
        frozen.kill()
        frozen.wait()
    assert testbed.totals() == testbed.expected()


def test_stopped_worker_hands_over_at_once(kafka: str, tmp_path: Path) -> None:
    testbed = EngineTestbed(kafka, tmp_path)
    testbed.create_topics()
    fill(testbed, seed=4)
    sources = (testbed.topics.rows, testbed.topics.adjustments)
    total = testbed.ends(*sources)
    small = {"max_chunk_records": 200, "session_timeout_s": 20.0}
    workers = [testbed.spawn(name, **small) for name in ("first", "second")]
    try:
        eventually(lambda: testbed.committed(*sources) > 0.3 * total, deadline_s=60)
        workers[0].terminate()
        assert workers[0].wait(30) == 0
        # Had it not left the group, its partitions would wait for the end of its session.
        testbed.wait_until_drained(deadline_s=15)
        workers[1].terminate()
        assert workers[1].wait(30) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert testbed.totals() == testbed.expected()


def test_a_thread_that_hangs_does_not_keep_the_process(kafka: str, tmp_path: Path) -> None:
    testbed = EngineTestbed(kafka, tmp_path)
    testbed.create_topics()
    config = {
        "settings": testbed.settings(halt_timeout_s=0.5).model_dump(mode="json"),
        "partitions": testbed.partitions,
        "sabotage": Sabotage.STUCK,
        "stop_timeout_s": 5.0,
    }
    worker = ForkedProcess(run_forked, config, tmp_path / "w.log")
    try:
        eventually((tmp_path / "w" / "totals" / "0").exists, deadline_s=60)
        worker.send(signal.SIGTERM)
        eventually(lambda: worker.has_ended() is not None, deadline_s=30)
        assert worker.has_ended() == 1
    finally:
        worker.kill()


def test_broker_killed_in_mid_flight(own_broker: StackBroker, tmp_path: Path) -> None:
    """The outcome of the commit at hand is unknown: fencing and the state log settle it."""
    testbed = EngineTestbed(own_broker.bootstrap_servers, tmp_path)
    testbed.create_topics()
    fill(testbed, seed=5)
    sources = (testbed.topics.rows, testbed.topics.adjustments)
    total = testbed.ends(*sources)
    worker = testbed.spawn(
        "w", max_chunk_records=200, commit_timeout_s=5.0, commit_attempts=20, session_timeout_s=15.0
    )
    try:
        for mark in (0.2, 0.5):
            eventually(
                lambda mark=mark: testbed.committed(*sources) >= mark * total,  # type: ignore[misc]
                deadline_s=60,
            )
            own_broker.kill()
            own_broker.start()
        eventually(lambda: testbed.committed(*sources) >= total, deadline_s=120)
        assert worker.poll() is None, (tmp_path / "w.log").read_text()
    finally:
        worker.kill()
        worker.wait()
    assert testbed.totals() == testbed.expected()


@pytest.mark.fault("D11", place="streams/worker.py")
def test_d11_a_worker_stops_in_order_while_no_broker_answers(
    own_broker: StackBroker, tmp_path: Path
) -> None:
    """Nothing can be committed and nobody told: it does not wait for what never comes."""
    testbed = EngineTestbed(own_broker.bootstrap_servers, tmp_path, partitions=4)
    testbed.create_topics()
    fill(testbed, seed=3, rows=100)
    worker = testbed.spawn()
    try:
        testbed.wait_until_drained()
        own_broker.kill()
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        own_broker.start()
    log = (tmp_path / "w.log").read_text()
    assert "stopping without a broker" in log
    assert "rdkafka" not in log
