"""One connector as its process runs it: opened when the broker is there, polled, ended in order."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import pytest
import structlog

from connectors.polled.bookmark import Bookmark
from connectors.polled.fingerprint import Fingerprint
from connectors.polled.kafka_log import KafkaLog
from connectors.polled.ledger import Ledger
from connectors.polled.main import (
    EXIT_CONFIG,
    Connector,
    run_connector,
    run_poller,
    spare_collector,
)
from connectors.polled.model import DeletePage, ObjectReader, Page, ReaderTraits
from connectors.polled.order_log import Told
from connectors.polled.orders import Action, Order, Orders
from connectors.polled.paging import PAGES_MAX, BrokenPagingError, Paging
from connectors.polled.source import PolledSource
from connectors.toolkit.metadata import Described
from runtime.health import Health
from runtime.settings import Settings
from schemas.codec.record import AvroSchema
from schemas.errors import BrokerUnavailableError, FatalError
from tests.support.catalogue import FIRM
from tests.support.jumping_clock import run_jumping
from tests.support.logging_back import logging_put_back
from tests.support.polled import Clock, MemoryLog, MemoryReader, MemoryTable, make_config

VENDORS = Path(__file__).parents[3] / "connectors" / "vendors"


class Log(MemoryLog):
    """A log in memory that can be opened, at first not."""

    def __init__(self, refusals: int = 0) -> None:
        super().__init__()
        self._refusals = refusals
        self.opened_at: list[float] = []
        self.is_closed = False

    async def open(self) -> dict[str, tuple[Bookmark | None, Ledger]]:
        self.opened_at.append(asyncio.get_running_loop().time())
        if len(self.opened_at) <= self._refusals:
            raise BrokerUnavailableError("no broker")
        return {"account": self.stored()}

    async def close(self) -> None:
        self.is_closed = True


class Source:
    """One object, changed by every poll, whose reading fails from some poll on."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.table = MemoryTable(Clock())
        self.polled_at: list[float] = []
        self._fails_at = fails_at
        self._reader = MemoryReader(self.table)

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        assert (obj, contract.name) == ("account", "psa.source.salesforce.Account")
        return self

    @property
    def traits(self) -> ReaderTraits:
        return self._reader.traits

    def key(self, row_id: str) -> Mapping[str, object]:
        return self._reader.key(row_id)

    def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        self.polled_at.append(asyncio.get_running_loop().time())
        if len(self.polled_at) == self._fails_at:
            raise FatalError("fenced")
        self.table.write("a", f"poll {len(self.polled_at)}")
        return self._reader.changes(since)

    def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        return self._reader.deletions(since)

    async def close(self) -> None:
        """Nothing to close."""


class DescribedSource(Source):
    """One whose API fails to describe it, in a way that would end a poller."""

    def __init__(self) -> None:
        super().__init__()
        self.described_at: list[float] = []

    async def describe(self, obj: str) -> Mapping[str, Described | None]:
        self.described_at.append(asyncio.get_running_loop().time())
        raise FatalError("worse than away") if len(self.described_at) % 2 else RuntimeError("no")


class NothingKept:
    """Nobody has accepted anything."""

    async def told(self) -> Told | None:
        return Told()

    async def keep(self, of: str, fingerprint: Fingerprint) -> None:
        raise AssertionError("nothing was described")


class Paused:
    """Every object is paused by a person."""

    async def of(self, system: str, obj: str) -> Sequence[Order]:
        return [Order("1", system, obj, Action.PAUSE, Clock()(), "ada@desk")]


async def run(
    log: Log,
    source: Source,
    health: Health,
    seconds: float,
    orders: Orders | None = None,
    **keys: object,
) -> None:
    config = make_config(**{"poll.interval.ms": 7_000, **keys})
    connector = Connector(config, cast(PolledSource, source), FIRM.bundles["salesforce"])
    running = run_connector(
        connector,
        cast(KafkaLog, log),
        source.table.clock,
        health=health,
        orders=orders,
        fingerprints=NothingKept(),
    )
    task = asyncio.create_task(running)
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
    await task


def test_a_connector_polls_at_its_interval_and_closes_its_log_at_the_end() -> None:
    log, source, health = Log(), Source(), Health()
    with pytest.raises(asyncio.CancelledError):
        run_jumping(run(log, source, health, 30))
    pauses_s = [after - before for before, after in itertools.pairwise(source.polled_at)]
    assert pauses_s
    assert all(7 <= pause_s < 14 for pause_s in pauses_s)
    assert log.state()["a"]["text"] == f"poll {len(source.polled_at)}"
    assert log.is_closed
    assert health.is_ready()


