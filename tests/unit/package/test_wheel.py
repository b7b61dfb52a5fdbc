"""The wheel holds what is read at run time, and runs where there is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.wheel import PACKAGES, PYPROJECT, REPOSITORY, build_wheel

USED = """
import json, sys
home, packages, checkout = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
sys.path[:] = [each for each in sys.path if each != checkout]
from importlib.metadata import version
from pathlib import Path
from typer.testing import CliRunner
from connectors.systems import Systems
from psastream.cli import app
from psastream.query.views import packaged_views
from sandbox.demo import parts
from sandbox.stack.jars import read_lock

home = Path(home)
vendor = str(home / "connectors" / "vendors" / "float")
asked = [["-h"], ["topics", "list", "--json"], ["flows"], ["system", "check", vendor]]
asked += [["docs", "runbooks/dead-letters"], ["explain", "fatal.config"]]
told = {" ".join(each[:2]): CliRunner().invoke(app, each) for each in asked}
elsewhere = [
    name for name, module in sys.modules.items()
    if name.partition(".")[0] in packages and not Path(module.__file__).is_relative_to(home)
]
read = [*Systems().names()], len(packaged_views()), len(read_lock())
files = [parts.PSA_SCHEMA, parts.CONNECTORS / "vendors", parts.OWN_SYSTEMS]
print(json.dumps({
    "exits": {name: each.exit_code for name, each in told.items()},
    "errors": {name: each.output for name, each in told.items() if each.exit_code},
    "elsewhere": elsewhere,
    "read": [bool(each) for each in read],
    "missing": [str(file) for file in files if not file.exists()],
    "version": version("psastream"),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_packages_is_in_it_and_nothing_else(names: set[str]) -> None:
    files = {
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"sandbox/psa.sql", "connectors/landscape.yaml", "psastream/py.typed"} <= files
    pages = {
        f"psastream/{path.relative_to(REPOSITORY)}"
        for path in (REPOSITORY / "docs").rglob("*")
        if path.is_file()
    }
    assert "psastream/docs/errors.md" in pages
    assert {name for name in names if ".dist-info/" not in name} == files | pages


def test_it_declares_its_command_its_extras_and_its_licence(wheel: Path) -> None:
    (told,) = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()} - {*PACKAGES}
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{told}/METADATA").decode())
        commands = archive.read(f"{told}/entry_points.txt").decode()
        assert b"Apache License" in archive.read(f"{told}/licenses/LICENSE")
    assert set(metadata.get_all("Provides-Extra", ())) == {"sandbox", "sql", "traces"}
    assert metadata["Version"] == PYPROJECT["project"]["version"]
    assert "psastream = psastream.cli:app" in commands


def test_it_runs_in_another_folder_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    away.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home)
    asked = subprocess.run(
        [sys.executable, "-c", USED, str(home), ",".join(PACKAGES), str(REPOSITORY)],
        cwd=away,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout.splitlines()[-1])
    assert found["errors"] == {}
    assert set(found["exits"].values()) == {0}
    assert found["elsewhere"] == []
    assert found["missing"] == []
    assert found["read"] == [True, True, True]
    assert found["version"] == PYPROJECT["project"]["version"]
