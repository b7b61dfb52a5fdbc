"""Change events as columns: rows of one object that are there, many at once.

A value is the one that the codec of single records makes, byte for byte, for a fifth of the time.
What does not go so, is few or is encrypted, that codec writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import polars as pl

from connectors.polled.bookmark import Change
from runtime.serde import Serde
from schemas.codec.columnar import FEW_RECORDS, ChunkEncoder, frame_dtypes
from schemas.contracts import record_of
from schemas.envelope import EnvelopeField, SourceField, flat_envelope_schema
from schemas.errors import SchemaMismatchError
from schemas.position import to_sequences

_BRANCHES: Final = b"\x00\x02"
"""In front of a row: `before` is null, the first of its types, and `after` is of the second."""
_MISFITS: Final = (LookupError, TypeError, ValueError, OverflowError, SchemaMismatchError)
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

    def __init__(self, header: bytes, names: Sequence[str], encoder: ChunkEncoder, dtypes: Any):
        self._prefix = header + _BRANCHES
        self._names = names
        self._encoder = encoder
        self._dtypes = dtypes

    @classmethod
    def of(cls, serde: Serde, topic: str) -> _Encoder | None:
        """Return the encoder of a topic, None where its rows are no columns."""
        record = record_of(serde.topic(topic))
        assert record is not None
        fields: Any = record.parsed["fields"]
        schema = flat_envelope_schema(record)
        encoder = ChunkEncoder(schema)
        if not encoder.native:
            return None
        names = [field["name"] for field in fields]
        return cls(serde.header(topic), names, encoder, frame_dtypes(schema))

    def values(self, changes: Sequence[Change], source_of: Block, beside: Block) -> list[bytes]:
        """Raises what values raise that do not fit."""
        rows: list[Any] = [change.after for change in changes]
        if {len(row) for row in rows} != {len(self._names)}:
            raise ValueError("a row has other fields than its contract")
        columns = {
            f"{EnvelopeField.AFTER}_{name}": [row[name] for row in rows] for name in self._names
        }
        kinds = [(change.op, change.captured_at) for change in changes]
        columns |= _repeated(f"{EnvelopeField.SOURCE}_", changes, source_of, kinds)
        sequences = to_sequences([change.position for change in changes])
        columns[f"{EnvelopeField.SOURCE}_{SourceField.SEQUENCE}"] = sequences
        columns |= _repeated("", changes, beside, kinds)
        frame = pl.DataFrame(
            [pl.Series(name, columns[name], dtype) for name, dtype in self._dtypes.items()]
        )
        return self._encoder.encode(frame, prefix=self._prefix)


def _repeated(
    prefix: str, changes: Sequence[Change], block: Block, kinds: Sequence[_Kind]
) -> dict[str, list[object]]:
    """Return the columns of a block that is one of few: they follow from kind and time."""
    of_kinds = {kind: block(changes[kinds.index(kind)]) for kind in set(kinds)}
    blocks = [of_kinds[kind] for kind in kinds]
    if len(of_kinds) == 1:
        return {f"{prefix}{name}": [value] * len(kinds) for name, value in blocks[0].items()}
    return {f"{prefix}{name}": [each[name] for each in blocks] for name in blocks[0]}
