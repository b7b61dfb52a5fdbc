"""The local state of one group on one partition: a RocksDB directory that mirrors its state log.

The directory is a cache. Its position in the log is written in the same atomic batch as the data,
so it can always be caught up; when in doubt it is deleted and rebuilt. RocksDB's own log is off: a
killed process comes back at an earlier position, and the state log has the rest.

rocksdict raises plain exceptions with the text of RocksDB's status: `_damage` tells damaged files
from a disk that fails, and `_is_in_use` from a directory that another process holds.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from rocksdict import (
    BlockBasedOptions,
    Cache,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from runtime.clocks import SKEW
from schemas.errors import FatalError
from streams.engine.errors import StateDamagedError
from streams.engine.settings import EngineSettings
from streams.engine.tally import Tally, tally_key

_log = structlog.get_logger()

OFFSET_KEY = b"!offset"
COMPLETE_AT_KEY = b"!complete-at"
LOG_KEY = b"!log"
LOCAL_LAYOUT_KEY = b"!local-layout"
LAYOUT_KEY = b"!v"
"""Key, in the store and in the state log, of the layout of the state."""
FLOOR_KEY = b"!r"
"""Key, in the store and in the state log, of the earliest time that records have for handlers."""
FENCE_PREFIX = b"!f:"
SOURCE_PREFIX = b"!t:"

LOCAL_LAYOUT: Final = b"1"
"""Version of what a directory holds beside its log. Another one is rebuilt from the log."""
_ENGINE_LAYOUT: Final = 1
"""Version of the engine's own keys in the state."""

_DIARIES: Final = 2
_DIARY_BYTES: Final = 1 << 20

_DAMAGED: Final = ("Corruption:", "IO error: No such file or directory:")
_IN_USE: Final = ("IO error: While lock file:", "IO error: lock hold by current process")


def fence_key(topic: str) -> bytes:
    """Key, in the store and in the state log, of the last applied offset of a source topic."""
    return FENCE_PREFIX + topic.encode()


def layout_of(group_layout: int) -> bytes:
    """What LAYOUT_KEY holds: the engine's version and the group's."""
    return b"%d.%d" % (_ENGINE_LAYOUT, group_layout)


def source_key(topic: str) -> bytes:
    """Key, in the store and in the state log, of the id of the source topic its fence is of."""
    return SOURCE_PREFIX + topic.encode()


