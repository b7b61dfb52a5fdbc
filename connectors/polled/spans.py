"""Spans of captured changes: each begins a trace, which its record's header carries on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import time_ns
from typing import Final

from connectors.polled.bookmark import Batch
from runtime.tracing import HEADER, tracing

Headers = Sequence[tuple[str, bytes]]

_NS: Final = 1_000_000_000


@contextmanager
def capturing(system: str, topic: str, batch: Batch) -> Iterator[Sequence[Headers]]:
    """Make the spans of a batch's changes, from their capture to the end of the block.

    Yields the headers of each change, also where its trace is not kept: readers then begin none.
    Nothing where tracing is off.
    """
    made = tracing()
    if made is None:
        yield ()
        return
    now_ns = time_ns()
    spans = [
        made.start(
            f"capture {topic}",
            "PRODUCER",
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": topic,
                "psastream.system": system,
                "psastream.object": batch.obj,
                "psastream.change": change.op,
            },
            start_ns=min(now_ns, int(change.captured_at.timestamp() * _NS)),
        )
        for change in batch.changes
    ]
    try:
        yield [((HEADER, made.traceparent(span).encode()),) for span in spans]
    except BaseException as error:
        for span in spans:
            made.failed(span, error)
        raise
    finally:
        for span in spans:
            span.end()
