"""Lookups on a real Kafka: projections come back through a topic, and a worker is killed."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.kafka import create_topics
from runtime.settings import Settings
from schemas.topics import PRODUCT_TOPICS
from tests.property.test_lookups import SQL, Ledger, comparable, ledger
from tests.support.engine_testbed import EngineTestbed

pytestmark = pytest.mark.stack

REPOSITORY = Path(__file__).parents[2]
WORKER = """
import sys
from streams.engine import EngineSettings, NoInstruments, create_app
from streams.worker import Worker
from tests.property.test_lookups import Ledger
settings = EngineSettings.model_validate_json(sys.argv[1])
sys.exit(Worker(create_app(settings, [Ledger(0, 1).group], NoInstruments())).run())
"""


@contextmanager
def worker(testbed: EngineTestbed, name: str) -> Iterator[None]:
    """A worker in a process of its own, killed at the end."""
    settings = testbed.settings(name).model_dump_json()
    process = subprocess.Popen([sys.executable, "-c", WORKER, settings], cwd=REPOSITORY)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def changed(books: Ledger, chance: random.Random, *, changes: int) -> None:
    """Have rows of all tables change and go."""
    names = ["id", "parent_id", "line_id", "header_id", "task_id", "cents"]
    words = {
        "project": ["p1", "p2"], "currency": ["EUR", "USD"], "state": ["open", "void"],
        "told": ["x"], "code": ["a"],
    }  # fmt: skip
    for _ in range(changes):
        name = chance.choice([*books.rows])
        row: dict[str, Any] = {each: chance.randint(1, 40) for each in names}
        row |= {each: chance.choice(some) for each, some in words.items()}
        row["parent_id"] = chance.choice([None, chance.randint(1, 40)])
        if chance.random() < 0.1:
            books.delete(name, row["id"])
        else:
            books.write(name, row)


def carry(books: Ledger, testbed: EngineTestbed) -> None:
    """Write to Kafka what was captured since."""
    for topic, partitions in books.topology.topics.items():
        for partition, log in enumerate(partitions):
            testbed.produce(topic, partition, [(key or b"", value) for _, key, value in log])
            log.clear()


def test_what_rows_look_up_equals_sql_though_a_worker_is_killed(kafka: str, tmp_path: Path) -> None:
    settings = Settings(
        bootstrap_servers=kafka, registry_url="http://127.0.0.1:1", replication_factor=1
    )
    topics = [*ledger().topics.values(), *PRODUCT_TOPICS]
    create_topics(settings.kafka, topics, replication_factor=1)
    testbed = EngineTestbed(kafka, tmp_path, partitions=4)
    books, chance = Ledger(0, 1), random.Random(1)
    read = [topic.name for topic in ledger().topics.values()]
    changed(books, chance, changes=300)
    carry(books, testbed)
    with worker(testbed, "first"):
        testbed.wait_until_drained(*read[:1])
    changed(books, chance, changes=300)
    carry(books, testbed)
    with worker(testbed, "second"):
        testbed.wait_until_drained(*read)
        testbed.wait_until_drained("psa.internal.projection")
    last: dict[bytes, bytes | None] = dict(testbed.read("psa.expense"))
    rows = [books.topology.decode(value) for value in last.values() if value is not None]
    assert comparable(rows) == books.query(SQL)
    assert rows
