"""The embedded stack for tests: started once per run on a thread of its own, used from any test.

Addresses in `PSASTREAM_TEST_BOOTSTRAP`, `_REGISTRY`, `_CONNECT` and `_POSTGRES` replace the parts
of that name.
"""

import asyncio
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from sandbox.stack.guard import Guard
from sandbox.stack.health import Health
from sandbox.stack.ports import HIGHEST_PORT, HOST, LOWEST_PORT, is_free
from sandbox.stack.process import ManagedProcess, ProcessExit
from sandbox.stack.registry import registry_spec
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackAddresses, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from tests.support.eventually import eventually
from tests.support.vendors import Vendors

T = TypeVar("T")

BOOTSTRAP = "PSASTREAM_TEST_BOOTSTRAP"
_STARTS = 3
_COORDINATOR_S = 60.0  # a load takes milliseconds, a busy machine longer
_ANSWER_S = 5.0
_PROBES = 8  # groups, by whose names every partition has some
_LOADS = re.compile(
    r"(Scheduling loading|Finished loading|Failed to load|Ignored load completion)"
    r"(?: of)?(?: metadata)? from (__consumer_offsets-\d+)(?: with epoch (\d+))?"
)


class RunningStack:
    """A started stack. Its methods block, and may be called from any thread but the stack's."""

    def __init__(self, stack: Stack, loop: asyncio.AbstractEventLoop) -> None:
        self._stack = stack
        self._loop = loop

    @property
    def addresses(self) -> StackAddresses:
        return self._stack.addresses

    @property
    def left_out(self) -> Mapping[Part, str]:
        return self._stack.left_out

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

    def pid(self, name: str) -> int:
        return self._stack.pid(name)

    def log(self, name: str) -> str:
        """Everything the process wrote in this run."""
        return self.log_path(name).read_text(errors="replace")

    def log_path(self, name: str) -> Path:
        """The file that it writes to."""
        return self._stack.log_path(name)

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
        self.registry_url = start_registry(self._stack)

    def kill(self) -> None:
        self._stack.kill("kafka")

    def start(self) -> None:
        """Start it again; return when all of its group coordinator is at work.

        After a kill Kafka may leave a part of it broken. A partition of the groups' offsets is
        loaded as the broker reads the metadata of its last life, dropped as it is fenced, and
        loaded anew once it is not any more. On a busy machine the first load ends late, and its
        end is taken for that of the second, for it looks at no epoch (CoordinatorRuntime of Kafka
        4.1). Where it failed, groups get no answer; where not, they get one from a coordinator
        that knows nothing yet, and what is loaded beside that has no session time-outs: a group
        waits for members that are gone as long as its longest rebalance time-out. No third load
        follows. Nothing of ours can help, but another start: after an orderly stop, which leaves
        no metadata of a leader behind. It runs, too, where no start helped: others may need it.
        """
        for number in range(_STARTS):
            if number:
                self._stack.stop("kafka")
            self._stack.restart("kafka")
            answers = all_groups_answer(self.bootstrap_servers, deadline_s=_COORDINATOR_S)
            if answers and self._is_loaded():
                return
            sys.stderr.write("kafka: a part of the group coordinator is broken; another start\n")
        raise AssertionError(f"no group coordinator after {_STARTS} starts")

    def _is_loaded(self) -> bool:
        """Wait for the end of every load that was ordered last; whether all are good."""

        def ended() -> list[bool]:
            found = loads_of(self._stack.log("kafka")).values()
            return [] if None in found else [bool(each) for each in found]

        return all(eventually(ended, deadline_s=_COORDINATOR_S))


def start_registry(stack: RunningStack) -> str:
    """Start a registry beside the broker of a stack, which lives as long as it; its address."""
    port = next(port for port in range(LOWEST_PORT, HIGHEST_PORT) if is_free(port))
    spec = registry_spec(port, stack.addresses.bootstrap_servers)
    stack.start_process(spec.name, spec.command, health=spec.health)
    return f"http://{HOST}:{port}"


def loads_of(log: str) -> dict[str, bool | None]:
    """By partition of the groups' offsets how its last ordered load ended; None: not yet."""
    ordered: dict[str, str] = {}
    ended: dict[str, bool | None] = {}
    for event, partition, epoch in _LOADS.findall(log):
        if event == "Scheduling loading":
            ordered[partition], ended[partition] = epoch, None
        elif event == "Finished loading":
            if epoch == ordered[partition]:
                ended[partition] = True
        else:
            ended[partition] = False
    return ended


def all_groups_answer(bootstrap_servers: str, *, deadline_s: float) -> bool:
    """Whether a broker answers for groups of every partition of the groups' offsets."""
    left = [f"probe-{number}" for number in range(_PROBES)]
    deadline_at = time.monotonic() + deadline_s
    while left and time.monotonic() < deadline_at:
        left = [group for group in left if not _answers(bootstrap_servers, group)]
    return not left


def _answers(bootstrap_servers: str, group: str) -> bool:
    # Not through librdkafka's admin client, which crashes the process without a coordinator. This
    # consumer only asks, it does not join the group.
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group, "log_level": 0})
    try:
        consumer.committed([TopicPartition("any", 0)], timeout=_ANSWER_S)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


@contextmanager
def running_stack(settings: StackSettings, guard: Guard | None = None) -> Iterator[RunningStack]:
    """Runs a stack of `settings` on an event loop in a thread, for the length of the block.

    The thread lives as long as the parts: they end with the thread that started them.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stack", daemon=True)
    thread.start()
    stack = Stack(settings, PlainReporter(sys.stderr), guard)

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
