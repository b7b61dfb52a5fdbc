"""The page on the engine, followed to the letter."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import NewTopic

from tests.support.engine_testbed import EngineTestbed
from tests.support.eventually import eventually

pytestmark = pytest.mark.stack

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "engine.md"
TOPICS = ("hours", "totals", "hours-state")


def code_of(page: Path) -> str:
    """Every Python block of a page, as one module."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S))


@contextmanager
def running(module: Path, servers: str, state_dir: Path) -> Iterator[None]:
    """A process that does what the page says."""
    start = f"import pathlib, hours; hours.run({servers!r}, pathlib.Path({str(state_dir)!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(module.parent)!r}); {start}"],
        cwd=REPOSITORY,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_the_page_gives_exact_totals_although_a_process_is_killed(
    kafka: str, tmp_path: Path
) -> None:
    module = tmp_path / "hours.py"
    module.write_text(code_of(PAGE))
    testbed = EngineTestbed(kafka, tmp_path)
    testbed.app_id = "hours"
    config = {"hours-state": {"cleanup.policy": "compact"}}
    testbed.create(NewTopic(name, 2, 1, config=config.get(name, {})) for name in TOPICS)
    testbed.produce("hours", 0, [(b"P1", b"3"), (b"P2", b"4"), (b"P1", b"5")])
    with running(module, kafka, tmp_path / "first"):
        testbed.wait_until_drained("hours")
    testbed.produce("hours", 0, [(b"P1", b"1")])
    testbed.produce("hours", 1, [(b"P3", b"7")])
    with running(module, kafka, tmp_path / "second"):
        testbed.wait_until_drained("hours")
        totals = eventually(lambda: dict(testbed.read("totals")), deadline_s=30)
    assert totals == {b"P1": b"9", b"P2": b"4", b"P3": b"7"}
