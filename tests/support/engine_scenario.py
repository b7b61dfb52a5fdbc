"""Carries out one plan of the crash suite: feeds, disturbs, drains, and has the result verified."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import IsolationLevel, Producer

from streams.engine.marks import Mark
from tests.support.engine_agents import Record, row
from tests.support.engine_dispatchers import Dispatchers
from tests.support.engine_orders import Order
from tests.support.engine_plans import WORKERS, Kind, Plan, Step
from tests.support.engine_process import ForkedProcess, told_where_they_stand
from tests.support.engine_regions import POISON, RegionTopics
from tests.support.engine_sabotage import Sabotage
from tests.support.engine_testbed import EngineTestbed, Place
from tests.support.engine_worker import run_forked
from tests.support.eventually import eventually
from tests.support.vendors import Vendors

PARTITIONS = 4
_REPOSITORY = Path(__file__).parents[2]
_DEADLINE_S = 90.0  # for one step; generous, for a busy machine must not fail a seed
_POISONED = 0.001  # of the records: each splits its chunk down to itself
_RESTARTS = 25  # of workers that ended by themselves, before a seed is given up
_SURVIVED = {"fatal.fenced", "transient.broker_unavailable", "transient.commit_outcome_unknown"}
"""Why a worker may end by itself: a new one goes on. Anything else is a finding."""


class Broker(Protocol):
    """The broker of a scenario."""

    bootstrap_servers: str
    registry_url: str
    targets: Vendors | None
    """What dispatchers write to."""

    def kill(self) -> None: ...

    def start(self) -> None:
        """Start it again; return when it is healthy."""
        ...


class Fleet:
    """The workers of a scenario. One that ends by itself is started again, as in production."""

    def __init__(self, testbed: EngineTestbed, plan: Plan, sabotage: Sabotage) -> None:
        self._testbed = testbed
        self._plan = plan
        self._sabotage = sabotage
        self._workers: dict[str, ForkedProcess] = {}
        self._stopping: dict[str, ForkedProcess] = {}
        self._pending: dict[str, Order] = {}
        self.restarts = 0

    def start(self, name: str, orders: Sequence[Order] = ()) -> None:
        """Start a worker that does not run."""
        settings = self._testbed.settings(
            name,
            max_chunk_records=self._plan.chunk_records,
            instance_id=name if self._plan.is_static else None,
            session_timeout_s=3.0,
            heartbeat_interval_s=0.5,
            metadata_max_age_s=2.0,
            halt_timeout_s=2.0,
            commit_timeout_s=5.0,
            commit_attempts=20,
            allow_state_gap=self._sabotage.allows_gap,
        )
        config = {
            "settings": settings.model_dump(mode="json"),
            "partitions": self._testbed.partitions,
            "topology": "regions",
            "sabotage": self._sabotage.value,
            "orders": [order.to_json() for order in orders],
        }
        self._workers[name] = ForkedProcess(run_forked, config, self.log_path(name))

    def order(self, name: str, order: Order) -> None:
        """Have a worker carry out an order, started anew with it if it does not run."""
        # It may end by itself before it gets there: the next one has the same order.
        self._pending[name] = order
        if name in self._workers:
            self._workers[name].order(order)
        else:
            self.start(name, [order])
        self.wait(lambda: self._is_done(name, order))
        del self._pending[name]
        if order.signal is signal.SIGKILL:
            del self._workers[name]

    def thaw(self, name: str) -> None:
        self._workers[name].send(signal.SIGCONT)

    def kill(self, *names: str) -> None:
        for name in names:
            self._workers.pop(name).kill()

    def stop(self, *names: str) -> None:
        """SIGTERM; each must end in good order."""
        for name in names:
            self._workers[name].send(signal.SIGTERM)
        self._stopping = {name: self._workers.pop(name) for name in names}
        for name, worker in self._stopping.items():
            self.wait(lambda worker=worker: worker.has_ended() is not None)  # type: ignore[misc]
            code = worker.has_ended()
            # A worker that has barely started does not listen to signals yet.
            assert code in (0, 1, -signal.SIGTERM), f"{name} ended with {code} after SIGTERM"
            if code == 1:  # it may have failed on its own at the same moment
                self.check_failures()
        self._stopping = {}

    def lose_state(self, name: str) -> None:
        shutil.rmtree(self._testbed.directory / name, ignore_errors=True)

    def wait(self, condition: Callable[[], Any]) -> None:
        """Wait for `condition`, meanwhile starting again what ends by itself."""
        with told_where_they_stand(self._all):
            eventually(lambda: self._tend() and condition(), deadline_s=_DEADLINE_S)

    def _all(self) -> dict[str, ForkedProcess]:
        return self._workers | self._stopping

    def end(self) -> None:
        """Leave nothing running."""
        for worker in self._all().values():
            worker.kill()

    def log_path(self, name: str) -> Path:
        return self._testbed.directory / f"{name}.log"

    def check_failures(self) -> None:
        """Fail if a worker ended by itself for a reason that none of the disturbances explains."""
        found = self.failures()
        unexplained = {code: n for code, n in found.items() if code not in _SURVIVED}
        assert not unexplained or self._sabotage is not Sabotage.NOTHING, unexplained

    def failures(self) -> Counter[str]:
        """Why workers ended by themselves, from their logs."""
        found: Counter[str] = Counter()
        for name in WORKERS:
            path = self.log_path(name)
            for line in path.read_text().splitlines() if path.exists() else ():
                if line.startswith("{") and '"worker.failed"' in line:
                    # Another logger may have begun on the line before it ended.
                    failure, _ = json.JSONDecoder().raw_decode(line)
                    found[failure.get("code") or failure.get("exception", "?")] += 1
        return found

    def _tend(self) -> bool:
        for name, worker in list(self._workers.items()):
            code = worker.has_ended()
            order = self._pending.get(name)
            if code is None or (order is not None and self._is_done(name, order)):
                continue
            assert code == 1, f"{name} ended by itself with {code}"
            self.restarts += 1
            assert self.restarts <= _RESTARTS, f"workers keep ending: {self.failures()}"
            self.start(name, [order] if order is not None else [])
        return True

    def _is_done(self, name: str, order: Order) -> bool:
        worker = self._workers[name]
        if order.signal is signal.SIGKILL:
            return worker.has_ended() == -signal.SIGKILL
        return worker.is_frozen()


class Feed:
    """Changes of rows and adjustments: a load at the start, then a trickle until it is stopped.

    Now and then a record that no handler can digest.
    """

    def __init__(self, testbed: EngineTestbed, topics: RegionTopics, seed: int) -> None:
        self._topics = topics
        self._rng = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._trickle, daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": testbed.bootstrap_servers,
                "enable.idempotence": True,
                "reconnect.backoff.max.ms": 500,
            }
        )

    def load(self, rows: int) -> None:
        """Publish `rows` changes for each partition, and a few adjustments."""
        for partition in range(PARTITIONS):
            for _ in range(rows):
                self._send(partition)
        self._flush()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until the broker has everything."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._flush()

    def _trickle(self) -> None:
        while not self._stop.wait(0.05):
            for partition in range(PARTITIONS):
                for _ in range(self._rng.randrange(8)):
                    self._send(partition)

    def _send(self, partition: int) -> None:
        rng = self._rng
        project = f"P{partition}-{rng.randrange(60)}"
        if rng.random() < _POISONED:
            topic = rng.choice((self._topics.rows, self._topics.adjustments))
            self._publish(topic, partition, (f"R{partition}-1".encode(), POISON))
            return
        if rng.random() < 0.2:
            self._publish(
                self._topics.adjustments, partition, (project.encode(), b"%d" % rng.randrange(99))
            )
            return
        value = None if rng.random() < 0.1 else row(project, rng.randrange(1, 1000))
        record = (f"R{partition}-{rng.randrange(400)}".encode(), value)
        self._publish(self._topics.rows, partition, record)

    def _publish(self, topic: str, partition: int, record: Record) -> None:
        self._producer.produce(topic, record[1], record[0], partition=partition)
        self._producer.poll(0)

    def _flush(self) -> None:
        assert self._producer.flush(_DEADLINE_S) == 0, "the broker does not take the input"


class Scenario:
    """One plan on one broker."""

    def __init__(
        self,
        broker: Broker,
        directory: Path,
        plan: Plan,
        sabotage: Sabotage = Sabotage.NOTHING,
    ) -> None:
        self.plan = plan
        self.broker = broker
        self.testbed = EngineTestbed(broker.bootstrap_servers, directory, PARTITIONS)
        self.topics = RegionTopics.of(self.testbed.app_id)
        self.fleet = Fleet(self.testbed, plan, sabotage)
        self.feed = Feed(self.testbed, self.topics, plan.seed)
        self.dispatchers: Dispatchers | None = None
        if plan.dispatch is not None:
            assert broker.targets is not None
            self.dispatchers = Dispatchers(
                plan.dispatch,
                (broker.bootstrap_servers, broker.registry_url),
                broker.targets,
                directory,
                sabotage,
            )
        self.rotten: set[str] = set()
        """Workers in whose local state bytes were flipped."""
        self.seconds: list[str] = []
        """How long each part took."""
        self._since_s = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Workers at work on a load that goes on growing; nothing is left running."""
        topics = self.topics
        self.testbed.create_topics(
            *(topics.rows, topics.adjustments, topics.totals, topics.partials, topics.regions),
            topics.letters,
        )
        self.testbed.create_state_topics(*topics.states)
        self.feed.load(rows=400)
        for partition in range(PARTITIONS):
            lost = [(f"R{partition}-1".encode(), row(f"P{partition}-1", 10**9))]
            self.testbed.abort(topics.rows, partition, lost)
        try:
            for name in WORKERS:
                self.fleet.start(name)
            self.feed.start()
            if self.dispatchers is not None:
                reader = self.testbed.reader("engine-desk")
                self.dispatchers.start(reader, topics.regions, PARTITIONS, self.plan.seed)
            # Every partition has some state, so a restart has something to restore.
            self.fleet.wait(lambda: all(self._positions(*topics.sources).values()))
            yield
        finally:
            self.feed.stop()
            self.fleet.end()
            if self.dispatchers is not None:
                self.dispatchers.end()

    def run(self) -> str:
        """Carry out the plan; return the verdict. Raises AssertionError if it is not exact."""
        with self.running():
            self._took("start")
            self.disturb()
            self.drain()
        self.fleet.check_failures()
        verdict = self.verify()
        self._took("verify")
        assert verdict.returncode == 0, verdict.stdout + verdict.stderr
        return verdict.stdout.strip()

    def disturb(self) -> None:
        """Carry out the steps of the plan, and beside them what happens to a dispatcher."""
        for number, step in enumerate(self.plan.steps):
            if self.dispatchers is not None:
                self.dispatchers.before_step(number)
            self.carry_out(step)
            self._took(step.kind)
            if self.dispatchers is not None:
                self.dispatchers.after_step(number)
                self._took("dispatchers")

    def drain(self) -> None:
        """Let all finish what there is, and stop them in good order."""
        self.feed.stop()
        with told_where_they_stand(dict, self._undone):
            self.fleet.wait(self._is_drained)
        self.fleet.stop(*WORKERS)
        # A worker that was killed and has lost its name leaves a transaction to its time-out.
        eventually(self._has_no_open_transaction, deadline_s=_DEADLINE_S)
        self._took("drain")
        if self.dispatchers is not None:
            self.dispatchers.drain()
            self._took("dispatchers")

    def verify(self) -> subprocess.CompletedProcess[str]:
        """Have a process of its own compare the result with the truth."""
        config = {
            "bootstrap_servers": self.testbed.bootstrap_servers,
            "app_id": self.testbed.app_id,
            "partitions": PARTITIONS,
            "state_dirs": [str(self.testbed.directory / name) for name in WORKERS],
            "rotten": sorted(self.rotten),
            "label": f"seed {self.plan.seed}",
        }
        if self.dispatchers is not None:
            config["dispatch"] = self.dispatchers.truth()
        return subprocess.run(
            [sys.executable, "-m", "tests.support.engine_verifier"],
            input=json.dumps(config),
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    def clean_up(self) -> None:
        """Delete the topics and the local state, so that many seeds fit on one broker."""
        self.testbed.delete_topics(*vars(self.topics).values())
        for name in WORKERS:
            self.fleet.lose_state(name)

    def carry_out(self, step: Step) -> None:
        """One disturbance, until the workers have got over it or another may come on top."""
        match step.kind:
            case Kind.KILL:
                self._bring_to_mark(step, signal.SIGKILL)
                self._start_again(step.worker, loses_state=step.loses_state)
            case Kind.FREEZE:
                self._bring_to_mark(step, signal.SIGSTOP)
                self._await_takeover()
                self.fleet.thaw(step.worker)
            case Kind.BROKER:
                self._restart_broker()
            case Kind.BROKER_AT_MARK:
                self._bring_to_mark(step, signal.SIGSTOP)
                self.broker.kill()
                self.fleet.thaw(step.worker)
                self.broker.start()
            case Kind.ROLLING:
                for name in _from(step.worker):
                    self.fleet.stop(name)
                    self._start_again(name, loses_state=step.loses_state)
                    self._await_takeover()
            case Kind.SCALE:
                first, *others = _from(step.worker)
                self._scale_down(others, step)
                self._scale_down([first, others[0]], step)
            case Kind.OUTAGE:
                self.fleet.kill(*WORKERS)
                for name in WORKERS:
                    self._start_again(name, loses_state=True)
            case Kind.DAMAGE:
                self.fleet.stop(step.worker)
                self._flip_bytes(step.worker, "*")
                self._start_again(step.worker, loses_state=False)
                self._await_takeover()
            case Kind.ROT:
                self.fleet.stop(step.worker)  # what it holds in memory goes to its blocks
                self._start_again(step.worker, loses_state=False)
                self._await_takeover()
                self._flip_bytes(step.worker, "*.sst")
        self._await_progress()

    def _flip_bytes(self, name: str, pattern: str) -> None:
        """Flip one bit in a file of each partition this worker has a state of."""
        rng = random.Random(self.plan.seed)
        self.rotten.add(name)
        state = self.testbed.directory / name
        for directory in sorted(path.parent for path in state.glob("*/*/CURRENT")):
            files = sorted(
                path for path in directory.glob(pattern) if path.is_file() and path.stat().st_size
            )
            if not files:
                continue
            with rng.choice(files).open("r+b") as file:
                at = rng.randrange(min(2_000, Path(file.name).stat().st_size))
                file.seek(at)
                [byte] = file.read(1)
                file.seek(at)
                file.write(bytes([byte ^ 1 << rng.randrange(8)]))

    def _took(self, part: str) -> None:
        now_s = time.monotonic()
        self.seconds.append(f"{part} {now_s - self._since_s:.0f}")
        self._since_s = now_s

    def _bring_to_mark(self, step: Step, number: signal.Signals) -> None:
        assert step.mark is not None
        if step.mark in (Mark.IN_REBALANCE, Mark.RESTORING):  # a start passes these
            self.fleet.kill(step.worker)
            if step.mark is Mark.RESTORING:
                self.fleet.lose_state(step.worker)
        self.fleet.order(step.worker, Order(step.mark, step.nth, number))

    def _start_again(self, name: str, *, loses_state: bool) -> None:
        if loses_state:
            self.fleet.lose_state(name)
        self.fleet.start(name)

    def _scale_down(self, names: Sequence[str], step: Step) -> None:
        """Stop these, let the rest work alone, and start them again."""
        self.fleet.stop(*names)
        self._await_takeover()
        for name in names:
            self._start_again(name, loses_state=step.loses_state)
        self._await_progress()

    def _restart_broker(self) -> None:
        self.broker.kill()
        self.broker.start()

    def _await_progress(self) -> None:
        """Wait until some chunks have been committed."""
        before = sum(self._positions(self.topics.rows).values())
        self.fleet.wait(lambda: sum(self._positions(self.topics.rows).values()) > before)

    def _await_takeover(self) -> None:
        """Wait until every partition moves: also those of a worker that is frozen or gone."""
        before = self._positions(self.topics.rows)

        def is_taken_over() -> bool:
            now = self._positions(self.topics.rows)
            return all(now[at] > before[at] for at in before)

        self.fleet.wait(is_taken_over)

    def _positions(self, *topics: str) -> dict[Place, int]:
        """As the testbed's, but waits for the broker to answer."""
        return eventually(lambda: self.testbed.positions(*topics), deadline_s=_DEADLINE_S)

    def _undone(self) -> str:
        positions = self.testbed.positions(*self.topics.sources)
        ends = self.testbed.end_positions(*self.topics.sources)
        undone = {at: (positions.get(at), end) for at, end in ends.items()}
        undone = {at: span for at, span in undone.items() if span[0] != span[1]}
        return f"committed, and to be committed: {undone}"

    def _has_no_open_transaction(self) -> bool:
        topics = vars(self.topics).values()
        ends = self.testbed.end_positions(*topics, isolation=IsolationLevel.READ_UNCOMMITTED)
        return bool(ends) and ends == self.testbed.end_positions(*topics)

    def _is_drained(self) -> bool:
        # Positions first: what is committed after the ends are read is not counted.
        positions = self.testbed.positions(*self.topics.sources)
        ends = self.testbed.end_positions(*self.topics.sources)
        return bool(positions) and positions == ends


def _from(name: str) -> list[str]:
    at = WORKERS.index(name)
    return [*WORKERS[at:], *WORKERS[:at]]
