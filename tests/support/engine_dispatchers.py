"""The part of a scenario that is about dispatchers: two of them, and the desk that orders."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer

from tests.support.engine_dispatch import (
    DISPATCHERS,
    Commands,
    Desk,
    Halt,
    dispatcher_config,
    failures_of,
    run_dispatcher_forked,
)
from tests.support.engine_plans import DispatcherFreeze
from tests.support.engine_process import ForkedProcess, told_where_they_stand
from tests.support.engine_sabotage import Sabotage
from tests.support.eventually import eventually
from tests.support.vendors import Vendors

_DEADLINE_S: Final = 90.0
_RESTARTS: Final = 10
_SURVIVED: Final = frozenset({"transient.broker_unavailable"})
"""Why a dispatcher may end by itself: a new one goes on. Anything else is a finding."""


class Dispatchers:
    """Two dispatchers, the first of which is frozen. One that ends by itself is started again."""

    def __init__(
        self,
        freeze: DispatcherFreeze,
        addresses: tuple[str, str],
        targets: Vendors,
        directory: Path,
        sabotage: Sabotage,
    ) -> None:
        """`addresses` are those of the broker and of the registry."""
        self._freeze = freeze
        self._addresses = addresses
        self._targets = targets
        self._directory = directory
        self._sabotage = sabotage
        self._processes: dict[str, ForkedProcess] = {}
        self._halt: Halt | None = None
        self.commands = Commands(*addresses)
        self._desk: Desk | None = None
        self.restarts = 0

    def start(self, regions: Consumer, topic: str, partitions: int, seed: int) -> None:
        """Start all; what is published to `topic` is ordered from now on."""
        for name in DISPATCHERS:
            self._start(name)
        self._desk = Desk(self.commands, regions, topic, partitions, seed)
        self._desk.start()

    def before_step(self, number: int) -> None:
        """Give the order to freeze, if it is time."""
        if number == self._freeze.first:
            self._halt = Halt.of(self._freeze)
            self._processes[DISPATCHERS[0]].order(self._halt)

    def after_step(self, number: int) -> None:
        """Let the frozen one go on, if it is time and another has taken over its work."""
        if number != self._freeze.last:
            return
        frozen = DISPATCHERS[0]
        self._wait(lambda: self._is_frozen(frozen))
        self._halt = None
        # The command at which it froze is not committed: only another's commit covers it.
        self._wait_for_all()
        self._processes[frozen].send(signal.SIGCONT)

    def drain(self) -> None:
        """Order the newest, let everything be carried out, and stop them in good order."""
        assert self._desk is not None
        self._desk.finish(_DEADLINE_S)
        self._wait_for_all()
        for process in self._processes.values():
            process.send(signal.SIGTERM)
        with self._told():
            for name, process in self._processes.items():
                eventually(lambda p=process: p.has_ended() is not None, deadline_s=_DEADLINE_S)  # type: ignore[misc]
                assert process.has_ended() == 0, f"{name} ended with {process.has_ended()}"
        self._processes = {}

    def truth(self) -> dict[str, Any]:
        """What the verifier needs to know."""
        assert self._desk is not None
        return {
            "url": self._targets.url,
            "orders": self._desk.orders,
            "customers": self._desk.customers,
            "statuses": self.commands.statuses(),
        }

    def end(self) -> None:
        """Leave nothing running."""
        for process in self._processes.values():
            process.kill()
        if self._desk is not None:
            self._desk.close()

    def _is_frozen(self, name: str) -> bool:
        return self._processes[name].is_frozen()

    def _start(self, name: str) -> None:
        bootstrap_servers, registry_url = self._addresses
        variables = {
            "PSASTREAM_BOOTSTRAP_SERVERS": bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": registry_url,
        }
        config = dispatcher_config(name, self._directory, variables, self._targets, self._sabotage)
        if self._halt is not None and name == DISPATCHERS[0]:
            config["orders"] = [self._halt.to_json()]
        log_path = self._directory / f"{name}.log"
        self._processes[name] = ForkedProcess(run_dispatcher_forked, config, log_path)

    def _wait_for_all(self) -> None:
        """Wait until all that is ordered by now is done and committed."""
        ends = eventually(self.commands.ends, deadline_s=_DEADLINE_S)
        self._wait(lambda: self.commands.are_done(ends))

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._told():
            eventually(lambda: self._tend() and condition(), deadline_s=_DEADLINE_S)

    def _told(self) -> AbstractContextManager[None]:
        assert self._desk is not None
        return told_where_they_stand(lambda: self._processes, self._desk.stand, self.commands.stand)

    def _tend(self) -> bool:
        for name, process in list(self._processes.items()):
            if process.has_ended() is None:
                continue
            found = failures_of(self._directory / f"{name}.log")
            unexplained = found.keys() - _SURVIVED
            assert process.has_ended() == 1 and not unexplained, (name, process.has_ended(), found)
            self.restarts += 1
            assert self.restarts <= _RESTARTS, f"dispatchers keep ending: {found}"
            self._start(name)
        return True
