"""Tracing as a process has it: off without a word, on with an address, ids in its logs."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading

import pytest
import structlog
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runtime import secrets
from runtime.logs import configure_logs
from runtime.secrets import mask
from runtime.settings import Settings
from runtime.tracing import Tracing, current_headers, start_tracing, stop_tracing, tracing
from schemas.errors import ConfigError
from tests.support.log_calls import PACKAGES, ROOT
from tests.support.logging_back import logging_put_back, secrets_put_back
from tests.support.spans import KEPT, TRACE, recorded

ENVIRONMENT = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1",
}
ON = ENVIRONMENT | {"PSASTREAM_TRACES_URL": "http://127.0.0.1:1"}


def test_nothing_is_traced_without_an_address() -> None:
    assert start_tracing(Settings.from_env(ENVIRONMENT), "worker", {}) is None
    assert tracing() is None
    assert current_headers() == []
    stop_tracing()


def test_who_does_not_trace_needs_no_package_for_it() -> None:
    at_import = re.compile(r"^(?:from|import) opentelemetry", re.MULTILINE)
    modules = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    assert [path for path in modules if at_import.search(path.read_text())] == []


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match="OpenTelemetry is not installed") as caught:
        start_tracing(Settings.from_env(ON), "worker", {})
    assert "[traces]" in caught.value.hint


def test_what_the_collector_asks_for_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_remembered", type(secrets._remembered)())
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=very%20Secret7,x-other=alsoSecret8"}
    with secrets_put_back():
        made = start_tracing(Settings.from_env(ON), "worker", headers)
        try:
            assert made is tracing()
            shown = mask("very%20Secret7 very Secret7 alsoSecret8")
        finally:
            stop_tracing()
    assert "Secret" not in shown
    assert tracing() is None


def test_a_collector_that_does_not_answer_holds_up_no_end() -> None:
    answers = threading.Event()

    class Hanging(SimpleSpanProcessor):
        def shutdown(self) -> None:
            answers.wait()

    made = Tracing(Hanging(InMemorySpanExporter()), "worker", ratio=1.0)
    made.stop(within_s=0.01)
    assert not answers.is_set()
    answers.set()


def test_lines_name_the_span_that_is_worked_in_where_it_is_kept() -> None:
    stream = io.StringIO()
    with recorded(ratio=0.0) as it, logging_put_back():
        configure_logs(json=True)
        logging.getLogger().handlers[0].setStream(stream)  # type: ignore[attr-defined]
        kept = it.tracing.start("x", "INTERNAL", {}, parent=KEPT)
        lost = it.tracing.start("x", "INTERNAL", {})
        for span in (kept, lost):
            with it.tracing.as_current(span):
                structlog.get_logger().info("worker.stopped", exit_code=0)
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert first["trace_id"] == TRACE
    assert first["span_id"] == f"{kept.get_span_context().span_id:016x}"
    assert "trace_id" not in second
