"""The local state of one group on one partition: a RocksDB directory that mirrors its state log.

The directory is a cache. Its position in the log is written in the same atomic batch as the data,
so it can always be caught up; when in doubt it is deleted and rebuilt. RocksDB's own log is off: a
killed process comes back at an earlier position, and the state log has the rest.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from schemas.errors import FatalError
from streams.engine.settings import EngineSettings
from streams.engine.tally import Tally, tally_key

_log = structlog.get_logger()

OFFSET_KEY = b"!offset"
COMPLETE_AT_KEY = b"!complete-at"
LOG_KEY = b"!log"
FENCE_PREFIX = b"!f:"


def fence_key(topic: str) -> bytes:
    """Key, in the store and in the state log, of the last applied offset of a source topic."""
    return FENCE_PREFIX + topic.encode()


class StateStore:
    """Implements `State`, and applies batches. Safe to close while another thread reads."""

    def __init__(
        self, path: Path, settings: EngineSettings, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` returns the seconds since the epoch."""
        self.path = path
        self._settings = settings
        self._clock = clock
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True
        self._lock = threading.Lock()
        self._db: Rdict | None = None
        self._is_closed = False

    def open(self, log_id: str) -> None:
        """Open the directory, anew and empty if it mirrors another log or cannot be read.

        Raises FatalError if another process holds it, or after `close`.
        """
        with self._lock:
            if self._is_closed:
                raise self._closed_error()
            if self._db is None:
                self._db = self._open_or_rebuild()
                age_s = self._age_s(self._db)
                if age_s > self._settings.local_state_max_age_s:
                    # Meanwhile compaction may have dropped tombstones this store has not seen.
                    self._db = self._rebuild(f"was last complete {age_s:.0f} s ago")
            known = self._db.get(LOG_KEY)
            if known is not None and known != log_id.encode():
                self._db = self._rebuild("mirrors another state log")
            self._db[LOG_KEY] = log_id.encode()

    def reset(self, reason: str) -> None:
        """Delete everything but the identity of the log; the next catch-up rebuilds it."""
        with self._lock:
            log_id = self._require_db().get(LOG_KEY)
            self._db = self._rebuild(reason)
            self._db[LOG_KEY] = log_id

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

    def tally(self, topic: str) -> Tally | None:
        """What became of the records of `topic` so far."""
        stored = self.get(tally_key(topic))
        return None if stored is None else Tally.from_bytes(stored)

    def get(self, key: bytes) -> bytes | None:
        """See State."""
        with self._lock:
            value: bytes | None = self._require_db().get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See State."""
        if not keys:
            return []
        with self._lock:
            values: list[bytes | None] = self._require_db()[list(keys)]
        return values

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See State."""
        with self._lock:
            items = self._require_db().items(from_key=prefix)
        for key, value in items:
            if not key.startswith(prefix):
                return
            yield key, value

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
        with self._lock:
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
        return Rdict(str(self.path), options)

    def _age_s(self, db: Rdict) -> float:
        if db.get(OFFSET_KEY) is None:
            return 0.0
        complete_at = db.get(COMPLETE_AT_KEY)
        return self._clock() - float(complete_at) if complete_at else math.inf

    def _open_or_rebuild(self) -> Rdict:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._open_db()
        except Exception as error:  # rocksdict raises plain exceptions
            if "lock" in str(error).lower():
                raise FatalError(
                    "state directory is in use",
                    hint="give each worker its own state_dir",
                    context={"path": str(self.path)},
                ) from error
            return self._rebuild(f"cannot be opened: {error}")

    def _rebuild(self, reason: str) -> Rdict:
        _log.warning("local state deleted", path=str(self.path), reason=reason)
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
