"""The next vendor is a bundle, a twin and their tests: no file besides changes for it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PARTS = (
    "schemas", "tables", "streams", "connectors", "runtime", "psastream", "sandbox", "docs",
    "deploy", "tests/support", "tests/unit/connectors/questions",
)  # fmt: skip
FILES = (
    "pyproject.toml", "CHANGELOG.md", "tests/unit/connectors/test_sign_in.py",
    "tests/unit/schemas/test_command_contracts.py", "tests/unit/schemas/test_commands.py",
)  # fmt: skip
MODEL, NAME = "runn", "plover"
FOLDERS = ("connectors/vendors", "sandbox/vendors")
HOLDS_S = 400


def renamed(text: str) -> str:
    """What a file of the model says, about the next vendor."""
    for old, new in ((MODEL, NAME), (MODEL.upper(), NAME.upper()), (MODEL.title(), NAME.title())):
        text = re.sub(rf"{old}(?![a-z])", new, text)
    return text


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with a vendor that nobody has named: a small real one under another name."""
    made = tmp_path_factory.mktemp("repository")
    for part in PARTS:
        skipped = shutil.ignore_patterns("__pycache__", "*.png", "*.svg")
        shutil.copytree(ROOT / part, made / part, ignore=skipped)
    for file in FILES:
        (made / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, made / file)
    for folder in FOLDERS:
        for path in sorted((made / folder / MODEL).rglob("*")):
            if path.is_file():
                other = made / folder / NAME / path.relative_to(made / folder / MODEL)
                other.parent.mkdir(parents=True, exist_ok=True)
                other.write_text(renamed(path.read_text()))
    questions = made / "tests" / "unit" / "connectors" / "questions"
    shutil.copy(questions / f"{MODEL}.txt", questions / f"{NAME}.txt")
    return made


def run_in(folder: Path, *arguments: str) -> str:
    program = [sys.executable, "-m", *arguments]
    done = subprocess.run(
        program, cwd=folder, capture_output=True, text=True, check=False, timeout=HOLDS_S
    )
    assert done.returncode == 0, f"{done.stdout[-6_000:]}{done.stderr[-6_000:]}"
    return done.stdout


def test_it_is_served_read_written_to_and_shown(copy: Path) -> None:
    run_in(copy, "tests.support.next_vendor", NAME)


def test_tests_of_every_vendor_are_about_it(copy: Path) -> None:
    files = [file for file in FILES if file.endswith(("test_sign_in.py", "contracts.py"))]
    said = run_in(copy, "pytest", "-q", "-p", "no:cacheprovider", "-k", NAME, *files)
    assert "2 passed" in said
