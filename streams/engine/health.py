"""Liveness, readiness and the watchdog of a worker.

Ready: assigned, not rebalancing, every owned partition restored. Live: the event loop beats and no
partition with lag stands still. Recovery is progress, so a long restore is live but not ready.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from faust.types import TP

from runtime.rights import refused
from schemas.errors import BrokerUnavailableError, TransientError
from streams.engine.app import EngineApp
from streams.engine.commit import code_of
from streams.engine.errors import SourceChangedError, StalledError, TopicMissingError
from streams.engine.instruments import Instruments
from streams.engine.processor import PartitionProcessor

_log = structlog.get_logger()

_BEAT_S = 1.0
_BEAT_MISSED_S = 30.0


class Health:
    """Watches one app. `is_live` and `is_ready` may be called from any thread."""

    def __init__(
        self,
        app: EngineApp,
        instruments: Instruments,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now_s = now_s
        self._app = app
        self._instruments = instruments
        self._stall_timeout_s = app.settings.stall_timeout_s
        self._beat_at_s = now_s()
        self._stalled: str | None = None
        self._is_stopping = False

    def is_live(self) -> bool:
        """False once the event loop hangs, or a partition has stalled or is worked by nobody."""
        beats = self._now_s() - self._beat_at_s < _BEAT_MISSED_S
        has_ended = any(processor.has_ended for processor in self._processors())
        return beats and self._stalled is None and not has_ended and not self._app.has_failed

    def is_ready(self) -> bool:
        """Whether this worker has joined its group and all it owns is being processed."""
        app = self._app
        return (
            self.is_live()
            and app.started
            and app.consumer_generation_id > 0
            and not app.rebalancing
            and not self._is_stopping
            and all(processor.is_ready for processor in self._processors())
        )

    def begin_stop(self) -> None:
        """Not ready any more, for good."""
        self._is_stopping = True

    async def watch(self) -> None:
        """Beat, report lag, raise StalledError when a partition or the consumer stands still."""
        while True:
            self._beat_at_s = self._now_s()
            self._check_consumer()
            for processor in self._processors():
                if processor.has_ended and not self._app.has_failed:
                    self._stalled = f"{processor.group.name}/{processor.partition}"
                    raise StalledError(
                        "the work of a partition has ended by itself",
                        hint="see the error before this one",
                        context={"partition": self._stalled},
                    )
                if not self._has_work(processor):
                    processor.touch()
                idle_s = self._now_s() - processor.progressed_at_s
                if idle_s > self._stall_timeout_s:
                    self._stalled = f"{processor.group.name}/{processor.partition}"
                    raise StalledError(
                        f"no progress for {idle_s:.0f} s although there is lag",
                        hint="see the log of the brokers and of the handlers",
                        context={"partition": self._stalled},
                    )
            await asyncio.sleep(_BEAT_S)

    def _check_consumer(self) -> None:
        """Raise StalledError where nothing comes any more: then no lag is known either."""
        failure = self._app.consumer.failure() if self._app.started else None
        if failure is not None and not self._app.has_failed:
            self._stalled = "consumer"
            if isinstance(failure, BrokerUnavailableError):
                raise failure
            detail = f"the consumer has ended by itself: {failure!r}"
            raise refused(detail, code_of(failure)) or StalledError(
                detail, hint="check the brokers"
            ) from failure

    async def watch_topics(self) -> None:
        """Raise SourceChangedError soon after a topic in use was deleted, made again or not.

        A fetch does not tell: the broker answers for whatever bears the name now, and of a topic
        that is gone nothing comes. A broker that has just started may not know its topics yet, so
        one must be missing in two checks in a row.
        """
        missing: dict[str, TopicMissingError] = {}
        while True:
            await asyncio.sleep(self._app.settings.topic_check_interval_s)
            for group in self._app.groups:
                before = missing.pop(group.spec.name, None)
                try:
                    await asyncio.to_thread(group.check_topics)
                except TopicMissingError as error:
                    missing[group.spec.name] = error
                    if before is not None:
                        raise self._deleted(error) from error
                    _log.warning(
                        "worker.topic_missing",
                        group=group.spec.name,
                        topic=error.context["topic"],
                        error=str(error),
                    )
                except TransientError:
                    # Nothing to compare with; whoever needs the broker says so.
                    if before is not None:
                        missing[group.spec.name] = before

    def _deleted(self, error: TopicMissingError) -> SourceChangedError:
        self._stalled = str(error.context["topic"])
        return SourceChangedError(
            "the topic was deleted while it was in use",
            hint="make it again, and start the worker: it says what can be done",
            context=error.context,
        )

    def _processors(self) -> list[PartitionProcessor]:
        return [p for group in self._app.groups for p in list(group.processors.values())]

    def _has_work(self, processor: PartitionProcessor) -> bool:
        """Whether something waits to be processed; tells the lag of each source."""
        has_lag = False
        for topic, position in list(processor.positions.items()):
            end = self._app.consumer.highwater(TP(topic, processor.partition))
            if end is not None:
                lag = max(0, end - position)
                self._instruments.lag(topic, processor.partition, lag)
                has_lag = has_lag or lag > 0
        # Before it is ready a partition has no known lag, but it has work.
        return has_lag or not processor.is_ready
