"""The HTTP port of a process: metrics and checks, over real HTTP."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Counter

from runtime.prometheus import serve_metrics
from schemas.errors import ConfigError
from streams.instruments import PrometheusInstruments


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_metrics_and_checks_answer() -> None:
    registry, port, healthy = CollectorRegistry(), free_port(), [True]
    Counter("invoices", "for the test", registry=registry).inc()
    checks = {"readyz": lambda: healthy[0]}
    serve_metrics(port, registry=registry, checks=checks, reasons=lambda: ["a is away", "é"])
    url = f"http://127.0.0.1:{port}"
    assert "invoices_total 1.0" in httpx2.get(f"{url}/metrics").text
    assert httpx2.get(f"{url}/readyz").status_code == 200
    healthy[0] = False
    failing = httpx2.get(f"{url}/readyz")
    assert (failing.status_code, failing.text) == (503, "a is away\né\n")


def test_a_process_knows_that_its_metrics_were_taken() -> None:
    port = free_port()
    scrapes = serve_metrics(port, registry=CollectorRegistry())
    url = f"http://127.0.0.1:{port}"
    httpx2.get(f"{url}/livez")
    assert not scrapes.wait_for_next(0.01)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(scrapes.wait_for_next, 30)
        while not waiting.done():
            httpx2.get(f"{url}/metrics")
        assert waiting.result()


@pytest.mark.fault("D13", place="runtime/prometheus.py")
@pytest.mark.parametrize("path", ["/", "/readyz", "/livez", "/healthz", "/metrics/x"])
def test_d13_a_path_that_nobody_answers_is_not_found(path: str) -> None:
    port = free_port()
    serve_metrics(port, registry=CollectorRegistry())
    assert httpx2.get(f"http://127.0.0.1:{port}{path}").status_code == 404


def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(ConfigError, match="PSASTREAM_METRICS_PORT"):
            serve_metrics(listener.getsockname()[1], registry=CollectorRegistry())


def test_the_lag_of_a_partition_given_up_is_not_reported() -> None:
    registry = CollectorRegistry()
    instruments = PrometheusInstruments(registry)
    labels = {"topic": "psa.time_entry", "partition": "3"}
    instruments.lag("psa.time_entry", 3, 7)
    assert registry.get_sample_value("psastream_lag_records", labels) == 7
    instruments.given_up("psa.time_entry", 3)
    instruments.given_up("psa.time_entry", 3)
    assert registry.get_sample_value("psastream_lag_records", labels) is None
