"""The state log and the source positions on a real Kafka."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.stack.settings import Part
from schemas.errors import BrokerUnavailableError
from streams.engine import EngineSettings
from streams.engine.errors import StateGapError
from streams.engine.state_log import StateLog
from streams.engine.state_store import StateStore
from tests.support.engine_testbed import EngineTestbed
from tests.support.stack import running_stack, stack_directory, stack_settings

_REPOSITORY = Path(__file__).parents[2]

_ASK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from schemas.errors import TransientError
from streams.engine import EngineSettings
from streams.engine.state_log import StateLog

def ask(app_id):
    settings = EngineSettings(
        app_id=app_id, bootstrap_servers=sys.argv[1], state_dir=Path("unused")
    )
    log = StateLog("log", settings)
    while True:
        try:
            return log.source_positions(["source"], 0)["source"].start
        except TransientError:
            pass

with ThreadPoolExecutor(16) as pool:  # many at once: one will ask at the wrong moment
    print(set(pool.map(ask, (f"app-{number}" for number in range(16)))))
"""


@pytest.mark.stack
@pytest.mark.crash
def test_positions_may_be_asked_for_before_the_group_has_a_coordinator() -> None:
    """On a new cluster the first question is answered with an error; it must not be the end."""
    with stack_directory() as directory:
        settings = stack_settings(directory, {}, frozenset({Part.KAFKA}))
        with running_stack(settings) as stack:
            servers = stack.addresses.bootstrap_servers
            admin = AdminClient({"bootstrap.servers": servers})
            for created in admin.create_topics([NewTopic("source", 1, 1)]).values():
                created.result()
            # In a process of its own, for what went wrong here was a segmentation fault.
            asked = subprocess.run(
                [sys.executable, "-c", _ASK, servers],
                cwd=_REPOSITORY,
                capture_output=True,
                text=True,
                check=False,
            )
    assert (asked.returncode, asked.stdout) == (0, "{0}\n"), asked.stderr


def test_every_partition_hears_that_no_broker_answers(tmp_path: Path) -> None:
    """They share a client; who gives up first must not leave the others waiting for ever."""
    settings = EngineSettings(app_id="a", bootstrap_servers="127.0.0.1:1", state_dir=tmp_path)
    log = StateLog("log", settings)
    pool = ThreadPoolExecutor(8)
    asked = [pool.submit(log.identities, []) for _ in range(2)]
    asked += [pool.submit(log.bounds, partition) for partition in range(6)]
    for answer in asked:
        assert isinstance(answer.exception(timeout=30), BrokerUnavailableError)
    pool.shutdown()


class OneLog:
    """A state log of one partition, and what is restored from it."""

    def __init__(self, testbed: EngineTestbed, policy: str = "compact", **settings: Any) -> None:
        self.testbed = testbed
        self.topic = testbed.topics.state
        testbed.create_state_topics(self.topic, policy=policy)
        self.settings = testbed.settings(**settings)
        self.log = StateLog(self.topic, self.settings)
        self.store = StateStore(self.settings.state_dir / "0", self.settings)
        self.store.open("log")

    def write(self, *keys: bytes) -> None:
        self.testbed.commit(self.topic, 0, [(key, b"v") for key in keys])

    def catch_up(self) -> int:
        return self.log.catch_up(
            0, self.store, stop=threading.Event(), progress=lambda records, seconds: None
        )

    def held(self) -> list[bytes]:
        return [key for key, _ in self.store.scan(b"") if not key.startswith(b"!")]


@pytest.fixture
def testbed(kafka: str, tmp_path: Path) -> EngineTestbed:
    return EngineTestbed(kafka, tmp_path, partitions=1)


@pytest.mark.stack
def test_an_empty_log_restores_nothing(testbed: EngineTestbed) -> None:
    log = OneLog(testbed)
    assert (log.catch_up(), log.held(), log.store.log_offset) == (0, [], None)


@pytest.mark.stack
def test_i6_a_single_record_is_restored_once(testbed: EngineTestbed) -> None:
    """Behind it is only the marker of its transaction, which nobody can read."""
    log = OneLog(testbed)
    log.write(b"a")
    assert (log.catch_up(), log.held()) == (1, [b"a"])
    assert log.catch_up() == 0
    log.write(b"b")
    assert (log.catch_up(), log.held()) == (1, [b"a", b"b"])


@pytest.mark.stack
def test_i6_a_log_ends_where_its_open_transaction_does(testbed: EngineTestbed) -> None:
    log = OneLog(testbed)
    open_transaction = testbed.open_transaction(log.topic, 0, [(b"a", b"v")])
    with ThreadPoolExecutor(1) as pool:
        restored = pool.submit(log.catch_up)
        open_transaction.commit_transaction(20)
        assert (restored.result(30), log.held()) == (1, [b"a"])


@pytest.mark.stack
def test_i6_a_log_whose_head_was_deleted_restores_no_part_of_a_state(
    testbed: EngineTestbed,
) -> None:
    """A log is compacted, never cut off: what lay below the cut is in no other place.

    Kafka itself sees to it as long as the topic is compacted only.
    """
    log = OneLog(testbed, "compact,delete")
    log.write(b"a", b"b", b"c")
    testbed.delete_head(log.topic, 0, 2)
    with pytest.raises(StateGapError, match="head"):
        log.catch_up()


@pytest.mark.stack
def test_a_log_that_was_emptied_restores_nothing(testbed: EngineTestbed) -> None:
    log = OneLog(testbed, "compact,delete")
    log.write(b"a")
    testbed.delete_head(log.topic, 0, 2)
    assert (log.catch_up(), log.held()) == (0, [])


@pytest.mark.stack
def test_a_deleted_head_does_not_matter_to_a_state_that_has_it(testbed: EngineTestbed) -> None:
    log = OneLog(testbed, "compact,delete")
    log.write(b"a", b"b")
    log.catch_up()
    log.write(b"c")
    testbed.delete_head(log.topic, 0, 2)
    assert (log.catch_up(), log.held()) == (1, [b"a", b"b", b"c"])


@pytest.mark.stack
def test_an_operator_may_go_on_with_what_is_left_of_a_log(testbed: EngineTestbed) -> None:
    log = OneLog(testbed, "compact,delete", allow_state_gap=True)
    log.write(b"a", b"b", b"c")
    testbed.delete_head(log.topic, 0, 2)
    assert (log.catch_up(), log.held()) == (1, [b"c"])


@pytest.mark.stack
def test_a_state_is_no_younger_for_being_restored_in_part(testbed: EngineTestbed) -> None:
    """A tombstone that still lies ahead may be compacted away before the rest is read."""
    log = OneLog(testbed)
    log.write(b"a")
    log.catch_up()
    log.store.apply({}, log.store.log_offset or 0, complete_at_s=1_000.0)
    log.write(*(b"%d" % number for number in range(25_000)))
    stop = threading.Event()

    def stop_amid(records: int, _seconds: float) -> None:
        if records:  # a slow broker has sent none yet
            stop.set()

    read = log.log.catch_up(0, log.store, stop=stop, progress=stop_amid)
    assert 0 < read < 25_000
    assert log.store.complete_at_s == 1_000.0
    assert log.catch_up() == 25_000 - read
    assert (log.store.complete_at_s or 0.0) > 1_000.0