class StateStore:
    """Implements `State`, and applies batches. Safe to close while another thread reads."""

    def __init__(
        self, path: Path, settings: EngineSettings, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` returns the seconds since the epoch."""
        self.path = path
        self.rebuilds = 0
        """How often the directory was deleted because it was no mirror, or damaged."""
        self._settings = settings
        self._clock = clock
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True
        self._lock = threading.Lock()
        self._db: Rdict | None = None
        self._is_closed = False

    def open(self, log_id: str) -> None:
        """Open the directory, anew and empty if it mirrors another log or cannot be read.

        Raises FatalError if another process holds it, or after `close`, and StateDamagedError.
        """
        with self._guarded():
            if self._is_closed:
                raise self._closed_error()
            is_reopened = self._db is None
            if self._db is None:
                self._db = self._open_or_rebuild()
            if reason := self._why_useless(self._db, log_id, is_reopened):
                self._db = self._rebuild(reason)
            self._db[LOG_KEY] = log_id.encode()
            self._db[LOCAL_LAYOUT_KEY] = LOCAL_LAYOUT

    def _why_useless(self, db: Rdict, log_id: str, is_reopened: bool) -> str | None:
        try:
            known, age_s = db.get(LOG_KEY), self._age_s(db)
            layout = db.get(LOCAL_LAYOUT_KEY)
        except Exception as error:
            if not str(error).startswith(_DAMAGED):
                raise
            return str(error)
        if known is not None and layout != LOCAL_LAYOUT:
            found = "none" if layout is None else layout.decode()
            return f"has the local layout {found} instead of {LOCAL_LAYOUT.decode()}"
        is_young = -SKEW.total_seconds() <= age_s <= self._settings.local_state_max_age_s
        if is_reopened and not is_young:
            # Meanwhile compaction may have dropped tombstones this store has not seen; of a store
            # last complete in the future nobody knows.
            return f"was last complete {age_s:.0f} s ago"
        is_another = known is not None and known != log_id.encode()
        return "mirrors another state log" if is_another else None

    def reset(self, reason: str) -> None:
        """Delete everything but the identity of the log; the next catch-up rebuilds it."""
        with self._guarded():
            try:
                log_id = self._require_db().get(LOG_KEY)
            except FatalError:
                raise
            except Exception:  # what is damaged is deleted all the same, and opened anew
                log_id = None
            self._db = self._rebuild(reason)
            if log_id is not None:
                self._db[LOG_KEY] = log_id
                self._db[LOCAL_LAYOUT_KEY] = LOCAL_LAYOUT

    def close(self) -> None:
        """Close for good; waits for the operation at hand, later ones raise FatalError."""
        with self._lock:
            self._is_closed = True
            if self._db is not None:
                self._db.close()
                self._db = None

    @property
    def log_offset(self) -> int | None:
        """Offset of the state log up to which this store is complete."""
        stored = self.get(OFFSET_KEY)
        return None if stored is None else int(stored)

    @property
    def complete_at_s(self) -> float | None:
        """The instant as of which this store knows all that happened, in seconds since the epoch.

        None if it has no position.
        """
        stored = self.get(COMPLETE_AT_KEY)
        return None if stored is None else float(stored)

    def fence(self, topic: str) -> int | None:
        """The last source offset of `topic` this store has applied."""
        stored = self.get(fence_key(topic))
        return None if stored is None else int(stored)

    def layout(self) -> bytes | None:
        """The layout of the state; None before the first chunk."""
        return self.get(LAYOUT_KEY)

    def floor_ms(self) -> int:
        """The earliest time that records have for handlers: 0 where state was never lost."""
        return int(self.get(FLOOR_KEY) or 0)

    def source_id(self, topic: str) -> str | None:
        """The id Kafka gave the topic that the fence of `topic` is of."""
        stored = self.get(source_key(topic))
        return None if stored is None else stored.decode()

    def tally(self, topic: str) -> Tally | None:
        """What became of the records of `topic` so far."""
        stored = self.get(tally_key(topic))
        return None if stored is None else Tally.from_bytes(stored)

    def get(self, key: bytes) -> bytes | None:
        """See State. Raises StateDamagedError, as all that read or write do."""
        with self._guarded():
            value: bytes | None = self._require_db().get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See State."""
        if not keys:
            return []
        with self._guarded():
            values: list[bytes | None] = self._require_db()[list(keys)]
        return values

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See State."""
        with self._guarded():
            pairs = self._pairs(prefix)
        yield from pairs

    def _pairs(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        pairs = []
        # Not `items`: it ends without a word where a block cannot be read.
        found = self._require_db().iter()
        try:
            found.seek(prefix)
            while found.valid() and found.key().startswith(prefix):
                pairs.append((found.key(), found.value()))
                found.next()
            found.status()  # raises what ended it, if not the end
        finally:
            del found  # a traceback would keep it, and it the lock of a directory to be deleted
        return pairs

    def apply(
        self,
        changes: Mapping[bytes, bytes | None],
        log_offset: int,
        complete_at_s: float | None = None,
    ) -> None:
        """Write `changes` and the position they bring the store to, atomically.

        `complete_at_s` is an instant, in seconds since the epoch, before which nothing happened
        that lies beyond the position; None: now.
        """
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(OFFSET_KEY, b"%d" % log_offset)
        at_s = self._clock() if complete_at_s is None else complete_at_s
        batch.put(COMPLETE_AT_KEY, b"%.3f" % at_s)
        with self._guarded():
            self._require_db().write(batch, self._write_options)

    def _open_db(self) -> Rdict:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(self._settings.rocksdb_write_buffer_bytes)
        options.set_max_write_buffer_number(2)
        table = BlockBasedOptions()
        table.set_block_cache(Cache(self._settings.rocksdb_block_cache_bytes))
        table.set_bloom_filter(10, False)
        options.set_block_based_table_factory(table)
        # RocksDB writes a diary beside the data: one at each opening, a thousand kept, each
        # without end. Nobody reads it.
        options.set_keep_log_file_num(_DIARIES)
        options.set_max_log_file_size(_DIARY_BYTES)
        options.set_stats_dump_period_sec(0)
        return Rdict(str(self.path), options)

    def _age_s(self, db: Rdict) -> float:
        if db.get(OFFSET_KEY) is None:
            return 0.0
        complete_at = db.get(COMPLETE_AT_KEY)
        return self._clock() - float(complete_at) if complete_at else math.inf

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Hold the lock; turn what rocksdict raises into an error of ours."""
        with self._lock:
            try:
                yield
            except FatalError:
                raise
            except Exception as error:
                raise self._damage(error) from error

    def _damage(self, error: Exception) -> FatalError:
        context = {"path": str(self.path)}
        if str(error).startswith(_DAMAGED):
            return StateDamagedError(
                f"local state is damaged: {error}",
                hint="check the disk; the state is rebuilt from its log",
                context=context,
            )
        return FatalError(
            f"local state cannot be read or written: {error}",
            hint="check space, permissions and health of the disk",
            context=context,
        )

    def _open_or_rebuild(self) -> Rdict:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._open_db()
        except Exception as error:
            if str(error).startswith(_IN_USE):
                raise FatalError(
                    "state directory is in use",
                    hint="give each worker its own state_dir",
                    context={"path": str(self.path)},
                ) from error
            return self._rebuild(f"cannot be opened: {error}")

    def _rebuild(self, reason: str) -> Rdict:
        _log.warning("worker.state_deleted", path=str(self.path), reason=reason)
        self.rebuilds += 1
        if self._db is not None:
            self._db.close()
            self._db = None
        shutil.rmtree(self.path, ignore_errors=True)
        return self._open_db()

    def _require_db(self) -> Rdict:
        if self._db is None:
            raise self._closed_error()
        return self._db

    def _closed_error(self) -> FatalError:
        return FatalError("state store is closed", context={"path": str(self.path)})
