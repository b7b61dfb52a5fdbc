"""The blocks of commands that pages show, and a shell that runs them as they are printed.

The word behind `sh` says what a block needs: nothing, or what `NEEDS` names. What no test can run
is in `tests/docs/not_executed.toml`, with its reason.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.eventually import eventually

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SCRIPTS: Final = Path(sys.executable).parent
NOT_EXECUTED: Final = REPOSITORY / "tests" / "docs" / "not_executed.toml"
FENCE: Final = re.compile(r"^```(\S*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL: Final = "sh"
NEEDS: Final = {
    "": "tests/unit/docs/test_blocks.py",
    "bash": "tests/unit/docs/test_completion.py",
    "zsh": "tests/unit/docs/test_completion.py",
    "fish": "tests/unit/docs/test_completion.py",
    "kept": "tests/docs/conftest.py",
    "demo": "tests/docs/test_demo_blocks.py",
    "bi": "tests/bi/test_tutorial.py",
    "lake": "tests/outside/test_lake.py",
    "minutes": "tests/docs/test_blocks.py",
    "checkout": "tests/docs/test_package.py",
    "package": "tests/docs/test_package.py",
    "broker": "tests/docs/test_tutorials.py",
    "database": "tests/docs/test_tutorials.py",
    "cluster": "tests/deploy/test_cluster.py",
}
"""What blocks need, and the tests that have it and run all of them."""
OURS: Final = ("PSASTREAM_", "PYTHON", "VIRTUAL_ENV", "COVERAGE", "MAKE", "MFLAGS")
CACHE: Final = ("PSASTREAM_CACHE_DIR",)
GOES_ON_WITH: Final = {"docs/measure-tutorial.md": "docs/rest-tutorial.md"}
"""Pages that go on in the folder of another one."""
DEADLINE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of commands."""

    page: str
    line: int
    need: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Its commands; one may have several lines."""
        found: list[str] = []
        is_open = False
        for line in self.text.splitlines():
            if is_open:
                found[-1] += f"\n{line}"
            elif line.strip() and not line.startswith("#"):
                found.append(line)
            is_open = line.endswith("\\")
        return found


def pages() -> list[Path]:
    """Every page for people."""
    folders = ("docs", "deploy", "connectors")
    found = (path for folder in folders for path in (REPOSITORY / folder).rglob("*.md"))
    return sorted([*REPOSITORY.glob("*.md"), *found])


def fences(page: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield line, language, word behind it and text of every fenced block of a page."""
    text = page.read_text()
    for found in FENCE.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, *found.groups()


def blocks() -> list[Block]:
    """Every block of commands of every page."""
    return [
        Block(str(page.relative_to(REPOSITORY)), line, need, text)
        for page in pages()
        for line, language, need, text in fences(page)
        if language == SHELL
    ]


def not_executed() -> dict[tuple[str, str], str]:
    """By page and first command the reason why no test runs a block."""
    listed = tomllib.loads(NOT_EXECUTED.read_text())["block"]
    return {(each["page"], each["first"]): each["reason"] for each in listed}


def needing(need: str) -> list[Block]:
    """The blocks that a test is to run which has what they need."""
    excused = not_executed()
    return [
        block
        for block in blocks()
        if block.need == need and (block.page, block.commands[0]) not in excused
    ]


def write_files(page: str, folder: Path) -> None:
    """Write every file that a page names behind the language of a block."""
    if page in GOES_ON_WITH:
        write_files(GOES_ON_WITH[page], folder)
    for _, language, name, text in fences(REPOSITORY / page):
        if language != SHELL and name:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def not_printed(page: str, printed: str, *, but: str = "") -> list[str]:
    """The answers that a page shows which are not in what was printed, ends of lines aside.

    An answer belongs to the commands above it: those to commands that need `but` are left out.
    """
    shown: list[str] = []
    need = ""
    for _, language, word, text in fences(REPOSITORY / page):
        if language == SHELL:
            need = word
        elif (language, word) == ("text", "") and not (but and need == but):
            shown.append(text)
    lines = _stripped(printed)
    return [text for text in shown if _stripped(text) not in lines]


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


@dataclass
class Shell:
    """Runs commands as they are printed.

    `…` stands for what an earlier answer has in its place. A variable in `given` has that value,
    whatever a page exports: addresses are those that the test has.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    begin: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    printed: str = ""

    def run(self, command: str) -> str:
        """Run a command to its end; return what it printed. Its exit code must be 0."""
        if command.startswith("export "):
            self._export(command)
            return ""
        if command.startswith((". ", "cd ")):
            self.begin += f"\n{command}"
            return ""
        done = subprocess.run(
            ["sh", "-e", "-c", f"{self.begin}\n{self.filled(command)}"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        self.printed += done.stdout
        return done.stdout

    def begun(self, command: str, log: Path) -> Running:
        """Start a command that goes on until somebody ends it."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-e", "-c", f"{self.begin}\nexec {self.filled(command)}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Running(process, log)

    def filled(self, command: str) -> str:
        """The command with what `…` stands for."""

        def fill(word: re.Match[str]) -> str:
            pattern = r"[\w-]+".join(map(re.escape, word[0].split("…")))
            found = re.search(rf"(?<![\w:-]){pattern}(?![\w-])", self.printed)
            assert found is not None, f"nothing that was printed is like {word[0]}"
            return found[0]

        return re.sub(r"[\w:|.-]*(?:…[\w:|.-]*)+", fill, command)

    @property
    def _environment(self) -> dict[str, str]:
        """Where packages come from is the machine's own configuration."""
        kept = {name: at for name, at in os.environ.items() if not name.startswith(OURS)}
        cache = {name: os.environ[name] for name in CACHE if name in os.environ}
        return {**kept, **cache, "PATH": f"{SCRIPTS}:/usr/bin:/bin", **self.environment}

    def _export(self, command: str) -> None:
        names = [word.partition("=")[0] for word in shlex.split(command)[1:]]
        here = {name: self.given[name] for name in names if name in self.given}
        again = "".join(f"export {name}={shlex.quote(at)}\n" for name, at in here.items())
        self.begin += f"\n{command}\n{again}"


@dataclass
class Running:
    """A command that goes on."""

    process: subprocess.Popen[bytes]
    log: Path

    def says(self, text: str) -> str:
        """Wait until it has printed a text; return all that it printed."""

        def said() -> str:
            printed = self.log.read_text(errors="replace")
            assert text in printed or self.process.poll() is None, printed
            return printed if text in printed else ""

        return eventually(said, deadline_s=DEADLINE_S)

    def end(self) -> int:
        """Press Ctrl-C, unless it has ended; the exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)
