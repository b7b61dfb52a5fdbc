"""Writes what came of topics to the tables of a generation: rows and offsets in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import polars as pl
import psycopg
from confluent_kafka import Message

from psastream.read_model.landing import KEY, LandingTable, as_csv, ends_early, landed, without_nul
from psastream.read_model.store import META, Generation, Store, as_ours
from runtime.kafka import Place
from runtime.sealing import Opened, as_it_is
from schemas.codec.columnar import ChunkReader
from schemas.codec.record import AvroSchema
from schemas.contracts import value_schema
from schemas.errors import DecodeError, ReadModelUnavailableError
from schemas.keys import decode_key

SEEN_S: Final = 10.0
"""How often it is noted that a generation is followed."""


KEY_BYTES_MAX: Final = 2_000
"""Longer keys are no rows: an entry of PostgreSQL's B-tree may have about 2,700 bytes
(https://www.postgresql.org/docs/current/btree.html), and theirs has the topic, too."""
KEY_SHOWN: Final = 100


class RetiredError(ReadModelUnavailableError):
    """The generation is not the live one any more: another took its place."""

    code = "transient.read_model_retired"


@dataclass(slots=True)
class _Batch:
    """What came of a topic: the last of each key, None where it is deleted or is no text.

    Keys are as the table has them: two of other bytes may be one row.
    """

    values: dict[str, bytes | None] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Take a record in place of what came under its key before."""
        fault = None
        try:
            shown = without_nul(decode_key(key))
        except (DecodeError, TypeError, UnicodeDecodeError):
            shown, fault = repr(key), "the message key is not a framed avro string"
        if len(shown.encode()) > KEY_BYTES_MAX:
            shown = f"{shown[:KEY_SHOWN]}… {sha256(key).hexdigest()}"
            fault = f"the message key has more than {KEY_BYTES_MAX:,} bytes"
        self.unreadable.pop(shown, None)
        if value is not None and fault:
            self.unreadable[shown] = fault
        self.values[shown] = None if fault else value


class Mirror:
    """Writes to one generation through one connection."""

    def __init__(
        self,
        store: Store,
        generation: Generation,
        tables: Iterable[LandingTable],
        schema: Callable[[int], AvroSchema],
        *,
        is_live: bool,
        opened: Opened = as_it_is,
    ) -> None:
        """`schema` gives the Avro schema of an id. `is_live`: what is retired is refused.

        `opened` opens what is encrypted.
        """
        self._opened = opened
        self._connection = store.connection
        self.generation = generation
        self._tables = {table.topic.name: table for table in tables}
        self._schema = schema
        self._readers: dict[str, ChunkReader] = {}
        self._staged: set[str] = set()
        self._noted = {topic for topic, _, _ in store.unreadable(generation)}
        self._seen_s = -SEEN_S
        self._is_live = is_live

    def write(self, messages: Sequence[Message], places: Mapping[Place, int]) -> int:
        """Write messages, and up to where topics are held with them; return how many rows.

        `places`: offsets of what comes next. Raises RegistryUnavailableError,
        ReadModelUnavailableError; then nothing was written.
        """
        batches: dict[str, _Batch] = {}
        values = self._opened([message.value() for message in messages])
        for message, value in zip(messages, values, strict=True):
            batches.setdefault(message.topic(), _Batch()).put(message.key(), value)
        frames = {name: self._decode(name, batch) for name, batch in batches.items()}
        staged = set(self._staged)
        try:
            with as_ours(), self._connection.transaction():
                self._require_live()
                for name, batch in batches.items():
                    self._write(self._tables[name], batch, frames[name])
                self._move(places)
        except BaseException:
            self._staged = staged
            raise
        return sum(len(batch.values) for batch in batches.values())

    def _decode(self, name: str, batch: _Batch) -> pl.DataFrame:
        """Return rows with their keys. What cannot be decoded is noted in the batch."""
        if name not in self._readers:
            contract = value_schema(self._tables[name].topic)
            self._readers[name] = ChunkReader(self._schema, reader=contract)
        values = {key: value for key, value in batch.values.items() if value is not None}
        keys = list(values)
        decoded = self._readers[name].decode(list(values.values()))
        for row, error in decoded.errors:
            batch.unreadable[keys[row]] = error.detail
        frame = landed(decoded.frame, self._tables[name]) if decoded.rows else pl.DataFrame()
        named = pl.Series(KEY, [keys[row] for row in decoded.rows], pl.String)
        return frame.insert_column(0, named) if decoded.rows else frame

    def _write(self, table: LandingTable, batch: _Batch, frame: pl.DataFrame) -> None:
        place = f'{self.generation.schema}."{table.name}"'
        gone = [key for key, value in batch.values.items() if value is None]
        if frame.height:
            self._stage(table, place)
            self._upsert(table, place, batch, frame)
        if gone or batch.unreadable:
            self._connection.execute(
                f"DELETE FROM {place} WHERE {KEY} = ANY(%s)", ([*gone, *batch.unreadable],)
            )
        self._note(table, batch)

    def _upsert(self, table: LandingTable, place: str, batch: _Batch, frame: pl.DataFrame) -> None:
        """Write rows; those that PostgreSQL does not take are found by halving, and noted."""
        try:
            with self._connection.transaction():
                self._copy(table, place, frame)
        except psycopg.DataError as error:
            if frame.height == 1:
                said = error.diag.message_primary or str(error)
                batch.unreadable[frame[KEY][0]] = f"PostgreSQL does not take it: {said}"
                return
            half = frame.height // 2
            for part in (frame[:half], frame[half:]):
                # What waits there is in its table already, and would be written again.
                self._connection.execute(f"TRUNCATE {_stage(table)}")
                self._upsert(table, place, batch, part)

    def _stage(self, table: LandingTable, place: str) -> None:
        if table.name not in self._staged:
            stage = _stage(table)
            # One of the same name may be left from the generation before.
            self._connection.execute(f"DROP TABLE IF EXISTS {stage}")
            self._connection.execute(
                f"CREATE TEMP TABLE {stage} (LIKE {place}) ON COMMIT DELETE ROWS"
            )
            self._staged.add(table.name)

    def _copy(self, table: LandingTable, place: str, frame: pl.DataFrame) -> None:
        stage = _stage(table)
        listed = ", ".join(f'"{name}"' for name in frame.columns)
        with self._connection.cursor() as cursor:
            data = as_csv(frame)
            if ends_early(data):
                with cursor.copy(f"COPY {stage} ({listed}) FROM STDIN") as copy:
                    for row in frame.iter_rows():
                        copy.write_row(tuple(map(_text, row)))
            else:
                with cursor.copy(f"COPY {stage} ({listed}) FROM STDIN (FORMAT csv)") as copy:
                    copy.write(data)
            changed = ", ".join(f'"{name}" = excluded."{name}"' for name in table.columns)
            cursor.execute(
                f"INSERT INTO {place} ({listed}) SELECT {listed} FROM {stage}"
                f" ON CONFLICT ({KEY}) DO UPDATE SET {changed}"
            )

    def _note(self, table: LandingTable, batch: _Batch) -> None:
        """Note what is no row; what came later under its key takes that away."""
        named = (self.generation.number, table.topic.name)
        if not batch.unreadable and table.topic.name not in self._noted:
            return
        self._noted.add(table.topic.name)
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {META}.unreadable WHERE generation = %s AND topic = %s"
                " AND record_key = ANY(%s)",
                (*named, list(batch.values)),
            )
            if batch.unreadable:
                cursor.executemany(
                    f"INSERT INTO {META}.unreadable (generation, topic, record_key, reason)"
                    " VALUES (%s, %s, %s, %s)",
                    [
                        (*named, key, without_nul(reason))
                        for key, reason in batch.unreadable.items()
                    ],
                )

    def _require_live(self) -> None:
        """Keep whoever retires the generation waiting until this is committed."""
        state = "live" if self._is_live else "building"
        row = self._connection.execute(
            f"SELECT 1 FROM {META}.generation WHERE id = %s AND state = %s FOR SHARE",
            (self.generation.number, state),
        ).fetchone()
        if row is None:
            raise RetiredError(
                f"generation {self.generation.number} of the read model was replaced",
                hint="nothing need be done: the next one is followed",
            )

    def _move(self, places: Mapping[Place, int]) -> None:
        number = self.generation.number
        with self._connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {META}.place (generation, topic, partition, next_offset)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT (generation, topic, partition)"
                " DO UPDATE SET next_offset = excluded.next_offset",
                [(number, *place, offset) for place, offset in places.items()],
            )
            if time.monotonic() - self._seen_s > SEEN_S:
                self._seen_s = time.monotonic()
                cursor.execute(
                    f"UPDATE {META}.generation SET seen_at = clock_timestamp() WHERE id = %s",
                    (number,),
                )


def _stage(table: LandingTable) -> str:
    """Return where rows wait for their table; it lives as long as the connection."""
    return f'pg_temp."psastream_{table.name}"'


def _text(value: object) -> object:
    return without_nul(value) if isinstance(value, str) else value
