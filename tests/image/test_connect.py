"""The images of Kafka Connect have the jars of the locks, and nothing else."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from sandbox.stack.connect import AVRO_CONVERTER, AVRO_CONVERTER_JARS
from sandbox.stack.jars import read_lock
from tests.image.engine import Engine

LOCKED = {
    group: {f"{jar.artifact}-{jar.version}.jar": jar.sha256 for jar in jars if jar.group == group}
    for group, jars in (("debezium", read_lock()), ("lake", read_lock("lake.lock")))
}


@pytest.mark.parametrize("target", ["connect", "strimzi"])
def test_plugins_are_the_jars_of_the_locks(
    builder: Engine, revision: str, target: str, checked: Counter[str]
) -> None:
    with builder.opened(builder.build(target, revision)) as image:
        plugins = image.root / "opt" / "kafka" / "plugins"
        folders = {path.name: path for path in plugins.iterdir()}
        found = {group: hashes(folders[group]) for group in LOCKED}
        avro = {path.name for path in folders["avro"].iterdir()}
        with zipfile.ZipFile(folders["avro"] / "services.jar") as services:
            [name] = services.namelist()
            assert services.read(name).decode().strip() == AVRO_CONVERTER
        modes = {path.lstat().st_mode & 0o7777 for path in plugins.rglob("*.jar")}
        assert {path.is_symlink() for path in plugins.rglob("*")} == {False}

    assert folders.keys() == {"debezium", "avro", "lake"}
    assert found == LOCKED
    assert all(name.startswith(AVRO_CONVERTER_JARS) for name in avro - {"services.jar"})
    assert modes == {0o644}
    checked[f"jars of {target}"] = sum(map(len, found.values())) + len(avro)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
