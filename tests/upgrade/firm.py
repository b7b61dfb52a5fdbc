"""A firm whose processes are of one release, then of another, while its people go on working."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from sandbox.demo.options import DemoOptions, StoryLandscape
from sandbox.demo.parts import Layout, lay_out
from sandbox.demo.run import open_world, settle
from sandbox.stack.health import HttpHealth
from sandbox.stack.ports import HOST, PortBook
from sandbox.stack.process import ProcessExit
from sandbox.stack.settings import Part, cache_dir_from
from sandbox.story import hours
from sandbox.story.act import Act, Stage, play
from sandbox.story.acts import ACTS
from sandbox.story.world import World
from tests.access.guarded import Silent
from tests.support.stack import RunningStack, running_stack, stack_directory, stack_settings
from tests.upgrade.releases import PRESENT, Release

DEADLINE_S: Final = 240.0
READY_S: Final = 120.0
COMMAND_S: Final = 120.0
ENTRIES: Final = 30
RATE: Final = 20
"""Changes a second that people make meanwhile."""
STOP_GRACE_S: Final = 30.0
"""As the chart gives to processes, and less than to workers: who needs longer is killed."""


@dataclass(slots=True)
class Firm:
    """The processes of a firm on a stack. Methods block."""

    stack: RunningStack
    layout: Layout
    world: World
    stage: Stage
    folder: Path
    ports: PortBook
    variables: Mapping[str, str]
    _ports: dict[str, int] = field(default_factory=dict)

    def tell(self, *names: str) -> None:
        """Play these acts of the story, one after the other, up to their consequences."""
        acts = {act.name: act for act in ACTS}
        play([acts[name] for name in names], self.world, self.stage)

    def while_working(self, do: Callable[[], None]) -> int:
        """Do something while people book time, until both have ended and every book of hours
        agrees; return how many changes they made meanwhile."""
        made = 0
        with ThreadPoolExecutor(1) as pool:
            done: Future[None] = pool.submit(do)

            def work(world: World) -> Iterator[None]:
                nonlocal made
                while not done.done():
                    for _ in hours.book(
                        world, world.random.choice(world.cast.projects), status="approved"
                    ):
                        made += 1
                        yield
                done.result()

            act = Act("load", "", "", work, lambda _: None)
            play([act], self.world, self.stage)
        return made

    def differences(self) -> list[str]:
        """Wait for all books to agree; what differs in the end, a line each."""
        return [str(each) for each in settle(self.world, self.stage).differences]

    def ask(self, release: Release, *words: str) -> str:
        """Give a command of a release; what it printed. Raises AssertionError where it fails."""
        done = self._run(release, words)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{release.name}: psastream {' '.join(words)}\n{said}"
        return said

    def can(self, release: Release, *words: str) -> bool:
        """Give a command of a release; whether it did its work."""
        return self._run(release, words).returncode == 0

    def findings(self, release: Release, area: str) -> dict[str, str]:
        """Have a release check everything; the verdicts of an area, by what was looked at."""
        found = json.loads(self._run(release, ("check", "--json")).stdout)["findings"]
        return {each["subject"]: each["verdict"] for each in found if each["area"] == area}

    def _run(self, release: Release, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        began_s = time.monotonic()
        done = subprocess.run(
            [str(release.psastream), *words],
            env={**os.environ, **self.layout.parts.variables, **self.variables},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            start_new_session=True,  # as the parts, beside which it is to get its turn
        )
        print(f"{' '.join(words[:2])[:40]}: {time.monotonic() - began_s:.1f} s, {done.returncode}")
        return done

    def deploy(self, release: Release) -> None:
        """Take the steps of a deployment, as the hooks of the chart do."""
        self.ask(release, "topics", "apply")
        self.ask(release, "schemas", "register")
        if self.layout.parts.read_model_url and release is PRESENT:
            self.ask(release, "readmodel", "migrate")  # which is never made older
        for file in self.layout.connector_files:
            self.ask(release, "connectors", "apply", "--config", str(file))

    def start(
        self, name: str, release: Release, *, volume: str = "", is_awaited: bool = True
    ) -> None:
        """Start a process, and wait until it is ready. Of workers `name` is the instance's, too.

        `volume` is the folder of its state, by default one of its own.
        """
        kind, _, place = name.partition("-")
        command = self.layout.commands.get(kind, ("worker", "--measures"))
        environment = {
            **self.layout.environments.get(kind, self.layout.environments["worker"]),
            **self.variables,
            "PSASTREAM_DATA_DIR": str(self.folder / (volume or name)),
            "PSASTREAM_METRICS_PORT": str(self.port(name)),
        }
        if kind in ("worker", "dispatcher", "measures"):
            environment["PSASTREAM_INSTANCE_ID"] = f"{kind}-{place.partition('.')[0] or 0}"
        began_s = time.monotonic()
        health = HttpHealth(f"http://{HOST}:{self.port(name)}/readyz", READY_S)
        self.stack.start_process(
            name,
            [str(release.psastream), *command],
            env=environment,
            health=health if is_awaited else None,
        )
        print(f"{name} of {release.name} started: {time.monotonic() - began_s:.1f} s")

    def replace(self, name: str, release: Release) -> None:
        """Stop a process in order and start it again as one of another release."""
        self.stack.stop(name)
        self.start(name, release)

    def port(self, name: str) -> int:
        """The port of a process's metrics."""
        if name not in self._ports:
            self._ports[name] = self.ports.port(name)
        return self._ports[name]

    def is_ready(self, name: str) -> bool:
        """Whether a process says that it does its work."""
        try:
            return httpx2.get(f"http://{HOST}:{self.port(name)}/readyz", timeout=5).is_success
        except httpx2.HTTPError:
            return False

    def exit(self) -> ProcessExit:
        """The next process that ended although nobody asked it to."""
        return self.stack.next_exit()

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Ask in SQL."""
        return [json.loads(line) for line in self.ask(PRESENT, "sql", query, "--json").splitlines()]

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop the clock of a process (SIGSTOP) for the length of the block."""
        pid = self.stack.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def founded(landscape: StoryLandscape, variables: Mapping[str, str]) -> Iterator[Firm]:
    """A firm with its systems, and nothing of the product but what is started in the block."""
    with stack_directory() as folder:
        options = DemoOptions(
            data_dir=folder / "data",
            cache_dir=cache_dir_from(os.environ),
            rate=RATE,
            entries=ENTRIES,
            landscape=landscape,
        )
        with _on_stack(options, variables, folder) as firm:
            yield firm


@contextmanager
def _on_stack(options: DemoOptions, variables: Mapping[str, str], folder: Path) -> Iterator[Firm]:
    has_database = options.landscape.has_database
    parts = frozenset(Part) if has_database else frozenset({Part.KAFKA, Part.REGISTRY})
    settings = stack_settings(options.data_dir, {}, parts)
    settings = settings.model_copy(update={"stop_grace_s": STOP_GRACE_S})
    with running_stack(settings) as stack:
        layout = stack.run(lambda it: lay_out(it, options, is_applied=False))
        with open_world(layout.parts, options) as world:
            stage = Stage(Silent(), DEADLINE_S, threading.Event())
            ports = PortBook(folder / "ports.json")
            more = {"PSASTREAM_REPLICATION_FACTOR": "1", **variables}
            yield Firm(stack, layout, world, stage, folder, ports, more)
