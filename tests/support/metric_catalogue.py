"""Every Prometheus metric the product defines, read from the objects that define them."""

from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry

import connectors.polled.instruments  # noqa: F401 - registers the pollers' metrics by import
from connectors.dispatch.metrics import DispatchMetrics
from streams.instruments import PrometheusInstruments

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric: its documented name, and the names of the series it exposes."""

    name: str
    kind: str
    meaning: str
    series: frozenset[str]


def product_metrics() -> list[MetricFamily]:
    """All metrics of worker, poller and dispatcher, by name."""
    worker, dispatcher = CollectorRegistry(), CollectorRegistry()
    PrometheusInstruments(worker)
    DispatchMetrics(dispatcher)
    found = []
    for registry in (worker, dispatcher, REGISTRY):
        for family in registry.collect():
            if family.name.startswith("psastream_"):
                suffixes = _SUFFIXES.get(family.type, ("",))
                name = family.name + ("_total" if family.type == "counter" else "")
                series = frozenset(family.name + suffix for suffix in suffixes)
                found.append(MetricFamily(name, family.type, family.documentation, series))
    return sorted(found, key=lambda family: family.name)
