"""Agents of a firm that encrypts: what they read is opened, what they write and keep is sealed.

The handlers know nothing of it. Keys of state stay as they are, they hold ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, cast

from runtime.sealing import Sealing
from schemas.codec.framing import frame, unframe
from schemas.codec.record import RecordCodec
from schemas.contracts import record_schema
from schemas.errors import FatalError
from schemas.sealing import FIRM
from schemas.topics import BY_NAME, KEYS, SOURCE_PREFIX, Topic, topic_of
from streams.engine import (
    Chunk,
    ChunkHandler,
    DeadLetterWriter,
    Effects,
    Failure,
    GroupSpec,
    Output,
    OutputBatch,
    State,
)

_LETTERS: Final = BY_NAME["psa.dlq"]
_ENGINE: Final = b"!"


def sealed_group(group: GroupSpec, sealing: Sealing, own: Collection[str] = ()) -> GroupSpec:
    """Return a group whose records and state are encrypted.

    `own` are topics it writes that are not the product's; nothing of them is.
    """
    seal = _Sealer(sealing, own)
    return replace(
        group,
        agents=[
            replace(agent, handler=_SealedHandler(agent.handler, seal, group.counted))
            for agent in group.agents
        ],
        dead_letters=None
        if group.dead_letters is None
        else _sealed_letters(group.dead_letters, seal),
    )


class _Sealer:
    """Seals outputs."""

    def __init__(self, sealing: Sealing, own: Collection[str]) -> None:
        self.sealing = sealing
        self._own = own

    def outputs(self, outputs: Iterable[Output | OutputBatch]) -> list[Output | OutputBatch]:
        """Return outputs as they may be published."""
        sealed: list[Output | OutputBatch] = []
        for output in outputs:
            topic = self._topic(output.topic)
            if topic is None:
                sealed.append(output)
            elif isinstance(output, Output):
                [value] = self.sealing.seal_values(topic, [output.value])
                sealed.append(replace(output, value=value))
            else:
                sealed.append(replace(output, values=self._values(topic, output.values)))
        return sealed

    def _values(self, topic: Topic, values: Sequence[bytes | None]) -> list[bytes | None]:
        # Of a broadcast topic every partition gets the same bytes: sealed once.
        once = [*dict.fromkeys(values)]
        known = dict(zip(once, self.sealing.seal_values(topic, once), strict=True))
        return [known[value] for value in values]

    def _topic(self, name: str) -> Topic | None:
        """The topic; None for one whose records are as they came, or are nobody's."""
        return None if name in self._own or name.startswith(f"{SOURCE_PREFIX}.") else topic_of(name)


class _SealedHandler:
    """A chunk handler behind which everything is open."""

    def __init__(self, handler: ChunkHandler, seal: _Sealer, counted: bytes | None) -> None:
        self._handler = handler
        self._seal = seal
        # The engine reads its own, and what it counts.
        self._clear = (_ENGINE,) if counted is None else (_ENGINE, counted)

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        sealing = self._seal.sealing
        opened = replace(chunk, values=sealing.open_values(chunk.values))
        effects = self._handler(opened, _OpenState(state, sealing))
        kept = [
            key
            for key, value in effects.state.items()
            if value is not None and not key.startswith(self._clear)
        ]
        values = sealing.seal([FIRM] * len(kept), [effects.state[key] for key in kept])
        effects.state |= dict(zip(kept, values, strict=True))
        outputs = (_as_it_came(output, chunk, opened) for output in effects.outputs)
        effects.outputs = self._seal.outputs(outputs)
        return effects


class _OpenState:
    """A state whose values are opened as they are read."""

    def __init__(self, state: State, sealing: Sealing) -> None:
        self._state = state
        self._sealing = sealing

    def get(self, key: bytes) -> bytes | None:
        """See State."""
        value = self._state.get(key)
        return None if value is None else self._opened(value)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See State."""
        opened = self._opened
        return [None if value is None else opened(value) for value in self._state.get_many(keys)]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See State."""
        for key, value in self._state.scan(prefix):
            yield key, self._opened(value)

    def _opened(self, value: bytes) -> bytes:
        """What the firm's own key has sealed, which nobody destroys: it may be lost, though."""
        opened = self._sealing.open(value)
        if opened is None:
            raise FatalError(
                f"the key of the state is not in {KEYS.name}",
                hint="put the topic back as it was, or psastream rebuild each group",
            )
        return opened


def _as_it_came(output: Output | OutputBatch, chunk: Chunk, opened: Chunk) -> Output | OutputBatch:
    """A dead letter with the record as it stood in its topic, so that it can be put back there."""
    if not isinstance(output, Output) or output.topic != _LETTERS.name or output.value is None:
        return output
    schema_id, payload = unframe(output.value)
    codec = _letter_codec()
    letter = codec.decode(payload)
    at = [*chunk.offsets].index(cast(int, letter["offset"]))
    if chunk.values[at] == opened.values[at]:
        return output
    letter["value"] = chunk.values[at]
    return replace(output, value=frame(schema_id, codec.encode(letter)))


def _letter_codec() -> RecordCodec:
    assert _LETTERS.record is not None
    return RecordCodec(record_schema(_LETTERS.record))


def _sealed_letters(write: DeadLetterWriter, seal: _Sealer) -> DeadLetterWriter:
    def letters(chunk: Chunk, failure: Failure) -> Sequence[Output]:
        sealed = seal.outputs(write(chunk, failure))
        return [output for output in sealed if isinstance(output, Output)]

    return letters
