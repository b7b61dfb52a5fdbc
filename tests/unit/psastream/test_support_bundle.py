"""The support bundle: what is in it, and that no secret is."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge
from typer.testing import CliRunner, Result

from psastream.cli import app
from psastream.support_bundle import LOG_MAX_BYTES
from runtime.prometheus import serve_metrics
from tests.unit.streams.test_metrics_port import free_port

CANARIES = {
    "PSASTREAM_KAFKA_SASL_PASSWORD": "abc",  # too short to be masked wherever it stands
    "PSASTREAM_REGISTRY_URL": "http://registry:canary-of-registry@127.0.0.1:1",
    "PSASTREAM_READ_MODEL_URL": "postgresql://psa:canary-of-database@127.0.0.1:1/psa",
}
LOG = """\
{"event": "poll.failed", "error": "401 for Authorization: Bearer canary.of.a.log"}
connecting with sasl.password=canary-in-a-line
"""


def read(path: Path) -> dict[str, str]:
    with tarfile.open(path) as bundle:
        files = ((member.name, bundle.extractfile(member)) for member in bundle)
        return {name: file.read().decode() for name, file in files if file is not None}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, str]]:
    """A bundle of a firm whose parts are away, but for one process."""
    tmp_path = tmp_path_factory.mktemp("bundle")
    registry = CollectorRegistry()
    Gauge("psastream_lag_records", "Lag.", registry=registry).set(7)
    port = free_port()
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "poller.log").write_text(LOG)
    others = tmp_path / "others"
    others.mkdir()
    (others / "poller.log").write_text("of another host")
    cut = (
        "postgresql://psa:canary-canary-canary@database/psa\n"  # of which the first 20 are left out
    )
    rest = "\nthe end\n".rjust(LOG_MAX_BYTES + 20 - len(cut), "x")
    (others / "long.log").write_text(cut + rest)
    (logs / "notes.txt").write_text("no log")
    path = tmp_path / "bundle.tar.gz"
    environment = {
        **CANARIES,
        "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "PSASTREAM_PROCESSES": f"worker=http://127.0.0.1:{port},gone=http://127.0.0.1:1",
    }
    serve_metrics(port, registry=registry)
    command = ["support-bundle", str(path), "--logs", str(logs), "--logs", str(others)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        done = CliRunner().invoke(app, command)
    return done, read(path)


def test_what_can_be_gathered_is_there_and_what_cannot_is_told(
    bundle: tuple[Result, dict[str, str]],
) -> None:
    done, files = bundle
    found = {name.removeprefix("bundle/"): text for name, text in files.items()}
    assert done.exit_code == 1
    assert "psastream_lag_records 7.0" in found["metrics/worker.txt"]
    assert "psa.project" in {topic["name"] for topic in json.loads(found["topics.json"])}
    assert {each["part"] for each in json.loads(found["status.json"])["unknown"]}
    assert json.loads(found["check.json"])["verdict"] == "fail"
    assert json.loads(found["settings.json"])["PSASTREAM_BOOTSTRAP_SERVERS"] == "127.0.0.1:1"
    assert json.loads(found["about.json"])["packages"]["psastream"]
    assert "poll.failed" in found["logs/poller.log"]
    assert "logs/notes.txt" not in found
    assert found["logs/2/poller.log"] == "of another host"
    assert found["logs/long.log"].endswith("\nthe end\n")
    assert "metrics/gone.txt" not in found
    assert "metrics/gone.txt: ConnectError" in found["problems.txt"]
    assert "not gathered: metrics/gone.txt" in done.output


def test_no_secret_is_in_it(bundle: tuple[Result, dict[str, str]]) -> None:
    done, files = bundle
    text = done.output + "".join(files.values())
    assert "canary" not in text
    settings = json.loads(files["bundle/settings.json"])
    assert settings["PSASTREAM_KAFKA_SASL_PASSWORD"] == "***"


def test_a_bundle_takes_the_place_of_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSASTREAM_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("PSASTREAM_REGISTRY_URL", "http://127.0.0.1:1")
    path = tmp_path / "there.tar.gz"
    path.write_text("mine")
    done = CliRunner().invoke(app, ["support-bundle", str(path)])
    assert done.exit_code == 2
    assert f"cannot write {path}: File exists" in done.output
    assert path.read_text() == "mine"
