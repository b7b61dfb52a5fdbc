"""Records that no handler can digest: whose fault an error is, and what may be said of it.

A handler is pure, so a chunk it fails on fails in every life of the process. The processor splits
such a chunk until the record stands alone, and puts it aside as a dead letter. That is right only
where the record is at fault: `is_of_records` decides.
"""

import asyncio
import traceback
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from schemas.errors import FatalError, PsaStreamError, RecordError, TransientError
from streams.engine.contract import (
    Accounting,
    Chunk,
    ChunkHandler,
    DeadLetterWriter,
    Effects,
    Failure,
    State,
)
from streams.engine.errors import PoisonRecordError

PROCESS_ENDS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
"""What nobody may catch and go on."""

_FRAMES_MAX: Final = 8
_CAUSES_MAX: Final = 4


class UndigestedError(Exception):
    """A chunk, or what it was to write, failed for a record in it. Never leaves the engine."""

    def __init__(self, chunk: Chunk, cause: BaseException) -> None:
        super().__init__(f"{len(chunk)} records of {chunk.topic}")
        self.chunk = chunk
        self.cause = cause


def is_of_records(error: BaseException, records: int) -> bool:
    """Whether a chunk of so many records may be split, or its one record put aside, for `error`.

    Not for what ends the process, for what passes, and for what is wrong with the worker, its
    configuration, its state or its machine. polars panics by a BaseException. Fewer records take
    less memory; one that does not fit may fit elsewhere.
    """
    match error:
        case RecordError():
            return True
        case TransientError() | FatalError() | OSError():
            return False
        case MemoryError():
            return records > 1
    return not isinstance(error, PROCESS_ENDS)


def failure_of(error: BaseException) -> Failure:
    """What a dead letter says of `error`: no message of a library, which may quote the record."""
    if isinstance(error, PsaStreamError):
        return Failure(error.code, error.detail, error.hint)
    return Failure(
        PoisonRecordError.code,
        f"no handler can digest the record: {short_trace(error)}",
        "keep the dead letter and report the defect; correct the row at its source",
    )


def short_trace(error: BaseException) -> str:
    """Types and places of an error and of its causes, the innermost place first, no messages."""
    return "; caused by ".join(
        " < ".join([type(each).__qualname__, *_places(each)]) for each in _with_causes(error)
    )


def putting_aside(writer: DeadLetterWriter, failure: Failure) -> ChunkHandler:
    """A handler that digests any chunk: its records become dead letters."""

    def put_aside(chunk: Chunk, state: State) -> Effects:
        letters = writer(chunk, failure)
        return Effects(outputs=[*letters], accounting=Accounting(dead_lettered=len(chunk)))

    return put_aside


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if each is None:
            return
        yield each
        each = each.__cause__ or each.__context__


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    return [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames)]


def _short(filename: str) -> str:
    return "/".join(PurePath(filename).parts[-2:])
