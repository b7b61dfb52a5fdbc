"""Processes whose broker or Connect does not answer: what they say, and how they end."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.eventually import eventually

Process = subprocess.Popen[bytes]
CONNECTORS = Path(__file__).parents[2] / "connectors"
LONGEST_END_S = 60.0
"""On a machine that is busy; that nothing is waited for is seen by the exit code."""


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def silent() -> Iterator[int]:
    """A port that accepts connections and says nothing: a host that hangs."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


@contextmanager
def running(
    command: list[str], port: int, log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process of ours that finds every part behind `port`, with nothing writable around it."""
    metrics_port = free_port()
    environment = {name: value for name, value in os.environ.items() if "PSASTREAM" not in name}
    environment |= {
        "PSASTREAM_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "PSASTREAM_REGISTRY_URL": f"http://127.0.0.1:{port}",
        "PSASTREAM_CONNECT_URL": f"http://127.0.0.1:{port}",
        "PSASTREAM_METRICS_PORT": str(metrics_port),
        "PSASTREAM_DATA_DIR": "/proc/nowhere",
        "HOME": "/proc/nowhere",
        "FLOAT_URL": f"http://127.0.0.1:{port}",
        "FLOAT_TOKEN": "token",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "psastream", *command],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
        )
        try:
            yield process, f"http://127.0.0.1:{metrics_port}"
        finally:
            process.kill()
            process.wait()


def listening(pid: int) -> list[str]:
    """Where a process accepts connections: address:port."""
    found = psutil.Process(pid).net_connections("inet")
    return [f"{it.laddr.ip}:{it.laddr.port}" for it in found if it.status == psutil.CONN_LISTEN]


def answer(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


POLL = ["poll", "--config", str(CONNECTORS / "vendors/float/source.json")]
WATCH = ["connectors", "watch", "--config", str(CONNECTORS / "vendors/inhouse/connector.json")]


@pytest.mark.fault("D11", place="runtime/threads.py")
@pytest.mark.fault("D12", place="connectors/polled/main.py")
@pytest.mark.fault("D13", place="connectors/polled/main.py")
@pytest.mark.parametrize("command", [POLL, WATCH], ids=["poll", "watch"])
def test_d11_without_its_parts_a_process_says_so_lives_and_ends_when_asked(
    command: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with silent() as port, running(command, port, log) as (process, probes):
        eventually(lambda: "will be tried again" in log.read_text(), deadline_s=LONGEST_END_S)
        assert answer(f"{probes}/livez") == 200
        assert answer(f"{probes}/readyz") == 503
        assert [f"http://{where}" for where in listening(process.pid)] == [probes]
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONGEST_END_S) == 0
    lines = log.read_text().splitlines()
    assert len(lines) == 1, lines
