"""A real OpenTelemetry Collector, and the spans that it handed on."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.deploy.tools import collector
from tests.support.eventually import eventually

CONFIG = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:{port}"}}
exporters:
  otlphttp:
    endpoint: http://127.0.0.1:{onward}
    encoding: json
    compression: none
service:
  telemetry:
    metrics: {{level: none}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlphttp]}}
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A span as the collector hands it on. `parent` is empty for the first one of a trace."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]
    text: str


@dataclass
class Received:
    """What the collector has handed on so far."""

    url: str
    spans: list[Span] = field(default_factory=list)

    def by_id(self) -> dict[tuple[str, str], Span]:
        return {(span.trace, span.id): span for span in [*self.spans]}

    def named(self, name: str) -> list[Span]:
        return [span for span in [*self.spans] if span.name == name]

    def way_to(self, span: Span) -> list[Span]:
        """The spans from the first one of a trace to this one."""
        known, way = self.by_id(), [span]
        while way[0].parent:
            way.insert(0, known[span.trace, way[0].parent])
        return way


def _spans_in(document: Mapping[str, Any]) -> Iterator[Span]:
    for group in document["resourceSpans"]:
        service = _attributes(group["resource"])["service.name"]
        for scope in group["scopeSpans"]:
            for it in scope["spans"]:
                yield Span(
                    service, it["name"], it["kind"], it["traceId"], it["spanId"],
                    it.get("parentSpanId", ""), int(it["startTimeUnixNano"]),
                    int(it["endTimeUnixNano"]), _attributes(it),
                    tuple((each["traceId"], each["spanId"]) for each in it.get("links", ())),
                    json.dumps([it, group["resource"]]),
                )  # fmt: skip


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {it["key"]: next(iter(it["value"].values())) for it in holder.get("attributes", ())}


@contextmanager
def collecting(folder: Path) -> Iterator[Received]:
    """Run a collector; yield what it hands on, with the address that takes spans."""
    received = Received(f"http://127.0.0.1:{(port := _free_port())}")

    class Onward(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.spans.extend(_spans_in(json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Onward) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config, log = folder / "collector.yaml", folder / "collector.log"
        config.write_text(CONFIG.format(port=port, onward=server.server_port))
        command = [str(collector()), "--config", str(config)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            eventually(lambda: "Everything is ready" in log.read_text(), deadline_s=30)
            yield received
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
