"""One group on one partition: takes chunks in order, folds, commits, keeps the local state.

Owns what only one worker may hold: the RocksDB directory and the queue of chunks; it commits as the
member of the consumer group that the partition was given to. Opened at assignment, halted at
revocation, never reused.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

import stamina
import structlog

from runtime.clocks import SKEW
from runtime.retries import tell_recovered, tell_retry
from runtime.threads import in_daemon_thread
from schemas.errors import DeadLetterLimitError, RecordTooLargeError, TransientError
from streams.engine.commit import EncodedCommit, Part
from streams.engine.committer import Committer
from streams.engine.contract import (
    Accounting,
    Chunk,
    ChunkHandler,
    Effects,
    GroupSpec,
    State,
    joined,
)
from streams.engine.errors import (
    AccountingError,
    SourceChangedError,
    StateDamagedError,
    StateGapError,
    StateLayoutError,
)
from streams.engine.flow import Delivery, FlowWindow
from streams.engine.instruments import Instruments
from streams.engine.marks import Mark
from streams.engine.membership import Member
from streams.engine.poison import (
    PROCESS_ENDS,
    UndigestedError,
    failure_of,
    is_of_records,
    putting_aside,
)
from streams.engine.positions import Fence, Place, Source, check_gap, next_offset
from streams.engine.seams import Seams
from streams.engine.settings import EngineSettings
from streams.engine.state_log import StateLog
from streams.engine.state_store import (
    FENCE_PREFIX,
    FLOOR_KEY,
    LAYOUT_KEY,
    fence_key,
    layout_of,
    source_key,
)
from streams.engine.tally import Tally, tally_key
from streams.engine.tracing import ChunkTracing, Working

_FEW_RECORDS = 1_000

_log = structlog.get_logger()
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What all processors of a worker share."""

    settings: EngineSettings
    instruments: Instruments
    window: FlowWindow
    committer: Committer
    threads: Executor
    fail: Callable[[BaseException], None]
    """Stops the process with this error. Called at most once per processor."""
    seams: Seams
    tracing: ChunkTracing | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A chunk's effects, ready to be committed and then written to the local state."""

    changes: dict[bytes, bytes | None]
    commit: EncodedCommit
    tally: Tally
    accounting: Accounting
    notices: Sequence[str]
    folded_at_s: float


