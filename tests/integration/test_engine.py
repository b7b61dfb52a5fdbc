"""The engine on a real Kafka: exact results, and what stops it, delays it, or makes it go on."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import RegistryUnavailableError
from streams.engine import (
    Accounting,
    AgentSpec,
    Chunk,
    ChunkHandler,
    Effects,
    GroupSpec,
    NoInstruments,
    Output,
    State,
)
from tests.support.engine_agents import row, totals_group
from tests.support.engine_testbed import EngineTestbed, ThreadWorker

pytestmark = pytest.mark.stack


class Counted(NoInstruments):
    """Remembers what the tests ask for."""

    def __init__(self) -> None:
        self.applied = 0
        self.fence_skips = 0
        self.retries = 0
        self.gaps = 0
        self.restored = 0
        self.lags: dict[str, int] = {}

    def chunk_applied(self, group: str, topic: str, partition: int, accounting: Accounting) -> None:
        self.applied += accounting.applied

    def fence_skipped(self, group: str, topic: str, records: int) -> None:
        self.fence_skips += records

    def transient_retry(self, group: str, topic: str) -> None:
        self.retries += 1

    def state_gap(self, group: str, topic: str, partition: int, records: int) -> None:
        self.gaps += records

    def recovery_progress(self, group: str, partition: int, records: int, seconds: float) -> None:
        self.restored = max(self.restored, records)

    def lag(self, topic: str, partition: int, records: int) -> None:
        self.lags[f"{topic}/{partition}"] = records


@dataclass
class Steered:
    """A handler that runs `before` ahead of the real one."""

    inner: ChunkHandler
    before: Callable[[Chunk], None]
    calls: list[Chunk] = field(default_factory=list)

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        self.calls.append(chunk)
        self.before(chunk)
        return self.inner(chunk, state)


def steer(group: GroupSpec, before: Callable[[Chunk], None]) -> GroupSpec:
    return replace(
        group,
        agents=[AgentSpec(agent.topic, Steered(agent.handler, before)) for agent in group.agents],
    )


@pytest.fixture
def testbed(kafka: str, tmp_path: Path) -> EngineTestbed:
    testbed = EngineTestbed(kafka, tmp_path)
    testbed.create_topics()
    for partition in range(testbed.partitions):
        testbed.produce(
            testbed.topics.rows,
            partition,
            [
                (
                    f"R{partition}-{i % 300}".encode(),
                    row(f"P{partition}-{i % 7}", i) if i % 11 else None,
                )
                for i in range(1000)
            ],
        )
        testbed.produce(
            testbed.topics.adjustments,
            partition,
            [(f"P{partition}-{i % 9}".encode(), b"%d" % i) for i in range(100)],
        )
    return testbed


def group_of(testbed: EngineTestbed) -> GroupSpec:
    return totals_group(testbed.topics, testbed.partitions)


def run_until_drained(testbed: EngineTestbed, **settings: object) -> Counted:
    seen = Counted()
    with ThreadWorker(testbed.settings(**settings), [group_of(testbed)], seen) as worker:
        testbed.wait_until_drained()
    assert worker.exit_code == 0
    return seen


def test_two_agents_share_state_exactly(testbed: EngineTestbed) -> None:
    seen = run_until_drained(testbed, max_chunk_records=64)
    assert testbed.totals() == testbed.expected()
    assert seen.applied == testbed.partitions * 1100


def test_i3_restart_with_everything_committed_repeats_nothing(testbed: EngineTestbed) -> None:
    run_until_drained(testbed)
    published = testbed.ends(testbed.topics.totals)
    seen = Counted()
    with ThreadWorker(testbed.settings(), [group_of(testbed)], seen) as worker:
        worker.wait(worker.worker.health.is_ready)
        worker.wait(lambda: len(seen.lags) == 4 and not any(seen.lags.values()))
    assert seen.applied == 0
    assert seen.restored == 0
    assert testbed.ends(testbed.topics.totals) == published


def test_i6_state_is_restored_from_the_log_alone(testbed: EngineTestbed) -> None:
    run_until_drained(testbed)
    testbed.produce(testbed.topics.rows, 0, [(b"R0-1", row("P0-1", 5)), (b"R0-2", None)])
    seen = run_until_drained(testbed, state_dir=testbed.directory / "empty")
    assert seen.restored > 300
    assert testbed.totals() == testbed.expected()


def test_i1_handler_error_stops_the_worker_and_keeps_the_record(testbed: EngineTestbed) -> None:
    def break_on_adjustments(chunk: Chunk) -> None:
        if chunk.topic == testbed.topics.adjustments:
            raise ValueError("boom")

    group = steer(group_of(testbed), break_on_adjustments)
    with ThreadWorker(testbed.settings(), [group]) as worker:
        assert worker.join() == 1
    assert testbed.committed(testbed.topics.adjustments) == 0
    run_until_drained(testbed)
    assert testbed.totals() == testbed.expected()


def test_transient_error_retries_the_same_chunk(testbed: EngineTestbed) -> None:
    is_down = threading.Event()
    is_down.set()

    def registry(_: Chunk) -> None:
        if is_down.is_set():
            raise RegistryUnavailableError("down")

    seen = Counted()
    group = steer(group_of(testbed), registry)
    with ThreadWorker(testbed.settings(), [group], seen) as worker:
        worker.wait(lambda: seen.retries >= 3)
        assert seen.applied == 0
        is_down.clear()
        testbed.wait_until_drained()
    assert testbed.totals() == testbed.expected()


def test_i5_unaccounted_record_stops_the_worker(testbed: EngineTestbed) -> None:
    def forget(chunk: Chunk, state: State) -> Effects:
        return Effects(accounting=Accounting(applied=len(chunk) - 1))

    agents = [AgentSpec(testbed.topics.rows, forget)]
    group = GroupSpec("forgetful", testbed.partitions, agents, testbed.topics.state)
    with ThreadWorker(testbed.settings(), [group]) as worker:
        assert worker.join() == 1
    assert testbed.committed(testbed.topics.rows) == 0


@pytest.mark.parametrize("missing", ["rows", "adjustments", "totals", "state"])
def test_missing_topic_stops_the_worker(kafka: str, tmp_path: Path, missing: str) -> None:
    testbed = EngineTestbed(kafka, tmp_path)
    topics = asdict(testbed.topics)
    testbed.create_topics(*(name for role, name in topics.items() if role != missing))
    with ThreadWorker(testbed.settings(), [group_of(testbed)]) as worker:
        assert worker.join() == 2


def test_chunk_larger_than_a_batch_is_one_transaction(testbed: EngineTestbed) -> None:
    run_until_drained(testbed, batch_max_bytes=1024, compression=None)
    assert testbed.totals() == testbed.expected()


def test_chunk_without_effects_commits_its_position(testbed: EngineTestbed) -> None:
    def ignore(chunk: Chunk, state: State) -> Effects:
        return Effects(accounting=Accounting(stale=len(chunk)))

    agents = [AgentSpec(testbed.topics.rows, ignore)]
    group = GroupSpec("ignore", testbed.partitions, agents, testbed.topics.state)
    with ThreadWorker(testbed.settings(), [group]):
        testbed.wait_until_drained(testbed.topics.rows)


def test_position_reaches_the_end_behind_transaction_markers(testbed: EngineTestbed) -> None:
    """The totals topic is written in transactions: its last offset is a marker."""
    run_until_drained(testbed)
    copies = f"{testbed.app_id}-copies"
    state = f"{testbed.app_id}-copy-state"
    testbed.create_topics(copies, state)

    def copy(chunk: Chunk, state: State) -> Effects:
        outputs = [
            Output(copies, chunk.partition, key, value, headers=[("kind", b"copy")])
            for key, value in zip(chunk.keys, chunk.values, strict=True)
        ]
        return Effects(outputs=[*outputs], accounting=Accounting(applied=len(chunk)))

    agents = [AgentSpec(testbed.topics.totals, copy)]
    group = GroupSpec("copy", testbed.partitions, agents, state)
    with ThreadWorker(testbed.settings("copy", app_id=f"{testbed.app_id}-copy"), [group]) as worker:
        end = testbed.ends(testbed.topics.totals)
        other = EngineTestbed(testbed.bootstrap_servers, testbed.directory)
        other.app_id = f"{testbed.app_id}-copy"
        worker.wait(lambda: other.committed(testbed.topics.totals) == end)
    assert testbed.read(copies) == testbed.read(testbed.topics.totals)


def test_lost_state_log_stops_the_worker(testbed: EngineTestbed) -> None:
    run_until_drained(testbed)
    testbed.recreate(testbed.topics.state)
    seen = Counted()
    with ThreadWorker(testbed.settings(), [group_of(testbed)], seen) as worker:
        assert worker.join() == 1
    assert seen.gaps > 0


def test_unreadable_local_state_is_rebuilt(testbed: EngineTestbed) -> None:
    run_until_drained(testbed)
    for current in (testbed.directory / "w" / "totals").glob("*/CURRENT"):
        current.write_text("broken")
    testbed.produce(testbed.topics.rows, 1, [(b"R1-3", row("P1-3", 7))])
    seen = run_until_drained(testbed)
    assert seen.restored > 0
    assert testbed.totals() == testbed.expected()


def test_aborted_source_records_are_not_seen(testbed: EngineTestbed) -> None:
    rows = testbed.topics.rows
    testbed.abort(rows, 0, [(b"R0-1", row("P0-1", 10**9)), (b"R0-2", row("P0-1", 10**9))])
    run_until_drained(testbed)
    assert testbed.totals() == testbed.expected()
    assert max(testbed.totals().values()) < 10**9


def test_stalled_partition_stops_the_worker(testbed: EngineTestbed) -> None:
    """A handler that hangs is found by the watchdog; the worker ends without a commit."""
    release = threading.Event()

    def hang(_: Chunk) -> None:
        release.wait(60)
        raise AssertionError(
            "a handler released within the deadline would have its chunk committed"
        )

    group = steer(group_of(testbed), hang)
    settings = testbed.settings(stall_timeout_s=1.0, halt_timeout_s=0.5)
    with ThreadWorker(settings, [group]) as worker:
        worker.wait(lambda: not worker.worker.health.is_live())
        release.set()
        assert worker.join() == 1
    assert testbed.committed(testbed.topics.rows) == 0


def test_ready_only_once_the_partitions_are_restored(testbed: EngineTestbed) -> None:
    worker = ThreadWorker(testbed.settings(), [group_of(testbed)])
    assert not worker.worker.health.is_ready()
    with worker:
        worker.wait(worker.worker.health.is_ready)
        assert worker.worker.health.is_live()
    assert not worker.worker.health.is_ready()


def test_i3_rewound_group_applies_nothing_twice(testbed: EngineTestbed) -> None:
    run_until_drained(testbed)
    testbed.move_group(testbed.topics.adjustments, 0)
    testbed.produce(testbed.topics.adjustments, 0, [(b"P0-1", b"7")])
    seen = run_until_drained(testbed)
    assert seen.fence_skips == testbed.partitions * 100
    assert seen.applied == 1
    assert testbed.totals() == testbed.expected()


def test_group_moved_past_unread_records_stops_the_worker(testbed: EngineTestbed) -> None:
    run_until_drained(testbed)
    for partition in range(testbed.partitions):
        testbed.produce(testbed.topics.adjustments, partition, [(b"P0-1", b"7")] * 10)
    testbed.move_group(testbed.topics.adjustments, 105)
    with ThreadWorker(testbed.settings(), [group_of(testbed)]) as worker:
        assert worker.join() == 1
    assert testbed.committed(testbed.topics.adjustments) == testbed.partitions * 105
    seen = run_until_drained(testbed, allow_state_gap=True)
    assert seen.gaps >= testbed.partitions * 5
    assert seen.applied == testbed.partitions * 5


def test_topics_a_broker_did_not_know_are_assigned_later(testbed: EngineTestbed) -> None:
    """A broker that has just started may answer before it knows its topics."""
    worker = ThreadWorker(testbed.settings(metadata_max_age_s=1.0), [group_of(testbed)])
    assignor = worker.worker.app.assignor
    assign = assignor.assign
    asked: list[Any] = []

    def assign_unknown_first(cluster: Any, members: Any) -> Any:
        if not asked:
            cluster._partitions.clear()
        asked.append(members)
        return assign(cluster, members)

    assignor.assign = assign_unknown_first
    with worker:
        testbed.wait_until_drained(deadline_s=30)
    assert len(asked) > 1
