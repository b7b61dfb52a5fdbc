"""Which records of a chunk are traced, and the spans of working them.

A fold of many records does not tell which of them an output is made of. So a record that is traced
is worked alone, in a transaction of its own: whatever comes of it bears its context, and nothing
else does. Consecutive records of one trace, as the outputs of one are, are worked together. Chunks
may be cut anywhere, so results are the same.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from runtime.tracing import HEADER, Tracing, is_sampled, trace_of
from streams.engine.contract import Accounting, Chunk, Header

TRACES_MAX: Final = 16
"""Traces of a chunk that go on: each costs a transaction. Others end before it."""
_LINKS_MAX: Final = 64


class Working:
    """The span of working records of one trace."""

    def __init__(self, span: Any, context: str) -> None:
        self._span = span
        self.headers: Sequence[Header] = ((HEADER, context.encode()),)
        """What outputs bear."""

    def committed(self, accounting: Accounting) -> None:
        """Note what became of the records."""
        for name in ("applied", "stale", "parked", "dead_lettered"):
            if count := getattr(accounting, name):
                self._span.set_attribute(f"psastream.{name}", count)


class ChunkTracing:
    """Traces what a worker's chunks hold."""

    def __init__(
        self,
        tracing: Tracing,
        app_id: str,
        *,
        begins: Callable[[str], bool],
        changed_at_ms: Callable[[bytes], int | None] = lambda _: None,
    ) -> None:
        """`begins` says whether records of a topic begin traces, where they do not bear the context
        of one; `changed_at_ms` tells from the value of such a record when its source changed."""
        self._tracing = tracing
        self._app_id = app_id
        self._begins = begins
        self._changed_at_ms = changed_at_ms

    def parts(self, chunk: Chunk) -> list[tuple[Chunk, Sequence[str]]]:
        """Cut a chunk: parts of one trace, with the contexts of their records, and what lies
        between, without. May wait for the schema of a record that begins a trace."""
        kept = self._kept(chunk)
        if not kept:
            return [(chunk, ())]
        runs: list[tuple[int, list[str]]] = []
        for at, context in sorted(kept.items()):
            if runs:
                first, contexts = runs[-1]
                if at == first + len(contexts) and trace_of(contexts[0]) == trace_of(context):
                    contexts.append(context)
                    continue
            runs.append((at, [context]))
        edges = {edge for first, contexts in runs for edge in (first, first + len(contexts))}
        borders = sorted(edges - {0, len(chunk)})
        of = dict(runs)
        return [
            (part, of.get(start, ()))
            for start, part in zip([0, *borders], chunk.parts(borders), strict=True)
        ]

    def _kept(self, chunk: Chunk) -> dict[int, str]:
        """The contexts of the records that are traced, by their number in the chunk."""
        kept: dict[int, str] = {}
        traces: set[str] = set()

        def keep(at: int, context: str) -> None:
            if len(traces) < TRACES_MAX or trace_of(context) in traces:
                traces.add(trace_of(context))
                kept[at] = context

        borne = chunk.contexts or {}
        for offset, context in sorted(borne.items()):
            if chunk.start_offset <= offset < chunk.end_offset and is_sampled(context):
                keep(bisect_left(chunk.offsets, offset), context)
        if self._begins(chunk.topic):
            for at in self._tracing.draws(len(chunk)):
                if len(traces) >= TRACES_MAX:
                    break
                if chunk.offsets[at] not in borne:
                    keep(at, self._begin(chunk, at))
        return kept

    def _begin(self, chunk: Chunk, at: int) -> str:
        """Begin the trace of a change, from when its source made it to when it was in the topic."""
        value, captured_at_ms = chunk.values[at], chunk.timestamps_ms[at]
        changed_at_ms = None if value is None else self._changed_at_ms(value)
        span = self._tracing.start(
            f"capture {chunk.topic}",
            "PRODUCER",
            self._place(chunk, at, "send"),
            is_chosen=True,
            start_ns=min(captured_at_ms, changed_at_ms or captured_at_ms) * 1_000_000,
        )
        span.end(captured_at_ms * 1_000_000)
        return self._tracing.traceparent(span)

    @contextmanager
    def working(self, part: Chunk, contexts: Sequence[str], group: str) -> Iterator[Working | None]:
        """Make the span of working a part; None where it is of no trace."""
        if not contexts:
            yield None
            return
        parent, *others = dict.fromkeys(contexts)
        span = self._tracing.start(
            f"process {part.topic}",
            "CONSUMER",
            {
                **self._place(part, 0, "process"),
                "messaging.batch.message_count": len(part),
                "messaging.consumer.group.name": self._app_id,
                "psastream.group": group,
            },
            parent=parent,
            links=others[:_LINKS_MAX],
        )
        try:
            with self._tracing.as_current(span):
                yield Working(span, self._tracing.traceparent(span))
        except BaseException as error:
            self._tracing.failed(span, error)
            raise
        finally:
            span.end()

    def _place(self, chunk: Chunk, at: int, operation: str) -> dict[str, str | int]:
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": chunk.topic,
            "messaging.destination.partition.id": str(chunk.partition),
            "messaging.kafka.offset": chunk.offsets[at],
        }
