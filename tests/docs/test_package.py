"""The package in a clean environment, as docs/install.md has it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.blocks import REPOSITORY, SCRIPTS, Block, Shell, needing
from tests.support.wheel import UV, build_wheel

UNREACHABLE = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the checkout with `dist`, the wheel in it, and `uv` on the path."""
    home = tmp_path_factory.mktemp("home")
    build_wheel(home / "dist")
    (home / "bin").mkdir()
    for name in ("uv", "uvx"):
        (home / "bin" / name).symlink_to(SCRIPTS / name)
    return home


@pytest.fixture(scope="module")
def bare(home: Path) -> Path:
    """The scripts of an environment with the package alone, without an extra."""
    (wheel,) = (home / "dist").glob("*.whl")
    environment = home / "bare"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", environment, wheel]
    subprocess.run(install, check=True)
    return environment / "bin"


@pytest.mark.parametrize("block", needing("checkout"), ids=str)
def test_a_block_runs_in_the_checkout(block: Block) -> None:
    """Without an activated environment, and what a demo prints to try next in the same shell."""
    shell = Shell(REPOSITORY, {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    for command in block.commands:
        printed = shell.run(command)
        if command == "make demo":
            answers_what_is_next(shell, printed)


@pytest.mark.stack
def test_the_package_is_installed_and_tells_the_story(home: Path) -> None:
    """The demo from the wheel alone, and then an environment that knows no checkout."""
    shell = Shell(home, {"UV_PYTHON": sys.executable}, f'export PATH="{home}/bin:/usr/bin:/bin"')
    for block in needing("package"):
        for command in block.commands:
            shell.run(command)
    assert "all books agree" in shell.printed
    assert "psa.metric.project_margin" in shell.printed
    answers_what_is_next(shell, shell.printed)
    where = "import psastream, sandbox; print(psastream.__file__, sandbox.__file__)"
    found = shell.run(f'"{home}/psastream-env/bin/python" -c "{where}"').split()
    assert [each for each in found if not Path(each).is_relative_to(home)] == []


def answers_what_is_next(shell: Shell, printed: str) -> None:
    """Run the three commands that a demo ends with, as they are printed."""
    _, _, rest = printed.partition("what else can be asked\n")
    commands, _, _ = rest.partition("The tables above")
    assert commands.count(" sql --from ") == 3
    told = shell.run(commands)
    assert re.search(r"Nordlicht control room \(DE\) +2026-09 +-?[\d.]+  EUR", told), told
    for said in ("Baltyk routing study (PL)", "PSA tax code", "utilization_by_person_week"):
        assert said in told


@pytest.mark.parametrize(
    "command",
    [
        "--version",
        "-h",
        "topics list",
        "flows",
        "sql",
        "system check FLOAT",
        "docs",
        "explain fatal",
    ],
)
def test_a_command_runs_without_extras(bare: Path, tmp_path: Path, command: str) -> None:
    (vendors,) = bare.parent.glob("lib/python*/site-packages/connectors/vendors")
    shell = Shell(tmp_path, begin=f'export PATH="{bare}:/usr/bin:/bin"')
    assert shell.run(f"psastream {command.replace('FLOAT', str(vendors / 'float'))}")


@pytest.mark.parametrize(
    ("command", "extra"),
    [("demo", "sandbox"), ("up", "sandbox"), ("sql 'FROM pipeline'", "sql")],
)
def test_a_command_whose_extra_is_missing_says_so(
    bare: Path, tmp_path: Path, command: str, extra: str
) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{bare}/psastream {command}"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", **UNREACHABLE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (wheel,) = (bare.parents[1] / "dist").glob("*.whl")
    assert f'pip install "dist/{wheel.name}[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr
