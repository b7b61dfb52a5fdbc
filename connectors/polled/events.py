"""Change events as columns: rows of one object that are there, many at once.

A value is the one that the codec of single records makes, byte for byte, for a fifth of the time:
rows are written as columns, and what is around them once for all of a kind. What does not go so, is
few or is encrypted, that codec writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import polars as pl

from connectors.polled.bookmark import Change
from runtime.serde import Serde
from schemas.codec.columnar import FEW_RECORDS, ChunkEncoder, frame_dtypes
from schemas.codec.record import AvroSchema
from schemas.contracts import record_of
from schemas.envelope import EnvelopeField, SourceField
from schemas.errors import InvalidEntityError, SchemaMismatchError
from schemas.position import to_sequences

_BRANCHES: Final = b"\x00\x02"
"""In front of a row: `before` is null, the first of its types, and `after` is of the second."""
_SECOND: Final = "\x02"
"""In front of a sequence: it is of the second type, a text."""
_MISFITS: Final = (
    LookupError, TypeError, ValueError, OverflowError, InvalidEntityError, SchemaMismatchError,
)  # fmt: skip
"""What values raise that do not fit; the codec of single records tells what is wrong with which."""

_Kind = tuple[str, datetime]
"""Operation and time of capture of a change."""
Block = Callable[[Change], Mapping[str, object]]
"""Of a change: its fields of `source`, but for the sequence, and those beside it."""


class EventColumns:
    """Encodes the changes of topics."""

    def __init__(self, serde: Serde) -> None:
        self._serde = serde
        self._encoders: dict[str, _Encoder | None] = {}

    def values(
        self, topic: str, changes: Sequence[Change], source_of: Block, beside: Block
    ) -> list[bytes] | None:
        """Return the values of changes, None where they do not go as columns."""
        if len(changes) <= FEW_RECORDS or self._serde.is_sealing:
            return None
        if topic not in self._encoders:
            self._encoders[topic] = _Encoder.of(self._serde, topic)
        encoder = self._encoders[topic]
        if encoder is None or any(change.before is not None for change in changes):
            return None
        try:
            return encoder.values(changes, source_of, beside)
        except (*_MISFITS, pl.exceptions.PolarsError):
            return None


class _Encoder:
    """Of one topic."""

    def __init__(self, serde: Serde, topic: str, record: AvroSchema) -> None:
        self._serde = serde
        self._topic = topic
        self._prefix = serde.header(topic) + _BRANCHES
        self._rows = ChunkEncoder(record)
        self._dtypes = frame_dtypes(record)

    @classmethod
    def of(cls, serde: Serde, topic: str) -> _Encoder | None:
        """Return the encoder of a topic, None where its rows are no columns."""
        record = record_of(serde.topic(topic))
        assert record is not None
        encoder = cls(serde, topic, record)
        return encoder if encoder._rows.native else None

    def values(self, changes: Sequence[Change], source_of: Block, beside: Block) -> list[bytes]:
        """Raises what values raise that do not fit."""
        rows: list[Any] = [change.after for change in changes]
        if {len(row) for row in rows} != {len(self._dtypes)}:
            raise ValueError("a row has other fields than its contract")
        columns = [
            pl.Series(name, [row[name] for row in rows], dtype)
            for name, dtype in self._dtypes.items()
        ]
        encoded = self._rows.encode(pl.DataFrame(columns), prefix=self._prefix)
        around: dict[_Kind, tuple[bytes, bytes]] = {}
        values = []
        sequences = to_sequences([change.position for change in changes])
        for row, change, text in zip(encoded, changes, sequences, strict=True):
            kind = change.op, change.captured_at
            if kind not in around:
                around[kind] = self._around(source_of(change), beside(change))
            before, behind = around[kind]
            sequence = f"{_SECOND}{chr(2 * len(text))}{text}".encode()  # shorter than 64 bytes
            values.append(row + before + sequence + behind)
        return values

    def _around(
        self, source: Mapping[str, object], beside: Mapping[str, object]
    ) -> tuple[bytes, bytes]:
        """Return what lies between a row and its sequence, and what lies behind that.

        A record is written as its fields are, one after the other. An event without a sequence
        differs from one with it for the first time where that begins.
        """
        with_one, without = (
            self._serde.value(
                self._topic,
                {
                    EnvelopeField.BEFORE: None,
                    EnvelopeField.AFTER: None,
                    EnvelopeField.SOURCE: {**source, SourceField.SEQUENCE: sequence},
                    **beside,
                },
            )
            for sequence in ("", None)
        )
        pairs = zip(with_one, without, strict=False)
        begins = next(place for place, (one, other) in enumerate(pairs) if one != other)
        return without[len(self._prefix) : begins], without[begins + 1 :]
