"""`psastream readmodel run`: the process that keeps the read model, and what else is done to it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from psastream.exits import Exit
from psastream.landscape import read_firm
from psastream.read_model.conservation import Conservation, ConservationMetrics
from psastream.read_model.following import (
    PlaceLostError,
    fill,
    follow,
    is_sound,
    layout_of,
)
from psastream.read_model.landing import LandingTable, landing_tables
from psastream.read_model.metrics import ReadModelMetrics
from psastream.read_model.mirror import RetiredError
from psastream.read_model.store import Generation, Store
from runtime.health import Health
from runtime.kafka import KafkaSettings
from runtime.prometheus import serve_process
from runtime.renewal import Renewal
from runtime.retries import tell_recovered, tell_retry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import ConfigError, PsaStreamError, ReadModelUnavailableError

PART: Final = "read model"
SILENCE_S: Final = 120.0
"""Longest time that one transaction may take."""
PAUSE_S: Final = 2.0

_log = structlog.get_logger()


class BusyError(ReadModelUnavailableError):
    """Another process writes the read model."""

    code = "transient.read_model_busy"


class Keeper:
    """Keeps a read model: migrates, fills where that is needed, follows."""

    def __init__(
        self,
        url: Callable[[], str],
        kafka: KafkaSettings,
        tables: Sequence[LandingTable],
        serde: Serde,
        *,
        metrics: ReadModelMetrics,
        conservation: Conservation,
    ) -> None:
        """`url` tells where the database is, of now."""
        self._conservation = conservation
        self._url = url
        self._kafka = kafka
        self._tables = tables
        self._serde = serde
        self._metrics = metrics
        self._is_lost = False

    def keep(
        self,
        is_wanted: Callable[[], bool],
        beat: Callable[[bool], None],
        doubt: Callable[[PsaStreamError], None],
    ) -> None:
        """Work until it is not wanted any more. Raises what `fill` and `follow` do, and BusyError.

        What was done stays done: to be called again. `beat` and `doubt` are those of `follow`;
        while it fills, nothing is caught up.
        """
        self._serde.require_keys(self._kafka)
        with closing(Store(self._url())) as store:
            for name in store.migrate():
                _log.info("readmodel.migrated", migration=name)
            store.drop_retired()
            generation = self._sound(store, is_wanted, beat, doubt)
            if generation is None:
                return
            if not store.take(generation):
                raise BusyError(
                    "another process writes the read model",
                    hint="nothing need be done where it is to take over; else end one of the two",
                )
            if store.publish(generation, self._tables):
                _log.info("readmodel.views_made")
            live = generation

            def compare_and_beat(is_caught_up: bool) -> None:
                if is_caught_up:
                    self._conservation.look(lambda: store.differences(live))
                beat(is_caught_up)

            follow(
                store,
                generation,
                self._kafka,
                self._tables,
                self._serde.schema,
                metrics=self._metrics,
                opened=self._serde.opened,
                is_wanted=is_wanted,
                beat=compare_and_beat,
                doubt=doubt,
            )

    def lost(self) -> None:
        """The place in a topic was lost: fill a new generation next."""
        self._is_lost = True

    def _sound(
        self,
        store: Store,
        is_wanted: Callable[[], bool],
        beat: Callable[[bool], None],
        doubt: Callable[[PsaStreamError], None],
    ) -> Generation | None:
        """Return the live generation, or a new one where it cannot be gone on with."""
        live, layout = store.live(), layout_of(self._kafka, self._tables)
        if is_sound(live, layout) and not self._is_lost:
            return live
        if not store.take(None):
            raise BusyError(
                "another process fills the read model", hint="nothing need be done: wait for it"
            )
        if live is not None:
            _log.warning("readmodel.filled_anew", generation=live.number)
        filled = fill(
            store,
            self._kafka,
            self._tables,
            layout,
            self._serde.schema,
            metrics=self._metrics,
            opened=self._serde.opened,
            is_wanted=is_wanted,
            tell=lambda _: beat(False),
            doubt=doubt,
        )
        store.give(None)
        self._is_lost = False
        return filled


def run_read_model(settings: Settings) -> int:
    """Keep the read model until SIGTERM or SIGINT.

    Whatever is away, or refuses, is told and tried again: nobody else waits for it.
    """
    metrics, health, stop = ReadModelMetrics(), Health(), threading.Event()
    renewal, is_renewed = Renewal(settings.kafka), False
    keeper = _keeper(settings, metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    health.watch(PART, within_s=SILENCE_S)
    metrics.caught_up.set_function(health.is_ready)
    serve_process(
        settings,
        checks=health.checks(),
        reasons=health.reasons,
    )
    told: dict[str, PsaStreamError] = {}

    def beat(is_caught_up: bool) -> None:
        health.ready(PART, is_caught_up)
        while is_caught_up and told:
            tell_recovered(told.popitem()[1])

    def doubt(error: PsaStreamError) -> None:
        health.ready(PART, False, why_not=error.detail)

    def is_wanted() -> bool:
        nonlocal is_renewed
        health.beat(PART)
        is_renewed = is_renewed or renewal.is_due()
        return not (stop.is_set() or is_renewed)

    while not stop.is_set():
        is_renewed, why_not = False, ""
        renewal.began()
        try:
            keeper.keep(is_wanted, beat, doubt)
            if is_renewed:
                continue
        except RetiredError as error:
            _log.info("readmodel.rebuilt", error=error.detail)
            continue
        except PlaceLostError as error:
            tell_retry(error)
            keeper.lost()
            why_not = error.detail
        except PsaStreamError as error:
            tell_retry(error)
            told[error.code] = error
            why_not = error.detail
        health.ready(PART, False, why_not=why_not)
        stop.wait(PAUSE_S)
    return Exit.OK


def migrate(settings: Settings) -> list[str]:
    """Bring the database up to date, and views of what is live; return what was done."""
    tables = read_tables(settings)
    with closing(Store(url_of(settings))) as store:
        done = store.migrate()
        live = store.live()
        if live is not None and store.publish(live, tables):
            done.append("views")
    return done


def rebuild(settings: Settings, tell: Callable[[int], None]) -> Generation:
    """Fill a new generation beside the live one, and move the views to it in one transaction."""
    tables = read_tables(settings)
    serde = Serde.of(settings)
    serde.require_keys(settings.kafka)
    with closing(Store(url_of(settings))) as store:
        store.migrate()
        if not store.take(None):
            raise BusyError("the read model is being filled already", hint="wait for it")
        filled = fill(
            store,
            settings.kafka,
            tables,
            layout_of(settings.kafka, tables),
            serde.schema,
            metrics=ReadModelMetrics(CollectorRegistry()),
            opened=serde.opened,
            tell=tell,
        )
        assert filled is not None
    return filled


def read_tables(settings: Settings) -> tuple[LandingTable, ...]:
    """Return the landing tables of the firm. Raises ConfigError."""
    return landing_tables(read_firm(settings).topics)


def url_of(settings: Settings) -> str:
    """Return where the read model is. Raises ConfigError where nobody says it."""
    url = settings.now("read_model_url")
    if url is None:
        raise ConfigError(
            "no read model is configured",
            hint="PSASTREAM_READ_MODEL_URL=postgresql://user:password@host:5432/database",
        )
    return url


def _keeper(settings: Settings, metrics: ReadModelMetrics) -> Keeper:
    url_of(settings)
    tables, serde = read_tables(settings), Serde.of(settings)
    return Keeper(
        lambda: url_of(settings),
        settings.kafka,
        tables,
        serde,
        metrics=metrics,
        conservation=Conservation(ConservationMetrics()),
    )
