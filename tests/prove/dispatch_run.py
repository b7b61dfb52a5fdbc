"""Two dispatchers at work: commands come to them, and they are killed and stopped meanwhile."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer

from runtime.kafka import KafkaSettings, create_topics, make_producer
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.routing import partition_of
from schemas.topics import DISPATCH, command_topic
from tests.prove.dispatch_plan import Chain, Step

STOPPED_S: Final = 18.0
"""Longer than a dispatcher's session."""
STILL_S: Final = 300.0
"""Without any result for so long, what is open is given up, and judged as it is."""
SAY_S: Final = 15.0
BEGUN: Final = b"dispatch.session_started"
"""Stands in the log of a dispatcher once it carries out commands."""
NAMES: Final = ("one", "two")
DONE: Final = ("succeeded", "adopted")


@dataclass(slots=True)
class Run:
    """What was done to the dispatchers, and what they told."""

    kills: int = 0
    stops: int = 0
    ended: int = 0
    told: Counter[str] = field(default_factory=Counter)


class Desk:
    """Publishes commands, and the next of a record once the one before it was carried out."""

    def __init__(self, kafka: KafkaSettings, registry_url: str, targets: Sequence[str]) -> None:
        topics = [*map(command_topic, targets), *DISPATCH]
        create_topics(kafka, topics, replication_factor=1)
        registry = Registry(registry_url)
        registry.register_catalogue(topics)
        self._partitions = {topic.name: topic.partitions for topic in topics}
        self._serde = Serde(registry)
        self._producer = make_producer(kafka)
        self._results = Consumer(
            kafka.client()
            | {"group.id": "prove", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        )
        self._results.subscribe(["psa.command_result"])
        self.settled: dict[str, str] = {}
        """Status of each command that has a result."""

    def send(self, steps: Sequence[Step]) -> None:
        """Publish commands."""
        for step in steps:
            topic, key = f"psa.command.{step.record['target']}", step.record["natural_key"]
            self._producer.produce(
                topic,
                key=self._serde.key(topic, key),
                value=self._serde.value(topic, dict(step.record)),
                partition=partition_of(key, self._partitions[topic]),
            )
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def news(self) -> list[str]:
        """Return the ids of commands that were carried out since."""
        done = []
        for message in self._results.consume(500, 0.2):
            if message.error() is not None or message.value() is None:
                continue
            record = self._serde.read(message.value())
            before = self.settled.get(record["command_id"])
            self.settled[record["command_id"]] = record["status"]
            if before is None and record["status"] in DONE:
                done.append(record["command_id"])
        return done

    def close(self) -> None:
        """Leave."""
        self._results.close()


class Dispatchers:
    """Two dispatchers: they are killed and stopped, and started again where they ended."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], at: Path) -> None:
        self._command, self._environment, self._at = command, environment, at
        self._goes_on_at_s: dict[str, float] = {}
        self._starts_at: dict[str, int] = {}  # byte of the log where the process's own part begins
        self._at_work: set[str] = set()
        self._processes = {name: self._start(name) for name in NAMES}
        self.run = Run()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        environment = {**self._environment, "PSASTREAM_INSTANCE_ID": name}
        self._at_work.discard(name)
        with (self._at / f"{name}.log").open("ab") as log:
            self._starts_at[name] = log.tell()
            return subprocess.Popen(list(self._command), stdout=log, stderr=log, env=environment)

    def tend(self) -> None:
        """Let go on who has stood still for long enough, start again who has ended."""
        for name, at_s in list(self._goes_on_at_s.items()):
            if time.monotonic() >= at_s:
                self._processes[name].send_signal(signal.SIGCONT)
                del self._goes_on_at_s[name]
        for name, process in self._processes.items():
            if process.poll() is not None:
                self.run.ended += 1
                self._processes[name] = self._start(name)

    def is_at_work(self, name: str) -> bool:
        """Whether it has begun to carry out commands since it was started."""
        if name not in self._at_work:
            with (self._at / f"{name}.log").open("rb") as log:
                log.seek(self._starts_at[name])
                if BEGUN in log.read():
                    self._at_work.add(name)
        return name in self._at_work

    def kill(self, name: str) -> None:
        """End a dispatcher without warning; another of its name takes over."""
        process = self._processes[name]
        process.kill()
        process.wait()
        self._goes_on_at_s.pop(name, None)
        self._processes[name] = self._start(name)
        self.run.kills += 1

    def stop(self, name: str) -> None:
        """Let a dispatcher stand still for longer than its session."""
        if name not in self._goes_on_at_s:
            self._processes[name].send_signal(signal.SIGSTOP)
            self._goes_on_at_s[name] = time.monotonic() + STOPPED_S
            self.run.stops += 1

    def end(self) -> None:
        """Let all end in good order; kill who does not."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def drive(
    desk: Desk,
    dispatchers: Dispatchers,
    chains: Sequence[Chain],
    *,
    kills: int,
    stops: int,
    seed: int,
) -> Run:
    """Publish all, disturb the dispatchers as the work goes on, return when all is settled."""
    rng = random.Random(f"disturbances {seed}")
    total = sum(map(len, chains))
    kinds = ["kill"] * kills + ["stop"] * stops
    rng.shuffle(kinds)
    # Nine tenths of the results bring all of them: the end is about what they left behind.
    marks = deque(
        (total * 9 * (n + 1) // (10 * (len(kinds) + 1)), kind, rng.choice(NAMES))
        for n, kind in enumerate(kinds)
    )
    open_chains = {chain[0].command_id: deque(chain) for chain in chains}
    desk.send([chain[0] for chain in chains])
    done, moved_at_s, said_at_s = 0, time.monotonic(), time.monotonic()
    while done < total and time.monotonic() - moved_at_s < STILL_S:
        dispatchers.tend()
        following = []
        for command_id in desk.news():
            chain = open_chains.pop(command_id, None)
            if chain is None:
                continue
            done, moved_at_s = done + 1, time.monotonic()
            chain.popleft()
            if chain:
                open_chains[chain[0].command_id] = chain
                following.append(chain[0])
        desk.send(following)
        # Who is not at work yet can leave nothing half done.
        while marks and done >= marks[0][0] and dispatchers.is_at_work(marks[0][2]):
            _, kind, name = marks.popleft()
            getattr(dispatchers, kind)(name)
        if time.monotonic() - said_at_s > SAY_S:
            said_at_s = time.monotonic()
            run = dispatchers.run
            sys.stderr.write(f"{done} of {total}, kills={run.kills} stops={run.stops}\n")
    dispatchers.run.told = Counter(desk.settled.values())
    return dispatchers.run
