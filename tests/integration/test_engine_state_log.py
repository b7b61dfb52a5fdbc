"""The state log and the source positions on a real Kafka."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.stack.settings import Part
from schemas.errors import BrokerUnavailableError
from streams.engine import EngineSettings
from streams.engine.state_log import StateLog
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
    asked = [pool.submit(log.identity) for _ in range(2)]
    asked += [pool.submit(log.bounds, partition) for partition in range(6)]
    for answer in asked:
        assert isinstance(answer.exception(timeout=30), BrokerUnavailableError)
    pool.shutdown()
