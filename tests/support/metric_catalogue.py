"""Every Prometheus metric the product defines, read from the objects that define them."""

from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

import connectors.polled.instruments  # noqa: F401 - registers the pollers' metrics by import
import runtime.certificates
import runtime.sign_ins  # noqa: F401 - registers what every process tells
from connectors.debezium.watcher import WatcherMetrics
from connectors.dispatch.metrics import DispatchMetrics
from psastream.letter_ages import LetterMetrics
from psastream.read_model.conservation import ConservationMetrics
from psastream.read_model.metrics import ReadModelMetrics
from psastream.slots import SlotMetrics
from streams.instruments import PrometheusInstruments

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric: its documented name, and the names of the series it exposes."""

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...]
    series: frozenset[str]


def product_metrics() -> list[MetricFamily]:
    """All metrics of worker, poller, dispatcher, connector watcher and read model, by name."""
    worker, dispatcher, watcher, read_model = (CollectorRegistry() for _ in range(4))
    PrometheusInstruments(worker)
    LetterMetrics(worker)
    DispatchMetrics(dispatcher)
    WatcherMetrics(watcher)
    SlotMetrics(watcher)
    ReadModelMetrics(read_model)
    ConservationMetrics(read_model)
    found = []
    for registry in (worker, dispatcher, watcher, read_model, REGISTRY):
        # The collectors themselves: a family without a sample yet does not tell its labels.
        for it in registry._collector_to_names:
            if not isinstance(it, MetricWrapperBase) or not it._name.startswith("psastream_"):
                continue
            name = it._name
            series = frozenset(name + suffix for suffix in _SUFFIXES.get(it._type, ("",)))
            shown = name + ("_total" if it._type == "counter" else "")
            family = MetricFamily(shown, it._type, it._documentation, it._labelnames, series)
            found.append(family)
    return sorted(found, key=lambda family: family.name)
