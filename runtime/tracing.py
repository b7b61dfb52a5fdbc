"""Spans of this process and their contexts, in OpenTelemetry's terms; nothing where tracing is off.

Contexts travel as W3C `traceparent` in headers of Kafka records. `tracestate` and baggage are
neither read nor written: they may hold anything. No attribute holds a key of a record, a name, an
amount or a text of a vendor: ids that psastream makes, names of topics and systems, codes, numbers.

Whatever costs is behind `tracing()`, which is None unless `start_tracing` was called with an
address; the packages of the extra `traces` are imported only then.
"""

from __future__ import annotations

import math
import random
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from runtime.extras import install_hint
from runtime.secrets import remember
from runtime.settings import Settings
from schemas.errors import ConfigError, PsaStreamError

HEADER: Final = "traceparent"
STOP_S: Final = 2.0
"""How long the end of a process may wait for a collector."""
_FORM: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_SAMPLED: Final = 1
_SECRET_VARIABLES: Final = (
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
)

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]
Headers = Iterable[tuple[str, bytes | str | None]] | None
"""Headers of a record, as clients of Kafka give them."""


def traceparent_of(headers: Headers) -> str | None:
    """Return the last `traceparent` of a record's headers; None where none is one."""
    found = None
    for name, value in headers or ():
        if name == HEADER and value is not None:
            text = value if isinstance(value, str) else value.decode("utf-8", "replace")
            found = text if _FORM.fullmatch(text) else None
    return found


def is_sampled(traceparent: str) -> bool:
    """Whether whoever began the trace chose that it is kept."""
    return bool(int(traceparent[-2:], 16) & _SAMPLED)


def trace_of(traceparent: str) -> str:
    """Return the id of a trace: 32 hexadecimal digits."""
    return traceparent[3:35]


