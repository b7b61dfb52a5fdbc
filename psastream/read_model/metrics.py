"""Prometheus instruments of the read model."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class ReadModelMetrics:
    """All instruments of the process that writes the read model."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.rows = Counter(
            "psastream_read_model_rows",
            "Rows written to the read model or deleted there.",
            registry=registry,
        )
        self.written_at = Gauge(
            "psastream_read_model_written_timestamp_seconds",
            "When rows were last written to the read model.",
            registry=registry,
        )
        self.caught_up = Gauge(
            "psastream_read_model_caught_up",
            "1 while the read model follows its topics from their ends, 0 while it fills, fails or"
            " hangs.",
            registry=registry,
        )
