"""The watchdog: what counts as progress, and what does not stop a worker."""

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import BrokerUnavailableError
from streams.engine import NoInstruments
from streams.engine.errors import SourceChangedError, StalledError, TopicMissingError
from streams.engine.health import Health

pytestmark = pytest.mark.asyncio

_STALL_S = 10.0


class Lags(NoInstruments):
    def __init__(self) -> None:
        self.records: list[int] = []

    def lag(self, topic: str, partition: int, records: int) -> None:
        self.records.append(records)


class Idle:
    """A processor that has done nothing for longer than is allowed."""

    def __init__(self) -> None:
        self.group = SimpleNamespace(name="g")
        self.partition = 0
        self.is_ready = True
        self.has_ended = False
        self.positions = {"t": 5}
        self.touched = asyncio.Event()
        self.progressed_at_s = time.monotonic() - _STALL_S - 1

    def touch(self) -> None:
        self.progressed_at_s = time.monotonic()
        self.touched.set()


def health_of(
    processor: Idle, end: int | None, now_s: Callable[[], float] = time.monotonic
) -> tuple[Health, Lags]:
    lags = Lags()
    app: Any = SimpleNamespace(
        settings=SimpleNamespace(stall_timeout_s=_STALL_S),
        groups=[SimpleNamespace(processors={0: processor})],
        consumer=SimpleNamespace(highwater=lambda _: end, failure=lambda: None),
        started=True,
        has_failed=False,
        consumer_generation_id=1,
        rebalancing=False,
    )
    return Health(app, lags, now_s=now_s), lags


async def watched(health: Health) -> None:
    """Watch until something is found."""
    await asyncio.wait_for(health.watch(), 10)


@pytest.mark.parametrize(("end", "lags"), [(None, []), (5, [0]), (3, [0])])
async def test_no_lag_is_no_stall(end: int | None, lags: list[int]) -> None:
    """An end that is not known is none: so it is in a rebalance, and before the first fetch.

    A known end may be older than the position.
    """
    processor = Idle()
    health, seen = health_of(processor, end)
    watch = asyncio.create_task(health.watch())
    await asyncio.wait_for(processor.touched.wait(), 10)
    watch.cancel()
    assert health.is_live()
    assert seen.records == lags


async def test_lag_without_progress_is_a_stall() -> None:
    health, _ = health_of(Idle(), end=6)
    with pytest.raises(StalledError):
        await watched(health)
    assert not health.is_live()


@pytest.mark.fault("B1", place="streams/engine/health.py")
async def test_b1_a_partition_whose_work_has_ended_is_neither_live_nor_ready() -> None:
    processor = Idle()
    health, _ = health_of(processor, end=5)
    assert health.is_live()
    processor.has_ended = True
    assert not health.is_live()
    assert not health.is_ready()
    with pytest.raises(StalledError):
        await watched(health)


@pytest.mark.fault("D13", place="streams/engine/health.py")
async def test_d13_a_worker_to_which_nothing_comes_any_more_is_not_live() -> None:
    """Where nothing is fetched no end moves, and no lag is seen."""
    health, _ = health_of(Idle(), end=5)
    consumer: Any = health._app.consumer
    consumer.failure = lambda: RuntimeError("data retrieval")
    with pytest.raises(StalledError, match="data retrieval"):
        await watched(health)
    assert not health.is_live()


async def test_a_consumer_that_has_lost_its_broker_ends_a_worker_for_that() -> None:
    health, _ = health_of(Idle(), end=5)
    consumer: Any = health._app.consumer
    lost = BrokerUnavailableError("the connection was lost")
    consumer.failure = lambda: lost
    with pytest.raises(BrokerUnavailableError) as caught:
        await watched(health)
    assert caught.value is lost
    assert not health.is_live()


@pytest.mark.parametrize("app", [{"started": False}, {"has_failed": True}], ids=str)
async def test_a_consumer_that_is_not_there_yet_or_has_failed_already_is_not_told(
    app: dict[str, bool],
) -> None:
    """The first failure is the one to be read; what ends after it ends because of it."""
    processor = Idle()
    health, _ = health_of(processor, end=5)
    consumer: Any = health._app.consumer
    consumer.failure = lambda: RuntimeError("data retrieval")
    for name, value in app.items():
        setattr(health._app, name, value)
    processor.has_ended = "has_failed" in app
    watch = asyncio.create_task(health.watch())
    await asyncio.wait_for(processor.touched.wait(), 10)
    watch.cancel()


