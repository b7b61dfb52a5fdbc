"""The one transaction a worker has open at a time: whatever is ready when it begins goes into it.

A transaction costs the client and the broker nearly the same whatever it carries, so a worker
commits all its groups and partitions together, as Kafka Streams does. What has failed once goes
alone, so that a partition that cannot be written to keeps the others waiting once and not for ever.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from schemas.errors import BrokerUnavailableError, RecordTooLargeError
from streams.engine.batches import TopicPartition as Target
from streams.engine.commit import EncodedCommit, Part, TransactionalWriter
from streams.engine.contract import Effects
from streams.engine.errors import CommitOutcomeUnknownError
from streams.engine.membership import Member
from streams.engine.settings import EngineSettings


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A part in line, and where its state log offset is told."""

    part: Part
    member: Member
    is_alone: bool
    done: asyncio.Future[int]


class Committer:
    """Commits what the partitions of a worker hand in. Used on the event loop only."""

    def __init__(
        self,
        settings: EngineSettings,
        writer: Callable[[], AbstractContextManager[TransactionalWriter]],
    ) -> None:
        """`writer`: what it commits with, in a context that is left when it is closed."""
        self._settings = settings
        self._make_writer = writer
        self._held = ExitStack()
        self._writer: TransactionalWriter | None = None
        self._is_usable = False
        """Whether a transaction may begin: the last one has ended well."""
        self._is_closed = False
        self._lock = asyncio.Lock()
        self._line: list[_Waiting] = []
        self._folding = 0
        self._changed = asyncio.Event()
        self._began_s = -float("inf")
        self._task: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Return once a transaction may begin. What the last one came to, the state logs tell.

        Raises BrokerUnavailableError; ConfigError where another worker has the state directory.
        """
        async with self._lock:
            await self._usable()

    async def _usable(self) -> TransactionalWriter:
        if self._is_closed:
            raise BrokerUnavailableError("the worker has given up its transactions: it stops")
        if self._writer is None:
            self._writer = self._held.enter_context(self._make_writer())
        if not self._is_usable:
            # Fences ourselves, which ends the last transaction; the logs have its outcome.
            await self._writer.open()
            self._is_usable = True
        return self._writer

    async def due(self) -> None:
        """Wait until few records may be worked: they gather for `commit_interval_s`.

        Nobody waits for this after a silence of that length.
        """
        await asyncio.sleep(self._began_s + self._settings.commit_interval_s - time.monotonic())

    @contextmanager
    def folding(self) -> Iterator[None]:
        """Have the next transaction wait for what is folded here, if that takes no longer than
        `commit_interval_s`."""
        self._folding += 1
        try:
            yield
        finally:
            self._folding -= 1
            self._changed.set()

    def encode(
        self,
        log: Target,
        state: Mapping[bytes, bytes | None],
        effects: Effects,
        timestamp_ms: int | None,
    ) -> EncodedCommit:
        """As `TransactionalWriter.encode`. May be called from any thread, once it was ready."""
        assert self._writer is not None
        return self._writer.encode(log, state, effects, timestamp_ms)

    async def commit(self, part: Part, member: Member, *, is_alone: bool = False) -> int:
        """Commit a part with all others that are ready; return the offset of its last log record.

        `is_alone`: with no other part. Raises what `TransactionalWriter.commit` raises.
        RecordTooLargeError is of this part; if it may be another's, CommitOutcomeUnknownError.
        """
        waiting = _Waiting(part, member, is_alone, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work_off(), name="committer")
        return await waiting.done

    async def abandon(self) -> None:
        """Give up what is in line or in a transaction: nobody waits for it any more.

        The next `ready` ends the transaction.
        """
        for waiting in self._line:
            waiting.done.cancel()
        self._line.clear()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """Give up everything. An open transaction is aborted, so that no heir waits for it."""
        self._is_closed = True
        await self.abandon()
        async with self._lock:  # whoever opens it now has done so first
            writer, self._writer = self._writer, None
            if writer is not None:
                await writer.abort()
                await writer.close()
                self._held.close()

    async def _work_off(self) -> None:
        while self._line:
            await self._gathered()
            if taken := self._take():
                await self._commit(taken)

    async def _gathered(self) -> None:
        """Wait for small folds in work."""
        ends_s = time.monotonic() + self._settings.commit_interval_s
        while self._folding and (left_s := ends_s - time.monotonic()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left_s)
            except TimeoutError:
                return

    def _take(self) -> list[_Waiting]:
        """Take from the line what goes into one transaction."""
        self._line = [each for each in self._line if not each.done.done()]
        if not self._line:
            return []
        first = self._line[0]
        taken = [
            each
            for each in self._line
            if each is first or not (first.is_alone or each.is_alone or each.member != first.member)
        ]
        self._line = [each for each in self._line if each not in taken]
        return taken

    async def _commit(self, taken: list[_Waiting]) -> None:
        try:
            async with self._lock:
                writer = await self._usable()
                self._is_usable = False
                self._began_s = time.monotonic()
                offsets = await writer.commit([each.part for each in taken], taken[0].member)
                self._is_usable = True
        except BaseException as error:
            told = self._told(error, len(taken))
            for each in taken:
                if not each.done.done():
                    each.done.set_exception(told)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        for each, offset in zip(taken, offsets, strict=True):
            if not each.done.done():
                each.done.set_result(offset)

    def _told(self, error: BaseException, parts: int) -> BaseException:
        if isinstance(error, RecordTooLargeError) and parts > 1:
            return CommitOutcomeUnknownError(
                f"a record of {parts} chunks that were committed together is too large: each is"
                " tried alone"
            )
        if isinstance(error, asyncio.CancelledError):
            return CommitOutcomeUnknownError("the partition was given up during its commit")
        return error