def test_no_failure_of_a_description_ends_a_poll_or_the_next_look() -> None:
    log, source, health = Log(), DescribedSource(), Health()
    with pytest.raises(asyncio.CancelledError):
        run_jumping(run(log, source, health, 60, **{"description.interval.ms": 10_000}))
    looks_s = [after - before for before, after in itertools.pairwise(source.described_at)]
    assert len(looks_s) >= 4
    assert all(10 <= look_s < 20 for look_s in looks_s)
    assert len(source.polled_at) >= 6
    assert health.is_ready()


def test_nobody_looks_where_the_interval_is_none_or_people_have_paused_the_object() -> None:
    source = DescribedSource()
    with pytest.raises(asyncio.CancelledError):
        run_jumping(run(Log(), source, Health(), 60, **{"description.interval.ms": 0}))
    assert source.polled_at and not source.described_at
    paused, often = DescribedSource(), {"description.interval.ms": 10_000}
    with pytest.raises(asyncio.CancelledError):
        run_jumping(run(Log(), paused, Health(), 60, Paused(), **often))
    assert not paused.polled_at and not paused.described_at


def test_a_fatal_error_of_an_object_ends_its_connector() -> None:
    log, source = Log(), Source(fails_at=2)
    with pytest.raises(FatalError, match="fenced"):
        run_jumping(run(log, source, Health(), 60))
    assert log.is_closed


def test_without_a_broker_a_connector_tries_with_growing_pauses_and_is_not_ready() -> None:
    log, source, health = Log(refusals=8), Source(), Health()
    with pytest.raises(asyncio.CancelledError):
        run_jumping(run(log, source, health, 100))
    assert not health.is_ready()
    assert not source.polled_at
    pauses_s = [after - before for before, after in itertools.pairwise(log.opened_at)]
    wanted_s = [1, 2, 4, 8, 16, 30, 30]
    for pause_s, least_s in zip(pauses_s, wanted_s, strict=False):
        assert least_s <= pause_s < 2 * least_s
    assert len(pauses_s) >= 6
    again = Log(refusals=1)
    with pytest.raises(asyncio.CancelledError):
        run_jumping(run(again, source, health, 20))
    assert source.polled_at


def test_a_poller_that_is_told_to_stop_ends_without_an_error() -> None:
    def stop_once_it_listens() -> None:
        while signal.getsignal(signal.SIGTERM) is before:
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL
    stopper = threading.Thread(target=stop_once_it_listens)
    stopper.start()
    settings = Settings(
        bootstrap_servers="127.0.0.1:1", registry_url="http://127.0.0.1:1", metrics_port=0
    )
    with logging_put_back():
        assert run_poller(settings, []) == 0
    stopper.join()


def test_without_an_environment_given_placeholders_stand_for_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FLOAT_URL", "FLOAT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(
        bootstrap_servers="127.0.0.1:1", registry_url="http://127.0.0.1:1", metrics_port=0
    )
    with logging_put_back():
        assert run_poller(settings, [VENDORS / "float" / "source.json"]) == EXIT_CONFIG
    assert "FLOAT_URL" in capsys.readouterr().err


def test_a_broker_that_answers_again_is_told_of_and_one_that_always_did_is_not() -> None:
    for refusals, told in ((2, ["retry.recovered"]), (0, [])):
        with structlog.testing.capture_logs() as lines, pytest.raises(asyncio.CancelledError):
            run_jumping(run(Log(refusals), Source(), Health(), 60))
        events = [line["event"] for line in lines]
        assert [event for event in events if event == "retry.recovered"] == told


def test_a_scan_without_end_is_refused() -> None:
    paging = Paging("a list")
    for page in range(PAGES_MAX):
        paging.go_on(page)
    with pytest.raises(BrokenPagingError, match="comes back"):
        paging.go_on(0)
    with pytest.raises(BrokenPagingError, match="gives no row to go on from"):
        paging.go_on(None)
    with pytest.raises(BrokenPagingError, match="does not end"):
        paging.go_on(PAGES_MAX)


def test_the_rows_of_a_page_are_not_walked_by_the_collector_while_they_are_read() -> None:
    before = gc.get_threshold()
    try:
        spare_collector()
        gc.collect()
        began = gc.get_stats()[0]["collections"]
        page = [{"id": number} for number in range(20_000)]
        assert gc.get_stats()[0]["collections"] == began
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    assert len(page) == 20_000
