"""The images at work as in a pod: their own user, no more rights, the root read-only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import httpx2
import pytest

from sandbox.stack.ports import HOST, PortBook
from sandbox.stack.settings import Part
from tests.image.engine import USER, Engine, Image
from tests.support.eventually import eventually
from tests.support.stack import running_stack, stack_directory, stack_settings
from tests.support.wheel import PYPROJECT

NOWHERE = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1",
}
DEADLINE_S = 120.0
OUTSIDE = """
import os, pathlib, sys
tried = {}
for folder in ("/", "/tmp", "/etc", "/opt/psastream", "/usr/local/bin", "/var/tmp", os.getcwd()):
    try:
        pathlib.Path(folder, "written").write_text("x")
        tried[folder] = "written"
    except OSError as error:
        tried[folder] = error.strerror
rights = [line for line in open("/proc/self/status") if line.startswith(("Cap", "NoNewPrivs"))]
print(__import__("json").dumps({"tried": tried, "rights": dict(map(str.split, rights)),
                                "ids": os.getresuid() + os.getresgid() + tuple(os.getgroups())}))
"""


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder outside pytest's, which others may not enter."""
    folder = Path(mkdtemp(prefix="psastream-image-"))
    os.chown(folder, USER, USER)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def ran(
    image: Image, state: Path, *arguments: str, environment: Mapping[str, str] = NOWHERE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        image.command(arguments, state, environment),
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


@contextmanager
def started(
    image: Image, state: Path, *arguments: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        image.command(arguments, state, environment),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def asked_to_end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Send SIGTERM to the process in its own process tree. Returns exit code and what it said."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    said, _ = process.communicate(timeout=DEADLINE_S)
    return process.returncode, said


def test_a_process_can_write_its_state_and_nothing_else(image: Image, state: Path) -> None:
    shell = Image(image.root, {**image.config, "Entrypoint": ["python", "-c", OUTSIDE]}, 0)

    told = json.loads(ran(shell, state).stdout)

    assert told["tried"].pop("/var/lib/psastream") == "written"
    assert set(told["tried"].values()) == {"Read-only file system"}
    assert set(told["ids"]) == {USER}
    assert told["rights"].pop("NoNewPrivs:") == "1"
    del told["rights"]["CapBnd:"]  # what nobody can come by any more
    assert {int(value, 16) for value in told["rights"].values()} == {0}


def test_it_tells_its_version(image: Image, state: Path, checked: Counter[str]) -> None:
    done = ran(image, state, "--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"psastream {PYPROJECT['project']['version']}\n"
    assert list(state.iterdir()) == []
    checked["commands run read-only"] += 1


def test_it_says_what_it_does_not_find(image: Image, state: Path, checked: Counter[str]) -> None:
    done = ran(image, state, "check", "--json")

    found = json.loads(done.stdout)["findings"]
    verdicts = {each["area"]: each["verdict"] for each in found}
    assert done.returncode == 1, done.stderr
    assert verdicts["variables"] == verdicts["landscape"] == "ok"
    assert verdicts["broker"] == verdicts["schemas"] == "fail"
    assert list(state.iterdir()) == []
    checked["commands run read-only"] += 1


@pytest.mark.parametrize("command", ["demo", "up"])
def test_the_sandbox_is_said_to_be_elsewhere(image: Image, state: Path, command: str) -> None:
    done = ran(image, state, command)

    assert done.returncode == 2
    assert "there is no sandbox in the image" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_secret_in_a_file_becomes_a_variable(image: Image, state: Path) -> None:
    (state / "PSASTREAM_LOG_LEVEL").write_text("LOUD")

    done = ran(image, state, "worker", environment={**NOWHERE, "SECRETS_DIR": "/var/lib/psastream"})

    assert done.returncode == 2
    assert "PSASTREAM_LOG_LEVEL" in done.stderr


def test_a_worker_without_a_broker_ends_and_says_so_when_asked(image: Image, state: Path) -> None:
    with started(image, state, "worker", environment=NOWHERE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if process.poll() is None:
            asked_to_end(process)

    assert "127.0.0.1:1" in said


def test_a_worker_works_on_a_broker(image: Image, state: Path, checked: Counter[str]) -> None:
    with stack_directory() as directory:
        parts = frozenset({Part.KAFKA, Part.REGISTRY})
        with running_stack(stack_settings(directory, {}, parts)) as stack:
            port = PortBook(directory / "ports.json").port("image")
            environment = {
                "PSASTREAM_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
                "PSASTREAM_REGISTRY_URL": stack.addresses.registry_url,
                "PSASTREAM_REPLICATION_FACTOR": "1",
                "PSASTREAM_METRICS_PORT": str(port),
            }
            for step in (["topics", "apply"], ["schemas", "register"]):
                done = ran(image, state, *step, environment=environment)
                assert done.returncode == 0, done.stderr
                checked["commands run read-only"] += 1
            with started(image, state, "worker", environment=environment) as process:
                eventually(lambda: is_ready(port) or process.poll() is not None,
                           deadline_s=DEADLINE_S)  # fmt: skip
                assert process.poll() is None, process.communicate()[0][-3000:]
                code, said = asked_to_end(process)

    assert code == 0, said[-3000:]
    assert "Read-only" not in said
    written = list(state.rglob("*"))
    assert written
    assert {path.lstat().st_uid for path in written} == {USER}
    checked["workers ready on a broker, read-only"] += 1


def is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://{HOST}:{port}/readyz", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def test_the_sandbox_has_the_vendors(
    builder: Engine, revision: str, state: Path, checked: Counter[str]
) -> None:
    with builder.opened(builder.build("sandbox", revision)) as image, stack_directory() as folder:
        port = PortBook(folder / "ports.json").port("vendors")
        vendors = Image(
            image.root, {**image.config, "Entrypoint": ["python", "-m", "sandbox.vendors"]}, 0
        )
        options = [f"--port={port}", "--credentials-dir=/var/lib/psastream"]
        with started(vendors, state, *options, environment={}) as process:
            health = f"http://{HOST}:{port}/admin/health"
            eventually(lambda: answers(health) or process.poll() is not None, deadline_s=DEADLINE_S)
            assert process.poll() is None, process.communicate()[0][-3000:]
    checked["sandboxes"] += 1


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False
