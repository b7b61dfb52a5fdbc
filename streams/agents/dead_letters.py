"""Records an agent cannot use, as dead letters with all it takes to replay them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.secrets import mask
from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec
from schemas.contracts import record_schema
from schemas.keys import KEY_SCHEMA, encode_keys
from schemas.mapping.compiled import Rejection
from schemas.routing import partition_of
from schemas.topics import BY_NAME
from streams.agents.registry import SubjectIds
from streams.engine import Chunk, DeadLetterWriter, Failure, Output

_TOPIC: Final = BY_NAME["psa.dlq"]
_INSTANT_MAX_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record of a chunk, by its index, and why it was refused."""

    index: int
    reason: Rejection


def dead_letters(
    chunk: Chunk, refusals: list[Refusal], *, agent: str, ids: SubjectIds
) -> list[Output]:
    """One dead letter for each refusal. Upholds I5: a refused record is kept, not dropped."""
    if not refusals:
        return []
    assert _TOPIC.record is not None
    contract = record_schema(_TOPIC.record)
    codec = RecordCodec(contract)
    value_id = ids.subject_id(f"{_TOPIC.name}-value", contract.text)
    names = [f"{chunk.topic}|{chunk.partition}|{chunk.offsets[item.index]}" for item in refusals]
    keys = encode_keys(ids.subject_id(f"{_TOPIC.name}-key", KEY_SCHEMA), names)
    outputs = []
    for refusal, name, key in zip(refusals, names, keys, strict=True):
        at, reason = refusal.index, refusal.reason
        letter = {
            "topic": chunk.topic,
            "partition": chunk.partition,
            "offset": chunk.offsets[at],
            "key": chunk.keys[at],
            "value": chunk.values[at],
            "agent": agent,
            "error_code": reason.code,
            "detail": mask(reason.detail),
            "hint": mask(reason.hint),
            "correlation_id": None,
            "raised_at": _instant(chunk.timestamps_ms[at]),
        }
        value = frame(value_id, codec.encode(letter))
        partition = partition_of(name, _TOPIC.partitions)
        outputs.append(Output(_TOPIC.name, partition, key, value))
    return outputs


def _instant(timestamp_ms: int) -> int | None:
    """A record's timestamp, which any producer may set to anything, if it is an instant."""
    return timestamp_ms if 0 <= timestamp_ms <= _INSTANT_MAX_MS else None


def poison_letters(agent: str, ids: SubjectIds) -> DeadLetterWriter:
    """What makes the dead letters of records that no handler of a group can digest."""

    def letters(chunk: Chunk, failure: Failure) -> list[Output]:
        reason = Rejection(failure.code, failure.detail, failure.hint)
        refusals = [Refusal(index, reason) for index in range(len(chunk))]
        return dead_letters(chunk, refusals, agent=agent, ids=ids)

    return letters
