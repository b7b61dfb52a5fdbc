"""The embedded stack for tests: started once per run on a thread of its own, used from any test.

Addresses in `PSASTREAM_TEST_BOOTSTRAP`, `_REGISTRY`, `_CONNECT` and `_POSTGRES` replace the parts
of that name.
"""

import asyncio
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sandbox.stack.health import Health
from sandbox.stack.ports import HIGHEST_PORT, HOST, LOWEST_PORT, is_free
from sandbox.stack.process import ManagedProcess, ProcessExit
from sandbox.stack.registry import registry_spec
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackAddresses, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from tests.support.vendors import Vendors

T = TypeVar("T")

BOOTSTRAP = "PSASTREAM_TEST_BOOTSTRAP"


class RunningStack:
    """A started stack. Its methods block, and may be called from any thread but the stack's."""

    def __init__(self, stack: Stack, loop: asyncio.AbstractEventLoop) -> None:
        self._stack = stack
        self._loop = loop

    @property
    def addresses(self) -> StackAddresses:
        return self._stack.addresses

    def start_process(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        health: Health | None = None,
    ) -> ManagedProcess:
        return self._wait(self._stack.start_process(name, command, env=env or {}, health=health))

    def run(self, work: Callable[[Stack], Coroutine[Any, Any, T]]) -> T:
        """The result of any other coroutine that takes the stack, awaited on its loop."""
        return self._wait(work(self._stack))

    def stop(self, name: str) -> None:
        self._wait(self._stack.stop(name))

    def kill(self, name: str) -> None:
        self._wait(self._stack.kill(name))

    def restart(self, name: str) -> None:
        self._wait(self._stack.restart(name))

    def next_exit(self) -> ProcessExit:
        """The next process that ended although nobody asked it to."""
        return self._wait(asyncio.wait_for(self._stack.next_exit(), timeout=30))

    def is_running(self, name: str) -> bool:
        return self._stack.is_running(name)

    def log(self, name: str) -> str:
        """Everything the process wrote in this run."""
        return self._stack.log_path(name).read_text(errors="replace")

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class StackBroker:
    """A broker a test may kill, and starts again."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self.bootstrap_servers = stack.addresses.bootstrap_servers
        self.registry_url = ""
        self.targets: Vendors | None = None
        """What dispatchers beside it write to, once there is something."""

    def start_registry(self) -> None:
        """Start a registry beside it, which lives as long as it."""
        port = next(port for port in range(LOWEST_PORT, HIGHEST_PORT) if is_free(port))
        spec = registry_spec(port, self.bootstrap_servers)
        self._stack.start_process(spec.name, spec.command, health=spec.health)
        self.registry_url = f"http://{HOST}:{port}"

    def kill(self) -> None:
        self._stack.kill("kafka")

    def start(self) -> None:
        self._stack.restart("kafka")


@contextmanager
def running_stack(settings: StackSettings) -> Iterator[RunningStack]:
    """Runs a stack of `settings` on an event loop in a thread, for the length of the block.

    The thread lives as long as the parts: they end with the thread that started them.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stack", daemon=True)
    thread.start()
    stack = Stack(settings, PlainReporter(sys.stderr))

    def wait(work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result()

    try:
        wait(stack.__aenter__())
        try:
            yield RunningStack(stack, loop)
        finally:
            wait(stack.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def stack_directory() -> Iterator[Path]:
    """A data directory outside pytest's, whose access rights pytest resets in the next run."""
    directory = Path(tempfile.mkdtemp(prefix="psastream-test-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def stack_settings(
    data_dir: Path, env: Mapping[str, str], parts: frozenset[Part] = frozenset(Part)
) -> StackSettings:
    """Settings for tests: the parts of `parts` whose address is not in `env`."""
    return StackSettings(
        data_dir=data_dir,
        cache_dir=cache_dir_from(env),
        bootstrap_servers=env.get(BOOTSTRAP),
        registry_url=env.get("PSASTREAM_TEST_REGISTRY"),
        connect_url=env.get("PSASTREAM_TEST_CONNECT"),
        postgres_dsn=env.get("PSASTREAM_TEST_POSTGRES"),
        parts=parts,
        stop_grace_s=1.0,  # what is still being tidied up then is deleted next
    )