class Checked:
    """A group whose checks of its topics end as told, the last one over and over."""

    def __init__(self, *ends: Exception | None) -> None:
        self.spec = SimpleNamespace(name="g")
        self.processors: dict[int, Any] = {}
        self.ends = list(ends)
        self.checks = 0

    def check_topics(self) -> None:
        end = self.ends[min(self.checks, len(self.ends) - 1)]
        self.checks += 1
        if end is not None:
            raise end


def health_of_topics(group: Checked) -> Health:
    app: Any = SimpleNamespace(
        settings=SimpleNamespace(stall_timeout_s=_STALL_S, topic_check_interval_s=0.0),
        groups=[group],
        has_failed=False,
    )
    return Health(app, NoInstruments())


def missing() -> TopicMissingError:
    return TopicMissingError("the broker does not know the topic", context={"topic": "t"})


@pytest.mark.fault("C12", place="streams/engine/health.py")
@pytest.mark.parametrize(
    "before", [[], [None], [missing(), None], [missing(), BrokerUnavailableError("no answer")]]
)
async def test_c12_a_topic_that_is_gone_in_two_checks_stops_the_worker(
    before: list[Exception | None],
) -> None:
    is_known = not before or before[-1] is None
    group = Checked(*before, missing())
    health = health_of_topics(group)
    assert health.is_live()
    with pytest.raises(SourceChangedError, match=r"deleted while it was in use.*topic=t"):
        await asyncio.wait_for(health.watch_topics(), 10)
    assert group.checks == len(before) + (2 if is_known else 1)
    assert not health.is_live()


async def test_an_event_loop_that_has_not_beaten_for_30_seconds_hangs() -> None:
    clock_s = [100.0]
    health, _ = health_of(Idle(), end=5, now_s=lambda: clock_s[0])
    clock_s[0] = 129.9
    assert health.is_live()
    clock_s[0] = 130.0
    assert not health.is_live()


@pytest.mark.parametrize(
    ("app", "processor"),
    [
        ({"started": False}, {}),
        ({"consumer_generation_id": 0}, {}),
        ({"rebalancing": True}, {}),
        ({"has_failed": True}, {}),
        ({}, {"is_ready": False}),
    ],
    ids=str,
)
async def test_a_worker_is_ready_once_all_it_owns_is_in_work(
    app: dict[str, Any], processor: dict[str, Any]
) -> None:
    owned = Idle()
    health, _ = health_of(owned, end=5)
    assert health.is_ready()
    for thing, changes in ((health._app, app), (owned, processor)):
        for name, value in changes.items():
            setattr(thing, name, value)
    assert not health.is_ready()


async def test_a_worker_that_stops_is_live_and_not_ready() -> None:
    health, _ = health_of(Idle(), end=5)
    health.begin_stop()
    assert health.is_live()
    assert not health.is_ready()


@pytest.mark.parametrize(("idle_s", "is_stalled"), [(_STALL_S, False), (_STALL_S + 0.25, True)])
async def test_a_partition_with_lag_may_stand_still_for_so_long(
    idle_s: float, is_stalled: bool
) -> None:
    processor = Idle()
    processor.progressed_at_s = 100.0
    health, seen = health_of(processor, end=7, now_s=lambda: 100.0 + idle_s)
    watch = asyncio.create_task(health.watch())
    await asyncio.sleep(0)
    assert watch.done() is is_stalled
    watch.cancel()
    await asyncio.wait({watch})
    assert health.is_live() is not is_stalled
    assert seen.records == [2]
    if is_stalled:
        assert isinstance(watch.exception(), StalledError)


async def test_a_partition_that_restores_has_work() -> None:
    """It is live as long as it goes on; nothing that it does not know is told as lag 0."""
    processor = Idle()
    processor.is_ready, processor.positions = False, {}
    health, seen = health_of(processor, end=None)
    with pytest.raises(StalledError):
        await watched(health)
    assert seen.records == []
