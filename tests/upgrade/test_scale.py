"""One worker, then three, then one again, while people work: with volumes that are kept, and lost.

Workers are named as the pods of a StatefulSet are, and the one of the highest number goes first.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient

from psastream.worker import APP_ID
from sandbox.demo.options import StoryLandscape
from schemas.topics import PARTITIONS
from tests.support.eventually import eventually
from tests.upgrade.firm import READY_S, Firm, founded
from tests.upgrade.releases import PRESENT

pytestmark = pytest.mark.stack

LANDSCAPE: Final = StoryLandscape(psa="harvest")


@pytest.fixture(scope="module")
def firm() -> Iterator[Firm]:
    """A firm with one worker, and a story behind it."""
    with founded(LANDSCAPE, {}) as firm:
        firm.deploy(PRESENT)
        for name in ("worker-0", "poller", "dispatcher"):
            firm.start(name, PRESENT, is_awaited=False)
        firm.tell("firm", "deal", "refusal", "tax", "projects", "staffing")
        yield firm


def test_workers_come_and_go_under_load_and_every_book_agrees(
    firm: Firm, checked: Counter[str]
) -> None:
    def in_to_1() -> None:
        firm.stack.stop("worker-2")
        firm.stack.stop("worker-1")

    steps: dict[str, tuple[Callable[[], None], int]] = {
        "out to 2": (lambda: firm.start("worker-1", PRESENT), 2),
        "out to 3": (lambda: firm.start("worker-2", PRESENT), 3),
        "in to 2": (lambda: firm.stack.stop("worker-2"), 2),
        "out to 3 with the volume kept": (lambda: firm.start("worker-2", PRESENT), 3),
        "a volume lost": (lambda: lose_volume(firm, "worker-1"), 3),
        "in to 1": (in_to_1, 1),
    }

    def scale() -> None:
        for step, (do, workers) in steps.items():
            began_s = time.monotonic()
            do()
            wait_for(firm, workers)
            print(f"{step}: {time.monotonic() - began_s:.1f} s")
            checked["steps of scaling"] += 1

    changes = firm.while_working(scale)

    assert firm.differences() == []
    assert changes > 100
    firm.ask(PRESENT, "prove", "accounting")
    checked["changes while scaling"] += changes


def lose_volume(firm: Firm, name: str) -> None:
    """Start a worker again without what it had on its disk."""
    firm.stack.stop(name)
    shutil.rmtree(firm.folder / name)
    firm.start(name, PRESENT)


def wait_for(firm: Firm, workers: int) -> None:
    """Wait until so many share the partitions, and are ready to work on them."""
    eventually(lambda: shares(firm) == shared_by(workers), deadline_s=READY_S)
    for number in range(workers):
        eventually(lambda: firm.is_ready(f"worker-{number}"), deadline_s=READY_S)  # noqa: B023


def shares(firm: Firm) -> list[int]:
    """How many partitions each worker in the group has of a topic that all read, the most first."""
    admin = AdminClient(firm.layout.parts.kafka.client())
    group = admin.describe_consumer_groups([APP_ID])[APP_ID].result(10)
    owned = [
        sum(place.topic == "psa.time_entry" for place in member.assignment.topic_partitions)
        for member in group.members
    ]
    return sorted(owned, reverse=True)


def shared_by(workers: int) -> list[int]:
    """How many partitions each of so many has."""
    return sorted((len(range(each, PARTITIONS, workers)) for each in range(workers)), reverse=True)
