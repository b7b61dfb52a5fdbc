"""Spans that a test looks at instead of sending them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runtime.tracing import Tracing, use_tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
KEPT = f"00-{TRACE}-{SPAN}-01"
NOT_KEPT = f"00-{TRACE}-{SPAN}-00"
OTHER = f"00-{'c' * 32}-{'d' * 16}-01"


@dataclass
class Recorded:
    """What makes the spans of this process, and those that have ended."""

    tracing: Tracing
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> Any:
        [span] = [span for span in self.spans if span.name == name]
        return span


def place_of(span: Any) -> tuple[str, str]:
    """Trace and parent of a span, as in a `traceparent`; the parent of a first one is empty."""
    parent = f"{span.parent.span_id:016x}" if span.parent else ""
    return f"{span.context.trace_id:032x}", parent


@contextmanager
def recorded(ratio: float = 1.0) -> Iterator[Recorded]:
    """Have this process make spans that are kept by chance, until the end of the block."""
    exporter = InMemorySpanExporter()
    made = Tracing(SimpleSpanProcessor(exporter), "test", ratio=ratio)
    use_tracing(made)
    try:
        yield Recorded(made, exporter)
    finally:
        use_tracing(None)