class Tracing:
    """Makes spans. Of the changes that begin a trace, the share `ratio` is kept."""

    def __init__(
        self,
        processor: Any,
        service: str,
        *,
        ratio: float,
        instance: str | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`processor` is a SpanProcessor of the SDK; `chance` draws from [0, 1)."""
        from opentelemetry import context, trace  # noqa: PLC0415 - of an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider, sampling  # noqa: PLC0415
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

        self.ratio = ratio
        self._chance = chance
        self._processor = processor
        self._trace = trace
        self._nothing = context.Context()
        self._propagator = tracecontext.TraceContextTextMapPropagator()
        named = {"service.name": f"psastream-{service}", "service.namespace": "psastream"}
        if instance is not None:
            named["service.instance.id"] = instance
        resource = Resource.create(named)

        def tracer(root: Any) -> Any:
            provider = TracerProvider(
                sampler=sampling.ParentBased(root), resource=resource, shutdown_on_exit=False
            )
            provider.add_span_processor(processor)
            return provider.get_tracer("psastream")

        self._drawn = tracer(sampling.TraceIdRatioBased(ratio))
        self._chosen = tracer(sampling.ALWAYS_ON)

    def start(
        self,
        name: str,
        kind: str,
        attributes: Attributes,
        *,
        parent: str | None = None,
        is_chosen: bool = False,
        links: Iterable[str] = (),
        start_ns: int | None = None,
    ) -> Any:
        """Return a span that has begun; who asks for it ends it.

        `kind` is a name of SpanKind, `parent` and `links` are `traceparent`s. Without a parent it
        begins a trace, which is kept by chance, or surely where it `is_chosen`.
        """
        return (self._chosen if is_chosen else self._drawn).start_span(
            name,
            context=self._context(parent) if parent else self._nothing,
            kind=self._trace.SpanKind[kind],
            attributes=dict(attributes),
            links=[self._trace.Link(self._span_context(each)) for each in links],
            start_time=start_ns,
        )

    def start_child(self, name: str, kind: str, attributes: Attributes) -> Any:
        """Return a span that has begun below the current one."""
        return self._drawn.start_span(
            name, kind=self._trace.SpanKind[kind], attributes=dict(attributes)
        )

    def as_current(self, span: Any) -> AbstractContextManager[Any]:
        """Have a span be the current one of this task or thread; it is not ended."""
        used: AbstractContextManager[Any] = self._trace.use_span(
            span, end_on_exit=False, record_exception=False, set_status_on_exception=False
        )
        return used

    def current(self) -> Any | None:
        """Return the span of this task or thread where it is kept, else None."""
        span = self._trace.get_current_span()
        return span if span.is_recording() else None

    def traceparent(self, span: Any) -> str:
        """Return the context of a span as it travels."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(span))
        return carrier[HEADER]

    def failed(self, span: Any, error: BaseException | str) -> None:
        """Note an error on a span: its code or type, and nothing of what it says."""
        if isinstance(error, BaseException):
            error = error.code if isinstance(error, PsaStreamError) else type(error).__name__
        span.set_attribute("error.type", error)
        span.set_status(self._trace.StatusCode.ERROR)

    def draws(self, count: int) -> Iterator[int]:
        """Yield which of `count` changes begin a trace that is kept: each by itself, by chance.

        Draws the gaps between them, so that it costs what is kept and not what there is.
        """
        if self.ratio <= 0:
            return
        at = -1
        while True:
            gap = 1.0
            if self.ratio < 1:
                gap += math.log(1.0 - self._chance()) // math.log(1.0 - self.ratio)
            if at + gap >= count:
                return
            at += int(gap)
            yield at

    def stop(self, within_s: float = STOP_S) -> None:
        """Send what is left, as far as that can be done within so many seconds.

        The SDK waits half a minute for a collector that does not answer: longer than a process has
        to end.
        """
        stopping = threading.Thread(target=self._processor.shutdown, daemon=True)
        stopping.start()
        stopping.join(within_s)

    def _context(self, traceparent: str) -> Any:
        return self._propagator.extract({HEADER: traceparent}, self._nothing)

    def _span_context(self, traceparent: str) -> Any:
        return self._trace.get_current_span(self._context(traceparent)).get_span_context()


_tracing: Tracing | None = None


def tracing() -> Tracing | None:
    """Return what makes the spans of this process; None where tracing is off."""
    return _tracing


def use_tracing(new: Tracing | None) -> None:
    """Make spans by this from now on; None: make none."""
    global _tracing  # noqa: PLW0603 - one a process, as its log
    _tracing = new


def start_tracing(
    settings: Settings, service: str, environment: Mapping[str, str]
) -> Tracing | None:
    """Have this process make spans, where settings name a collector; return what makes them.

    `service` is the part of the product. The environment's variables `OTEL_EXPORTER_OTLP_*`,
    `OTEL_BSP_*` and `OTEL_RESOURCE_ATTRIBUTES` are the SDK's own. Raises ConfigError where the
    packages are missing.
    """
    if settings.traces_url is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            "PSASTREAM_TRACES_URL is set, and OpenTelemetry is not installed",
            hint=install_hint("traces"),
        ) from error
    for name in _SECRET_VARIABLES:
        for pair in environment.get(name, "").split(","):
            remember(pair.partition("=")[2].strip())
    exporter = OTLPSpanExporter(endpoint=f"{settings.traces_url.rstrip('/')}/v1/traces")
    made = Tracing(
        BatchSpanProcessor(exporter),
        service,
        ratio=settings.traces_ratio,
        instance=settings.instance_id,
    )
    use_tracing(made)
    return made


def stop_tracing() -> None:
    """Send what is left, and make no spans any more."""
    if _tracing is not None:
        _tracing.stop()
        use_tracing(None)


def current_headers() -> list[tuple[str, bytes]]:
    """Return what a record bears that is published now: the context of the current span, if any."""
    if _tracing is None or (span := _tracing.current()) is None:
        return []
    return [(HEADER, _tracing.traceparent(span).encode())]
