"""Builds the Faust app of a worker from groups of chunk agents."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import faust

from schemas.errors import BrokerUnavailableError
from streams.engine.commit import TransactionalWriter
from streams.engine.committer import Committer
from streams.engine.connection import broker_urls, faust_options
from streams.engine.contract import GroupSpec
from streams.engine.flow import Delivery, FlowWindow
from streams.engine.group import GroupRuntime
from streams.engine.instruments import Instruments
from streams.engine.processor import EngineParts
from streams.engine.seams import Seams
from streams.engine.settings import EngineSettings
from streams.engine.table import StateLogTable
from streams.engine.topics import check_groups
from streams.engine.tracing import ChunkTracing
from streams.engine.transport import ChunkTransport
from streams.engine.worker_name import WorkerName


class EngineApp(faust.App):  # type: ignore[misc]
    """A Faust app that runs groups of chunk agents. Make one with `create_app`."""

    settings: EngineSettings
    groups: Sequence[GroupRuntime]
    window: FlowWindow
    committer: Committer
    threads: ThreadPoolExecutor
    _failure: BaseException | None = None
    _crashing: asyncio.Task[None] | None = None

    def fail(self, error: BaseException) -> None:
        """Stop the process with `error`. The first failure counts."""
        if self._failure is None:
            self._failure = error
            self._crashing = asyncio.create_task(self.crash(error))

    @property
    def has_failed(self) -> bool:
        """Whether this process must end: it may not have noticed yet."""
        return self._failure is not None or bool(self.crashed)

    def FlowControlQueue(self, maxsize: int | None = None, **_: Any) -> Any:
        """A queue that keeps what waits in it: Faust would clear it whenever the flow goes on.

        It resumes once more at the end of a rebalance, when chunks have come in already and the
        consumer's positions lie behind them. Those of an earlier generation the group drops.
        """
        return super().FlowControlQueue(maxsize, clear_on_resume=False)

    def _on_rebalance_when_stopped(self) -> None:
        # Faust closes the connection here, and then cannot leave the group: its partitions would
        # wait for the session to expire. The worker's stop deadline bounds the wait instead.
        pass

    def failure(self) -> BaseException | None:
        """Why the app has crashed, if it has."""
        return self._failure or (self.crash_reason if self.crashed else None)


def create_app(
    settings: EngineSettings,
    groups: Sequence[GroupSpec],
    instruments: Instruments,
    seams: Seams | None = None,
    tracing: ChunkTracing | None = None,
) -> EngineApp:
    """Wire the groups to a Faust app. Opens nothing: run it with `streams.worker.Worker`.

    `seams` are for tests. Without `tracing` nothing is traced, and no header is read.
    Raises ConfigError when two groups share a name or a topic.
    """
    check_groups(groups)
    app = EngineApp(settings.app_id, **_faust_settings(settings))
    window = FlowWindow(settings.chunks_max_bytes)
    threads = ThreadPoolExecutor(settings.handler_threads, thread_name_prefix="chunk")
    seams = seams or Seams()
    committer = Committer(settings, lambda: _named_writer(settings, seams))
    parts = EngineParts(settings, instruments, window, committer, threads, app.fail, seams, tracing)
    app.settings = settings
    app.window = window
    app.committer = committer
    app.threads = threads
    app.groups = [GroupRuntime(spec, parts) for spec in groups]
    app.transport = ChunkTransport(
        broker_urls(settings),
        app,
        chunk_topics=[topic for group in groups for topic in group.handlers()],
        window=window,
        buffer_max_bytes=settings.buffer_max_bytes,
        fetch_max_bytes=settings.fetch_max_bytes,
        fetch_interval_s=settings.fetch_interval_s,
        reads_contexts=tracing is not None,
    )
    for group in app.groups:
        app.tables.add(StateLogTable(app, group))
        for topic in group.spec.handlers():
            _add_agent(app, group, topic)
    app.on_partitions_revoked.connect(_halt_on_revoke, weak=False)
    return app


@contextmanager
def _named_writer(settings: EngineSettings, seams: Seams) -> Iterator[TransactionalWriter]:
    """The worker's writer; meanwhile no other process has its name."""
    name = WorkerName(settings.state_dir)
    try:
        yield seams.writer(settings.transactional_id(name.text), settings, seams.reached)
    finally:
        name.release()


def _faust_settings(settings: EngineSettings) -> dict[str, Any]:
    return {
        **faust_options(settings),
        "store": "memory://",
        "datadir": settings.state_dir / "faust",
        "processing_guarantee": "at_least_once",
        "key_serializer": "raw",
        "value_serializer": "raw",
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "recovery_consistency_check": False,  # the store reports the log as read to its end
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.instance_id,
        "consumer_max_fetch_size": settings.fetch_max_bytes,
        "consumer_metadata_max_age_ms": int(settings.metadata_max_age_s * 1000),
        "broker_max_poll_records": settings.max_chunk_records,
        "broker_max_poll_interval": settings.max_poll_interval_s,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.heartbeat_interval_s,
        "broker_request_timeout": settings.request_timeout_s,
        "broker_rebalance_timeout": settings.max_poll_interval_s,
        "stream_buffer_maxsize": 16,
        "stream_wait_empty": False,  # the processors finish their chunk themselves
        "stream_recovery_delay": 0.0,
        "web_enabled": False,
    }


def _add_agent(app: EngineApp, group: GroupRuntime, topic: str) -> None:
    async def forward(stream: AsyncIterator[Delivery]) -> None:
        async for delivery in stream:
            group.submit(delivery)

    source = app.topic(
        topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=group.spec.partitions,
    )
    app.agent(source, name=f"{group.spec.name}.{topic}")(forward)


async def _halt_on_revoke(app: EngineApp, revoked: set[Any], **_: Any) -> None:
    # Before the group is joined again: what is in work commits now, or its new owner aborts it.
    await asyncio.gather(*(group.halt() for group in app.groups))
    await app.committer.abandon()
    with suppress(BrokerUnavailableError):  # then the next owners wait for its time-out
        await app.committer.ready()
