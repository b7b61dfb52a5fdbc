"""Data keys: for each subject its own, kept encrypted in a compacted topic.

A key is on all replicas before anything is encrypted with it, so what a reader does not find at the
end of the topic was destroyed. A subject that was forgotten stays so: keys that come after that are
none. Thread-safe.
"""

from __future__ import annotations

import json
import os
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from runtime.kafka import (
    METADATA_TIMEOUT_S,
    KafkaSettings,
    RawRecord,
    Span,
    absent_topics,
    publish_all,
    read_spans,
    topic_spans,
)
from runtime.master_keys import MasterKeys
from schemas.errors import BrokerUnavailableError, ConfigError, FatalError
from schemas.topics import KEYS

ID_BYTES: Final = 8
REFRESH_S: Final = 30.0
"""So soon a running process knows of keys that were made, and of subjects that were forgotten."""
FORGOTTEN: Final = "forgotten"
_KEY_BYTES: Final = 32
_FLUSH_S: Final = 15.0

_LOST: Final = (
    "put the topic back as it was, or have all read anew: psastream docs encryption; what was"
    " encrypted with a key that is gone nobody opens"
)

Record = tuple[str, bytes | None]
"""Key and value of a record of the topic."""


class KeyLog(Protocol):
    """Where keys are kept."""

    def news(self) -> list[Record]:
        """Return what has come since the last call. Raises BrokerUnavailableError."""
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Keep records; they are safe when it returns. Raises BrokerUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key of a subject."""

    id: bytes
    subject: str
    cipher: AESGCMSIV


class DataKeys:
    """The keys of all subjects as of a moment ago."""

    def __init__(
        self, log: KeyLog, master: MasterKeys, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` in seconds."""
        self._log = log
        self._master = master
        self._clock = clock
        self._lock = threading.RLock()
        self._wrapped: dict[bytes, tuple[str, Mapping[str, Any]]] = {}
        self._open: dict[bytes, DataKey] = {}
        self._newest: dict[str, bytes] = {}
        self._forgotten: set[str] = set()
        self._gone: set[bytes] = set()
        self._read_s: float | None = None
        self._unreadable: FatalError | None = None

    def refresh(self) -> None:
        """Learn what has come, if that was not done lately."""
        read_s = self._read_s
        if read_s is None or self._clock() - read_s > REFRESH_S:
            self.catch_up()

    def catch_up(self) -> None:
        """Learn what has come.

        Raises FatalError, from then on, for what is no record of keys: those behind it would pass
        for destroyed, and their records for deleted.
        """
        with self._lock:
            if self._unreadable is not None:
                raise self._unreadable
            for name, value in self._log.news():
                try:
                    self._learn(name, value)
                except (ValueError, LookupError, TypeError) as error:
                    self._unreadable = _not_ours(name)
                    raise self._unreadable from error
            self._read_s = self._clock()

    def to_seal(self, subjects: Iterable[str]) -> dict[str, DataKey | None]:
        """Return the key to use for each subject, made if need be; None: it was forgotten."""
        wanted = set(subjects)
        with self._lock:
            if wanted - self._newest.keys() - self._forgotten:
                self.catch_up()  # another process may have made it
                self._make(wanted - self._newest.keys() - self._forgotten)
            return {
                each: None if each in self._forgotten else self._opened(self._newest[each])
                for each in wanted
            }

    def fresh(self, subject: str, count: int) -> list[DataKey]:
        """Make keys that are used for one record each."""
        with self._lock:
            return [self._opened(each) for each in self._make([subject] * count)]

    def to_open(self, key_id: bytes) -> DataKey | None:
        """Return a key; None: it was destroyed. Raises FatalError where all keys are lost."""
        with self._lock:
            if key_id not in self._wrapped and key_id not in self._gone:
                self.catch_up()
                if not self._wrapped and not self._forgotten:
                    raise FatalError(
                        f"records are encrypted, and {KEYS.name} holds no key", hint=_LOST
                    )
                if key_id not in self._wrapped:
                    self._gone.add(key_id)
            return self._opened(key_id) if key_id in self._wrapped else None

    def subjects(self) -> dict[str, list[str]]:
        """Return which master keys the keys of each subject are kept under."""
        with self._lock:
            self.catch_up()
            found: dict[str, list[str]] = {}
            for subject, kept in self._wrapped.values():
                found.setdefault(subject, []).append(kept["master"])
            return found

    def forgotten(self) -> Collection[str]:
        """Return the subjects whose keys were destroyed for good."""
        with self._lock:
            self.catch_up()
            return frozenset(self._forgotten)

    def rotate(self) -> int:
        """Make a new key for each subject that has one in use; return how many."""
        with self._lock:
            self.catch_up()
            return len(self._make([*self._newest]))

    def rewrap(self) -> int:
        """Keep all keys under the newest master key; return how many were not."""
        with self._lock:
            self.catch_up()
            version = self._master.version
            kept_of = ((each, kept) for each, (_, kept) in self._wrapped.items())
            old = {each: kept["made"] for each, kept in kept_of if kept["master"] != version}
            self._append([self._record(*self._secret(each), made) for each, made in old.items()])
            return len(old)

    def forget(self, subjects: Collection[str]) -> int:
        """Destroy the keys of subjects for good; return how many."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        marks = [(f"{each}|{FORGOTTEN}", json.dumps({"at": at}).encode()) for each in subjects]
        with self._lock:
            self.catch_up()
            meant = list(subjects)
            gone = [name for name, subject in self._names() if subject in meant]
            # First the mark: of keys that are made from now on none is used.
            self._append([*marks, *((name, None) for name in gone)])
            return len(gone)

    def destroy(self, key_ids: Collection[bytes]) -> int:
        """Destroy some keys; return how many there were."""
        with self._lock:
            self.catch_up()
            ends = {f"|{each.hex()}" for each in key_ids}
            gone = [name for name, subject in self._names() if name[len(subject) :] in ends]
            self._append([(name, None) for name in gone])
            return len(gone)

    def _names(self) -> list[tuple[str, str]]:
        """The name of each key in the log, with its subject."""
        return [(f"{whose}|{it.hex()}", whose) for it, (whose, _) in self._wrapped.items()]

    def _make(self, subjects: Iterable[str]) -> list[bytes]:
        made = [(os.urandom(ID_BYTES), subject, os.urandom(_KEY_BYTES)) for subject in subjects]
        self._append([self._record(*each, time.time_ns()) for each in made])
        return [key_id for key_id, _, _ in made]

    def _append(self, records: Sequence[Record]) -> None:
        if records:
            self._log.append(records)
            self.catch_up()

    def _record(self, key_id: bytes, subject: str, key: bytes, made: int) -> Record:
        name = f"{subject}|{key_id.hex()}"
        kept = {
            "made": made,
            "master": self._master.version,
            "key": b64encode(self._master.wrap(key, name.encode())).decode(),
        }
        return name, json.dumps(kept).encode()

    def _secret(self, key_id: bytes) -> tuple[bytes, str, bytes]:
        subject, kept = self._wrapped[key_id]
        name = f"{subject}|{key_id.hex()}".encode()
        key = self._master.unwrap(kept["master"], b64decode(kept["key"]), name)
        return key_id, subject, key

    def _opened(self, key_id: bytes) -> DataKey:
        known = self._open.get(key_id)
        if known is None:
            _, subject, key = self._secret(key_id)
            known = self._open[key_id] = DataKey(key_id, subject, AESGCMSIV(key))
        return known

    def _learn(self, name: str, value: bytes | None) -> None:
        subject, _, what = name.rpartition("|")
        if what == FORGOTTEN:
            self._forgotten.add(subject)
            for each in [it for it, (whose, _) in self._wrapped.items() if whose == subject]:
                self._drop(each)
            return
        key_id = bytes.fromhex(what)
        if value is None or subject in self._forgotten:
            self._drop(key_id)
            return
        kept = json.loads(value)
        if len(key_id) != ID_BYTES or not {"made", "master", "key"} <= set(kept):
            raise ValueError("not a key")
        self._wrapped[key_id] = subject, kept
        newest = self._newest.get(subject)
        if newest is None or self._wrapped[newest][1]["made"] <= kept["made"]:
            self._newest[subject] = key_id

    def _drop(self, key_id: bytes) -> None:
        subject, _ = self._wrapped.pop(key_id, ("", {}))
        self._open.pop(key_id, None)
        if self._newest.get(subject) == key_id:
            del self._newest[subject]


def _not_ours(name: str) -> FatalError:
    return FatalError(
        f"what stands in {KEYS.name} under {name!r} is no record of keys",
        hint="nobody but psastream may write there; delete it by a tombstone of its key, once it"
        " is compacted away processes start again",
    )


class KafkaKeyLog:
    """Keys in the topic `psastream-keys`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._next = 0

    def news(self) -> list[Record]:
        """See KeyLog."""
        start, end = self._span()
        if end < self._next:
            raise FatalError(f"{KEYS.name} was made again, or its end is lost", hint=_LOST)
        if end == self._next:
            return []
        span = {(KEYS.name, 0): (max(start, self._next), end)}
        found = [
            ((it.key() or b"").decode(errors="replace"), it.value())
            for it in read_spans(self._settings, span)
        ]
        self._next = end
        return found

    def append(self, records: Sequence[Record]) -> None:
        """See KeyLog."""
        raw = (RawRecord(0, name.encode(), value) for name, value in records)
        hint = "check the broker; work waits for it"
        publish_all(self._settings, KEYS.name, raw, within_s=_FLUSH_S, hint=hint)

    def _span(self) -> Span:
        if not self._next and absent_topics(self._settings, [KEYS.name]):
            raise ConfigError(
                f"the broker has no topic {KEYS.name}",
                hint="psastream topics apply makes it where PSASTREAM_MASTER_KEYS_FILE is set",
            )
        return topic_spans(self._settings, KEYS.name)[0]


def has_keys(settings: KafkaSettings) -> bool:
    """Whether this process is shown keys: so records are encrypted. Raises BrokerUnavailableError.

    A user that has no right to the topic is shown none.
    """
    admin = AdminClient(settings.client())  # kept: what ends with its client is never answered
    try:
        if KEYS.name not in admin.list_topics(timeout=METADATA_TIMEOUT_S).topics:
            return False
    except KafkaException as error:
        detail = f"the broker does not answer: {error}"
        raise BrokerUnavailableError(detail, hint="check that it runs") from error
    start, end = topic_spans(settings, KEYS.name)[0]
    return start < end