class PartitionProcessor:
    """Runs the handlers of one group on one partition, one chunk at a time."""

    def __init__(
        self,
        group: GroupSpec,
        partition: int,
        member: Member,
        log: StateLog,
        parts: EngineParts,
    ) -> None:
        settings = parts.settings
        self.group = group
        self.partition = partition
        self.is_ready = False
        self.progressed_at_s = time.monotonic()
        self.positions: dict[str, int] = {}
        """The committed position in each source topic, once ready."""
        self._tallies: dict[str, Tally | None] = {}
        self.topic_ids: dict[str, str] = {}
        """The ids of the state log and of the sources, as of the last restore."""
        self._anew: set[str] = set()
        """Sources whose fence is void until their next chunk is committed."""
        self._unwritten: dict[bytes, bytes] = {}
        """What the state does not say of its layout, its sources and its floor yet."""
        self._floor_ms = 0
        """The earliest time that handlers are told; see `_begin`."""
        self._counted: dict[bytes, bytes] = {}
        """What the state holds under the prefix whose values are counted."""
        self.log_end = 0
        """End of the state log when the partition was opened."""
        self._parts = parts
        self._member = member
        self._committer = parts.committer
        self._state_log = log
        self._handlers = group.handlers()
        seams = parts.seams
        self._reached = seams.reached
        self._store = seams.store(settings.state_dir / group.name / str(partition), settings)
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._waiting: list[Delivery] = []
        self._rebuilds = 0
        self._has_failed = False
        """Whether the last transaction was refused: only the log knows what the state is."""
        self._is_split = False
        """Whether the delivery in work is split: its parts would fail those of others."""
        self._working: Working | None = None
        """The span of what is in work, where that is traced."""
        self._stop = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = _log.bind(group=group.name, partition=partition)

    async def open(self) -> None:
        """Restore and process in the background.

        Quick, for it runs inside the rebalance: the restore itself does not hold it up. Only a log
        that is without its leader is waited for, since the loss of a broker begins a rebalance
        too; after request_timeout_s raises BrokerUnavailableError.
        """
        self._reached(Mark.IN_REBALANCE)
        async for attempt in self._attempts(self._parts.settings.request_timeout_s):
            with attempt:
                # On a thread of its own: restores of other partitions may hold all that are shared.
                self.log_end = await in_daemon_thread(self._state_log.end, self.partition)
        if self._stop.is_set():
            return
        self._task = asyncio.create_task(self._run(), name=f"{self.group.name}/{self.partition}")

    def submit(self, delivery: Delivery) -> None:
        """Queue a chunk; the flow window bounds how many wait."""
        self._queue.put_nowait(delivery)

    @property
    def has_ended(self) -> bool:
        """Whether nobody works this partition any more, though it was not given up."""
        task = self._task
        return task is not None and task.done() and not self._stop.is_set()

    def touch(self) -> None:
        """Note that this partition makes progress, or has nothing to do."""
        self.progressed_at_s = time.monotonic()

    async def halt(self, deadline_s: float) -> None:
        """Finish the chunk in work if that takes no longer than `deadline_s`, else abandon it.

        An abandoned chunk is not applied locally; its owner tells from the log whether it counts.
        """
        self._stop.set()
        self.is_ready = False
        if self._task is not None and not self._task.done():
            if self._queue.empty():
                self._queue.put_nowait(_WAKE)
            _, late = await asyncio.wait({self._task}, timeout=deadline_s)
            if late:
                self._log.warning("worker.chunk_abandoned", deadline_s=deadline_s)
                self._task.cancel()
                await asyncio.wait({self._task})
        await in_daemon_thread(self._store.close)
        for topic in self._handlers:
            self._parts.instruments.given_up(topic, self.partition)
        self._parts.instruments.counted(self.group.name, self.partition, {})

    async def _run(self) -> None:
        try:
            await self._recover()
            while not self._stop.is_set():
                deliveries = await self._next_deliveries()
                if self._stop.is_set() or not deliveries:
                    break
                await self._work(joined([delivery.chunk for delivery in deliveries]))
                for delivery in deliveries:
                    self._parts.window.leave(delivery)
        except asyncio.CancelledError:
            raise
        # Whatever a handler or the commit raises, the record must not be skipped: stop the process.
        # polars raises what is no Exception.
        except BaseException as error:
            if not self._stop.is_set():
                self._parts.fail(error)
            if isinstance(error, PROCESS_ENDS):
                raise

    async def _work(self, chunk: Chunk) -> None:
        tracing = self._parts.tracing
        if tracing is None:
            await self._digest(chunk)
            self._is_split = False
            return
        for part, contexts in await self._in_thread(lambda: tracing.parts(chunk)):
            with tracing.working(part, contexts, self.group.name) as self._working:
                await self._digest(part)
            self._working = None
            self._is_split = False

    async def _next_deliveries(self) -> list[Delivery]:
        """Wait for a delivery; take with it what follows it and waits as well.

        The longer chunks wait, the larger they are worked: a chunk costs the same whatever its
        size. After a silence no record is waited for, so an idle stream is not held back.
        """
        if not self._waiting:
            self._waiting.append(await self._queue.get())
        if len(self._waiting[0].chunk) < _FEW_RECORDS:
            await self._committer.due()
        while not self._queue.empty():
            self._waiting.append(self._queue.get_nowait())
        if any(delivery is _WAKE for delivery in self._waiting):
            return []
        taken = [self._waiting[0]]
        records = len(taken[0].chunk)
        for delivery in self._waiting[1:]:
            last, chunk = taken[-1].chunk, delivery.chunk
            if chunk.topic != last.topic:
                continue
            records += len(chunk)
            is_next = chunk.start_offset == last.end_offset
            if not is_next or records > self._parts.settings.max_chunk_records:
                break
            taken.append(delivery)
        are_taken = set(map(id, taken))  # equality would compare records
        self._waiting = [each for each in self._waiting if id(each) not in are_taken]
        return taken

    def _attempts(self, timeout_s: float) -> AsyncIterator[stamina.Attempt]:
        settings = self._parts.settings
        return stamina.retry_context(
            on=TransientError,
            attempts=None,
            timeout=timeout_s,
            wait_initial=settings.retry_backoff_s,
            wait_max=settings.retry_backoff_max_s,
        ).__aiter__()

    async def _recover(self) -> None:
        began = time.monotonic()
        records = 0
        failed: TransientError | None = None
        async for attempt in self._attempts(self._parts.settings.recovery_timeout_s):
            with attempt:
                try:
                    records = await asyncio.to_thread(self._catch_up)
                except TransientError as error:
                    failed = error
                    raise
        if failed is not None:
            tell_recovered(failed)
        if self._stop.is_set():
            return
        self.touch()
        self.is_ready = True
        self._tell_counted()
        self._log.info(
            "worker.partition_ready",
            restored_records=records,
            seconds=round(time.monotonic() - began, 3),
            positions=self.positions,
        )

    def _catch_up(self) -> int:
        """Restore, then compare the fences with the committed offsets. Runs in a thread.

        Raises TransientError where the local state was damaged and has been deleted.
        """
        try:
            return self._caught_up()
        except StateDamagedError as error:
            raise self._deleted(error) from error
        finally:
            rebuilds, self._rebuilds = self._store.rebuilds - self._rebuilds, self._store.rebuilds
            for _ in range(rebuilds):
                self._parts.instruments.state_rebuilt(self.group.name, self.partition)

    def _deleted(self, error: StateDamagedError) -> TransientError:
        """Delete the damaged local state; to be raised, for what comes next catches up."""
        self.is_ready = False
        self._store.reset(error.detail)
        return TransientError("the local state is rebuilt from its log", context=error.context)

    def _caught_up(self) -> int:
        topics = list(self._handlers)
        # Before the state is read: what is committed later is in the log later too.
        sources = self._state_log.source_positions(topics, self.partition)
        self.topic_ids = self._state_log.identities(topics)
        self._store.open(self.topic_ids[self.group.state_topic])
        records = self._state_log.catch_up(
            self.partition, self._store, stop=self._stop, progress=self._on_restored
        )
        if self._stop.is_set():
            return records
        self._check_layout(was_read=any(at.committed is not None for at in sources.values()))
        if self.group.counted is not None:
            self._counted = dict(self._store.scan(self.group.counted))
        # After it: no fence lies beyond an end that was asked for later.
        ends = self._state_log.source_ends(topics, self.partition)
        for topic, source in sources.items():
            found = Source(
                source.start, ends[topic], source.committed, self.topic_ids[topic], source.is_anew
            )
            self._place_in(topic, found)
        return records

    def _place_in(self, topic: str, source: Source) -> None:
        """Find where to go on in a source."""
        stored = self._store.fence(topic)
        fence = None if stored is None else Fence(stored, self._store.source_id(topic))
        try:
            position = next_offset(self._place(topic), fence, source)
        except StateGapError as error:
            self._report_gap(topic, error)
            position = 0 if fence is None else fence.offset + 1
            position = max(position, source.start, source.committed or 0)
        self.positions[topic] = position
        self._anew.discard(topic)
        if source.is_anew:
            self._anew.add(topic)
            self._log.warning("worker.source_read_anew", topic=topic, position=position)
        self._tallies[topic] = None if source.is_anew else self._store.tally(topic)
        if fence is None or fence.topic_id != source.topic_id:
            self._unwritten[source_key(topic)] = source.topic_id.encode()

    def _place(self, topic: str) -> Place:
        return Place(self.group.name, topic, self.partition)

    def _check_layout(self, *, was_read: bool) -> None:
        """Refuse state of another layout, or that begins in the middle."""
        self._unwritten.clear()
        self._floor_ms = self._store.floor_ms()
        wanted, stored = layout_of(self.group.layout), self._store.layout()
        if stored == wanted:
            return
        if stored is None and next(iter(self._store.scan(FENCE_PREFIX)), None) is None:
            self._begin(wanted, was_read=was_read)
            return
        raise StateLayoutError(
            f"the state has the layout {stored.decode()}, this version reads {wanted.decode()}"
            if stored is not None
            else "the state has no layout: it is of an earlier version, or its log was made again"
            " while a worker wrote to it",
            hint=f"stop all workers; `psastream rebuild {self.group.name}` computes the group anew",
            context={"group": self.group.name, "partition": self.partition},
        )

    def _begin(self, layout: bytes, *, was_read: bool) -> None:
        """Begin a state. One that was lost is of the present, however old what it is made of.

        For tables give their orders the times of records as revisions, and those of the lost state
        are settled: what is not newer has no effect any more.
        """
        self._unwritten[LAYOUT_KEY] = layout
        if was_read:
            now_ms = int((self._parts.seams.clock() + SKEW.total_seconds()) * 1_000)
            self._floor_ms = now_ms
            self._unwritten[FLOOR_KEY] = b"%d" % now_ms

    def check_topics(self, found: Mapping[str, str]) -> None:
        """Raise SourceChangedError if a topic is not the one it was, by the ids there are now."""
        for topic, known in self.topic_ids.items():
            if found[topic] == known:
                continue
            raise SourceChangedError(
                "the topic was deleted and made again while it was in use",
                hint="start the worker again: it says what can be done",
                context=self._place(topic).context(known_id=known, found_id=found[topic]),
            )

    def _count(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Keep the counted values in step with the state."""
        prefix = self.group.counted
        if prefix is None:
            return
        counted = {key: value for key, value in changes.items() if key.startswith(prefix)}
        for key, value in counted.items():
            if value is None:
                self._counted.pop(key, None)
            else:
                self._counted[key] = value
        if counted:
            self._tell_counted()

    def _tell_counted(self) -> None:
        counts = Counter(self._counted.values())
        self._parts.instruments.counted(self.group.name, self.partition, counts)

    def _on_restored(self, records: int, seconds: float) -> None:
        self._reached(Mark.RESTORING)
        self.touch()
        self._parts.instruments.recovery_progress(self.group.name, self.partition, records, seconds)

    def _report_gap(self, topic: str, error: StateGapError) -> None:
        """Raise `error`, unless gaps are allowed."""
        self._parts.instruments.state_gap(self.group.name, topic, self.partition, error.missing)
        if not self._parts.settings.allow_state_gap:
            raise error
        self._log.error(
            "worker.state_gap_allowed",
            code=error.code,
            error=error.detail,
            hint=error.hint,
            topic=topic,
        )

    async def _digest(self, chunk: Chunk) -> None:
        """Process a chunk; if it fails for its records, its halves; put aside the one at fault.

        Each part is a transaction of its own, so the next one folds the state with it. Upholds I5.
        """
        if self._stop.is_set():
            return
        try:
            await self._process(chunk, self._handlers[chunk.topic])
        except UndigestedError as error:
            self._is_split = True
            self.touch()
            if len(error.chunk) == 1:
                await self._put_aside(error)
                return
            halves = error.chunk.halves()
        else:
            return
        for half in halves:
            await self._digest(half)

    async def _put_aside(self, error: UndigestedError) -> None:
        """Dead-letter the only record of a chunk. Without its value where that is too large."""
        chunk, failure = error.chunk, failure_of(error.cause)
        self._log.error(
            "worker.dead_letter",
            topic=chunk.topic,
            offset=chunk.offsets[0],
            code=failure.code,
            error=failure.detail,
            hint=failure.hint,
        )
        assert self.group.dead_letters is not None
        handler = putting_aside(self.group.dead_letters, failure)
        try:
            await self._process(chunk, handler)
        except UndigestedError as again:
            if not isinstance(again.cause, RecordTooLargeError):
                raise again.cause from again
            await self._process(replace(chunk, values=(None,)), handler)
        if isinstance(error.cause, RecordTooLargeError):
            self._parts.instruments.oversize(self.group.name, chunk.topic)

    async def _process(self, chunk: Chunk, handler: ChunkHandler) -> None:
        """Apply what the state does not hold of a chunk.

        Raises UndigestedError where a record is at fault, with the part of the chunk to split.
        """

        async def attempt(is_again: bool) -> None:
            is_alone = is_again or self._has_failed
            if is_alone:
                if self._stop.is_set():
                    return
                await self._committer.ready()  # the log has the outcome of the last transaction
            if is_alone or chunk.start_offset != self.positions[chunk.topic]:
                # Records that seem to be left out may have been applied by an heir meanwhile;
                # those that seem to be held may be of another topic of this name.
                await asyncio.to_thread(self._catch_up)
                if self._stop.is_set():
                    return  # then it has ended early, and nothing may build on the state
                self._has_failed, self.is_ready = False, True
                self._tell_counted()
            try:
                fresh = self._of_the_present(self._fresh_part(chunk))
                await self._apply(fresh, handler, is_alone=is_alone or self._is_split)
            except StateDamagedError as error:
                raise await asyncio.to_thread(self._deleted, error) from error

        # Transient: the commit, or finding out how the last one ended.
        await self._retried(chunk, attempt, self._parts.settings.commit_attempts)

    async def _retried(
        self, chunk: Chunk, attempt: Callable[[bool], Awaitable[_T]], attempts: int | None
    ) -> _T:
        """Await `attempt` until it raises no TransientError, at most `attempts` times."""
        try:
            return await attempt(False)  # most need no more; each of stamina's contexts is garbage
        except TransientError as error:
            tell_retry(error, group=self.group.name, topic=chunk.topic, partition=self.partition)
            failed = error
        settings = self._parts.settings
        await asyncio.sleep(settings.retry_backoff_s)
        async for retry in stamina.retry_context(
            on=TransientError,
            attempts=None if attempts is None else attempts - 1,
            timeout=None,
            wait_initial=settings.retry_backoff_s,
            wait_max=settings.retry_backoff_max_s,
        ):
            with retry:
                self._parts.instruments.transient_retry(self.group.name, chunk.topic)
                done = await attempt(True)
                tell_recovered(failed)
                return done
        raise AssertionError("unreachable: the last attempt raises")

    def _fresh_part(self, chunk: Chunk) -> Chunk:
        """`chunk` without what the state already holds; it may cover nothing. Upholds I3."""
        try:
            check_gap(self._place(chunk.topic), self.positions[chunk.topic], chunk.start_offset)
        except StateGapError as error:
            self._report_gap(chunk.topic, error)
        fence = None if chunk.topic in self._anew else self._store.fence(chunk.topic)
        if fence is None:
            return chunk
        fresh = chunk.after(fence) if chunk.last_offset > fence else _nothing_after(chunk, fence)
        if len(fresh) < len(chunk):
            skipped = len(chunk) - len(fresh)
            self._parts.instruments.fence_skipped(self.group.name, chunk.topic, skipped)
            self._log.warning("worker.fence_skipped", topic=chunk.topic, records=skipped)
        return fresh

    def _of_the_present(self, chunk: Chunk) -> Chunk:
        """`chunk` with no time below the floor of the state."""
        if not self._floor_ms:
            return chunk
        return replace(chunk, timestamps_ms=[max(self._floor_ms, t) for t in chunk.timestamps_ms])

    async def _apply(self, chunk: Chunk, handler: ChunkHandler, *, is_alone: bool) -> None:
        """Fold, commit, and only then write the local state. Upholds I1.

        A chunk that covers nothing is committed too: it moves a position that was set back.
        """
        prepared = await self._prepare(chunk, handler)
        self._reached(Mark.BEFORE_TRANSACTION)
        part = Part(chunk, prepared.commit)
        try:
            log_offset = await self._committer.commit(part, self._member, is_alone=is_alone)
        except RecordTooLargeError as error:
            self._has_failed = True
            if len(chunk) and self.group.dead_letters is not None:
                raise UndigestedError(chunk, error) from error
            raise
        self._reached(Mark.AFTER_COMMIT)
        await self._in_thread(lambda: self._store.apply(prepared.changes, log_offset))
        self._reached(Mark.AFTER_LOCAL_WRITE)
        self.positions[chunk.topic] = chunk.end_offset
        self._count(prepared.changes)
        self._tallies[chunk.topic] = prepared.tally
        self._anew.discard(chunk.topic)
        self._unwritten = {k: v for k, v in self._unwritten.items() if k not in prepared.changes}
        self.touch()
        instruments, group = self._parts.instruments, self.group.name
        instruments.commit_seconds(group, chunk.topic, time.monotonic() - prepared.folded_at_s)
        instruments.chunk_applied(group, chunk.topic, chunk.partition, prepared.accounting)
        if self._working is not None:
            self._working.committed(prepared.accounting)
        for notice in prepared.notices:
            self._log.warning("worker.source_noticed", topic=chunk.topic, notice=notice)
            instruments.noticed(group, chunk.topic, notice)

    async def _prepare(self, chunk: Chunk, handler: ChunkHandler) -> "_Prepared":
        """Call the handler until it returns; a TransientError never skips the chunk."""

        async def attempt(is_again: bool) -> _Prepared:
            if is_again:
                self.touch()  # waiting is not a stall
            began = time.monotonic()
            is_quick = len(chunk) < _FEW_RECORDS
            with self._committer.folding() if is_quick else nullcontext():
                prepared = await self._in_thread(lambda: self._fold(chunk, handler))
            if len(chunk):
                seconds = prepared.folded_at_s - began
                self._parts.instruments.handler_seconds(self.group.name, chunk.topic, seconds)
            return prepared

        return await self._retried(chunk, attempt, None)

    def _fold(self, chunk: Chunk, handler: ChunkHandler) -> "_Prepared":
        """Work the effects out and encode them. Runs in a thread, in one go: each hand-over waits
        for a busy interpreter."""
        try:
            effects = Effects()
            if len(chunk):
                effects = checked_effects(handler, chunk, self._store)
            if self._working is not None:
                effects.headers = self._working.headers
            folded_at_s = time.monotonic()
            tally = self._tallies.get(chunk.topic) or Tally.beginning(chunk.start_offset)
            tally = tally.after(chunk, effects.accounting)
            changes = dict(effects.state)
            changes[fence_key(chunk.topic)] = b"%d" % chunk.last_offset
            changes[tally_key(chunk.topic)] = tally.to_bytes()
            for key in (LAYOUT_KEY, FLOOR_KEY, source_key(chunk.topic)):
                if key in self._unwritten:
                    changes[key] = self._unwritten[key]
            stamp = chunk.timestamps_ms[-1] if len(chunk) else None
            log = (self.group.state_topic, self.partition)
            commit = self._committer.encode(log, changes, effects, stamp)
        # A record that makes this fail fails in every life: whose fault it is decides what then.
        except BaseException as error:
            if self.group.dead_letters is None or not is_of_records(error, len(chunk)):
                raise
            raise UndigestedError(chunk, error) from error
        self._check_letters(chunk, tally, effects.accounting)
        return _Prepared(changes, commit, tally, effects.accounting, effects.notices, folded_at_s)

    def _check_letters(self, chunk: Chunk, tally: Tally, accounting: Accounting) -> None:
        """Refuse to commit further dead letters when there are too many. The tally is kept, so
        the next life refuses the same record, until one passes or the limit is raised."""
        settings = self._parts.settings
        if not accounting.dead_lettered or not tally.rate.exceeds(
            settings.dead_letter_run_max, settings.dead_letter_ratio_max
        ):
            return
        raise DeadLetterLimitError(
            f"{tally.rate.letters} of the last {tally.rate.records} records would be dead letters,"
            f" {tally.rate.run} of them in a row",
            hint="correct the worker, its mapping or the registry and start it again; if it is the"
            " records, raise the dead letter limits: see the runbook dead-letters",
            context={
                "group": self.group.name,
                "topic": chunk.topic,
                "partition": chunk.partition,
                "offset": chunk.start_offset,
            },
        )

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.threads, call)


def _nothing_after(chunk: Chunk, offset: int) -> Chunk:
    end = offset + 1
    return Chunk(chunk.topic, chunk.partition, end, end, (), (), (), ())


def checked_effects(handler: ChunkHandler, chunk: Chunk, state: State) -> Effects:
    """The handler's effects, if they account for every record. Upholds I5."""
    effects = handler(chunk, state)
    accounting: Accounting = effects.accounting
    if accounting.consumed != len(chunk):
        raise AccountingError(
            f"handler accounted for {accounting.consumed} of {len(chunk)} records",
            hint="each record is applied, stale, parked or dead-lettered, exactly once",
            context={"topic": chunk.topic, "partition": chunk.partition},
        )
    if any(key.startswith(b"!") for key in effects.state):
        raise AccountingError(
            "handler wrote a key that starts with '!'", context={"topic": chunk.topic}
        )
    return effects


_WAKE = Delivery(Chunk("", 0, 0, 0, (), (), (), ()), 0)
"""Makes an idle processor look at its stop flag."""
