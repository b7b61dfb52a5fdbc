"""Proves that a command has one effect: `python -m tests.prove.dispatch --commands 10000`.

Two dispatchers as `psastream dispatch` runs them carry out commands at every simulated target that
has a sink, while writes time out after their commit, are refused and fail, lists show new records
late, and the dispatchers are killed and stopped, all by the seed. What came of it is judged by what
the targets themselves hold and wrote, against the commands published. Beside it a plain client
repeats each request that fails, on the same commands and faults.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer

from connectors.dispatch.commands import Command
from connectors.dispatch.main import load_sink
from connectors.systems import Systems
from connectors.toolkit.vendor import Idempotency
from psastream.conformance.suite import read_sink_subject
from psastream.conformance.targets import Order, SinkSubject
from runtime.kafka import KafkaSettings, create_topics, make_producer
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.stack.settings import Part
from sandbox.vendors.faults import FaultKind
from sandbox.vendors.target import TwinTarget
from schemas.errors import AuthenticationError, PsaStreamError, TransientError
from schemas.routing import partition_of
from schemas.topics import DISPATCH, command_topic
from tests.support.commands import command_record
from tests.support.stack import running_stack, stack_directory, stack_settings
from tests.support.vendors import Vendors, running_vendors

FAULTS: Final = (
    (FaultKind.COMMIT_THEN_TIMEOUT, 0.20),
    (FaultKind.RATE_LIMITED, 0.05),
    (FaultKind.SERVER_ERROR, 0.05),
    (FaultKind.COMMIT_THEN_ERROR, 0.05),
)
"""Shares of the writes."""
NAMES: Final[Mapping[str, Sequence[str]]] = {
    "business_central": ("number", "documentNumber"),
    "float": ("project_code",),
    "netsuite": ("externalid",),
}
"""By target the fields that name a record as we do: only of these can be counted what there is."""
FAST: Final = {
    "request.timeout.ms": 1_500,
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 500,
    "auth.retry.ms": 500,
    "requests.per.second": None,
    "max.in.flight": 16,
    "max.queued": 5_000,
}
STOPPED_S: Final = 18.0
"""Longer than a dispatcher's session."""
STILL_S: Final = 180.0
"""Without any result for so long, what is open is given up, and judged as it is."""
TRIES: Final = 50
LETTERS: Final = "abcdefgh"


@dataclass(frozen=True, slots=True)
class Step:
    """One command, as the tables write it."""

    record: Mapping[str, Any]
    identity: str

    @property
    def command_id(self) -> str:
        return str(self.record["command_id"])


Chain = deque[Step]
"""Commands about one record: each is published once the one before it was carried out."""


@dataclass(slots=True)
class Verdict:
    """What the target did, against what was ordered."""

    duplicates: int = 0
    missing: int = 0
    commands: int = 0


@dataclass(slots=True)
class Run:
    """What was done to the dispatchers, and what they told."""

    kills: int = 0
    stops: int = 0
    ended: int = 0
    told: Counter[str] = field(default_factory=Counter)


def subjects() -> list[SinkSubject]:
    """Every system with a sink, where what its simulated target holds can be counted."""
    found = []
    systems = Systems()
    for name in systems.names():
        vendor = systems.vendor(name)
        if vendor.sink is None:
            continue
        folder = Path(str(files(f"connectors.vendors.{name}")))
        subject = read_sink_subject(folder, systems.read(name), vendor)
        if subject is None or name not in NAMES or not _is_of_twin(subject):
            sys.stdout.write(f"{name}: left out, its records cannot be counted (NAMES)\n")
        else:
            found.append(subject)
    return found


def _target_class(subject: SinkSubject) -> type[Any]:
    module, _, name = subject.written.server.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def _is_of_twin(subject: SinkSubject) -> bool:
    return issubclass(_target_class(subject), TwinTarget)


def makers(subject: SinkSubject) -> list[Order]:
    """Return the sample commands that make a record."""
    changes = {
        content.kind
        for content, why in subject.vendor.commands.items()
        if why is Idempotency.CHANGE
    }
    return [order for order in subject.orders if order.kind not in changes]


def identity_of(order: Order) -> str:
    """Return the id of the record that an order is about."""
    return order.key.split(":", 2)[2]


def chain_of(subject: SinkSubject, order: Order, number: int, rng: random.Random) -> Chain:
    """Return commands about a record of its own: it is made, and perhaps changed and deleted."""
    mine = identity_of(order)
    prefix, _, *rest = mine.split("-", 2)
    letters = "".join(LETTERS[number >> 3 * place & 7] for place in range(12))
    identity = "-".join((prefix, letters, *rest))
    chain: Chain = deque()
    revisions: Counter[str] = Counter()

    def add(like: Order, content: Mapping[str, Any]) -> None:
        key = like.key.split(":", 2)[1] + ":" + identity
        said = {name: identity if value == mine else value for name, value in content.items()}
        revisions[key] += 1
        record = command_record(subject.system, like.kind, key, revisions[key], said)
        chain.append(Step(record, identity))

    add(order, order.content)
    if order.changed is not None and rng.random() < 0.3:
        add(order, order.changed)
    for later in subject.orders:
        is_about_it = identity_of(later) == mine and later not in makers(subject)
        if is_about_it and rng.random() < 0.3:
            add(later, later.content)
    return chain


def chains_of(all_subjects: Sequence[SinkSubject], commands: int, seed: int) -> list[Chain]:
    """Return as many commands as asked for, shared evenly by the targets and their kinds."""
    rng = random.Random(f"commands {seed}")
    chains: list[Chain] = []
    for place, subject in enumerate(all_subjects):
        share = commands // len(all_subjects) + (place < commands % len(all_subjects))
        orders = makers(subject)
        number = 0
        while share > 0:
            chain = chain_of(subject, orders[number % len(orders)], number, rng)
            while len(chain) > share:
                chain.pop()
            share -= len(chain)
            number += 1
            chains.append(chain)
    rng.shuffle(chains)
    return chains


def prepare(twin: Vendors, all_subjects: Sequence[SinkSubject]) -> None:
    """Set up at each target what people have set up before a command comes."""
    twin.admin.lift_rate_limits()
    for subject in all_subjects:
        target = object.__new__(_target_class(subject))

        async def admin(method: str, path: str, body: object = None) -> Any:
            return twin.admin._send(method, path, body)

        target.admin = admin
        asyncio.run(target.prepare())
        if subject.system == "netsuite":
            twin.admin.configure("netsuite", concurrency=200)


def disturb(twin: Vendors, all_subjects: Sequence[SinkSubject], lag_s: float) -> None:
    """Let writes fail and lists lag from now on."""
    for subject in all_subjects:
        left = 1.0
        vendor: Any = subject.system
        twin.admin.configure(vendor, search_lag_s=lag_s)
        for kind, share in FAULTS:
            twin.admin.add_fault(
                vendor, kind, probability=share / left, scope="write", delay_s=10.0
            )
            left -= share


def judge(
    twin: Vendors, all_subjects: Sequence[SinkSubject], chains: Sequence[Sequence[Step]]
) -> dict[str, Verdict]:
    """Count what each target wrote and holds against the commands. Trusts nothing of dispatch."""
    ordered: dict[tuple[str, str], list[Step]] = defaultdict(list)
    for chain in chains:
        for step in chain:
            ordered[step.record["target"], step.identity].append(step)
    written: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for effect in twin.admin.effects():
        key = effect.vendor, str(effect.external_id).lower()
        written[key][effect.record_type, effect.content] += 1
    held: Counter[tuple[str, str]] = Counter()
    for vendor, tables in twin.admin.books().items():
        for rows in tables.values():
            for row in rows:
                for name in NAMES.get(vendor, ()):
                    held[vendor, str(row.get(name)).lower()] += 1
    verdicts = {subject.system: Verdict() for subject in all_subjects}
    for key, steps in ordered.items():
        verdict, effects = verdicts[key[0]], written[key]
        is_deleted = any(str(step.record["kind"]).startswith("delete") for step in steps)
        rows = held[key] - (not is_deleted)
        verdict.commands += len(steps)
        verdict.duplicates += max(0, sum(effects.values()) - min(len(effects), len(steps)), rows)
        verdict.missing += max(0, len(steps) - len(effects), -rows)
    return verdicts


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
            if before is None and record["status"] in ("succeeded", "adopted"):
                done.append(record["command_id"])
        return done

    def close(self) -> None:
        self._results.close()


class Dispatchers:
    """Two dispatchers: they are killed and stopped, and started again where they ended."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], at: Path) -> None:
        self._command, self._environment, self._at = command, environment, at
        self._processes = {name: self._start(name) for name in ("one", "two")}
        self._goes_on_at_s: dict[str, float] = {}
        self.run = Run()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        environment = {**self._environment, "PSASTREAM_INSTANCE_ID": name}
        with (self._at / f"{name}.log").open("ab") as log:
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
    marks = deque((total * 9 * (n + 1) // (10 * (len(kinds) + 1)), k) for n, k in enumerate(kinds))
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
        while marks and done >= marks[0][0]:
            getattr(dispatchers, marks.popleft()[1])(rng.choice(("one", "two")))
        if time.monotonic() - said_at_s > 15:
            said_at_s = time.monotonic()
            run = dispatchers.run
            sys.stderr.write(f"{done} of {total}, kills={run.kills} stops={run.stops}\n")
    dispatchers.run.told = Counter(desk.settled.values())
    return dispatchers.run


class Insistent:
    """A client of a vendor that sends each request again until it is answered well."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def request(self, *arguments: Any, **options: Any) -> Any:
        for _ in range(TRIES):
            try:
                return await self._client.request(*arguments, **options)
            except (TransientError, AuthenticationError):
                await asyncio.sleep(0.05)
        raise TimeoutError

    async def close(self) -> None:
        await self._client.close()


async def act_plainly(
    configs: Mapping[str, Path], environment: Mapping[str, str], chains: Sequence[Chain]
) -> None:
    """Carry out all commands with nothing but requests that are repeated."""
    sinks: dict[str, Any] = {}
    for name, path in configs.items():
        sinks[name] = load_sink(path, environment).make_sink(lambda: None)
        sinks[name]._client = Insistent(sinks[name]._client)
    slots = asyncio.Semaphore(32)

    async def work(chain: Chain) -> None:
        known: str | None = None
        for step in chain:
            command = Command.from_record(dict(step.record))
            async with slots:
                try:
                    applied = await sinks[command.target].execute(command, known)
                except (PsaStreamError, TimeoutError):
                    continue
                known = applied.target_id or known

    await asyncio.gather(*map(work, chains))
    for sink in sinks.values():
        await sink.close()


@contextmanager
def twin_of(
    directory: Path, all_subjects: Sequence[SinkSubject], lag_s: float, seed: int
) -> Iterator[tuple[Vendors, dict[str, Path]]]:
    """A twin that is set up, and the sinks' files."""
    with running_vendors(directory, seed=seed) as twin:
        prepare(twin, all_subjects)
        settle_ms = int(lag_s * 1000) + 2_000
        configs = {}
        for subject in all_subjects:
            configs[subject.system] = directory / f"{subject.system}.json"
            document = {**subject.document, **FAST, "settle.ms": settle_ms}
            configs[subject.system].write_text(json.dumps(document))
        yield twin, configs


def samples(all_subjects: Sequence[SinkSubject]) -> list[Chain]:
    """Return the sample commands that make what the others name."""
    return [
        deque([Step(command_record(*_parts(subject, order)), identity_of(order))])
        for subject in all_subjects
        for order in makers(subject)
    ]


def _parts(subject: SinkSubject, order: Order) -> tuple[str, str, str, int, dict[str, Any]]:
    return subject.system, order.kind, order.key.split(":", 1)[1], 1, dict(order.content)


def plain_verdicts(
    directory: Path, all_subjects: Sequence[SinkSubject], chains: Sequence[Chain], options: Any
) -> dict[str, Verdict]:
    """Return what came of the same commands and faults with a plain client."""
    with twin_of(directory, all_subjects, options.lag, options.seed) as (twin, configs):
        for each in samples(all_subjects):
            asyncio.run(act_plainly(configs, {**os.environ, **twin.environment}, [each]))
        disturb(twin, all_subjects, options.lag)
        asyncio.run(act_plainly(configs, {**os.environ, **twin.environment}, chains))
        return judge(twin, all_subjects, chains)


def proven(
    directory: Path, all_subjects: Sequence[SinkSubject], chains: Sequence[Chain], options: Any
) -> tuple[dict[str, Verdict], Run]:
    """Return what came of the commands with two dispatchers, and what was done to them."""
    with (
        stack_directory() as data,
        running_stack(
            stack_settings(data, os.environ, frozenset({Part.KAFKA, Part.REGISTRY}))
        ) as stack,
        twin_of(directory, all_subjects, options.lag, options.seed) as (twin, configs),
    ):
        kafka = KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)
        desk = Desk(kafka, stack.addresses.registry_url, list(configs))
        program = Path(sys.executable).parent / "psastream"
        command = [str(program), "dispatch"]
        for path in configs.values():
            command += ["--config", str(path)]
        environment = {
            **os.environ,
            **twin.environment,
            "PSASTREAM_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": stack.addresses.registry_url,
        }
        dispatchers = Dispatchers(command, environment, directory)
        try:
            for each in samples(all_subjects):
                drive(desk, dispatchers, [each], kills=0, stops=0, seed=options.seed)
            disturb(twin, all_subjects, options.lag)
            run = drive(
                desk,
                dispatchers,
                chains,
                kills=options.kills,
                stops=options.stops,
                seed=options.seed,
            )
        finally:
            dispatchers.end()
            desk.close()
        return judge(twin, all_subjects, chains), run


def main() -> int:
    """Prove it; 1 where a command had no effect, or several."""
    options = _options()
    found = subjects()
    chains = chains_of(found, options.commands, options.seed)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="psastream-prove-") as temporary:
        directory = Path(options.directory or temporary)
        plain = plain_verdicts(directory / "plain", found, chains, options)
        acted, run = proven(directory / "dispatch", found, chains, options)
    sys.stdout.write(
        f"search lag up to {options.lag} s of real time; {time.monotonic() - started_s:.0f} s;"
        f" results {dict(run.told)}; dispatchers that ended by themselves: {run.ended}\n"
    )
    for subject in found:
        name = subject.system
        sys.stdout.write(f"{name}: {_line(acted[name], plain[name], run)}\n")
    sys.stdout.write(_line(_sum(acted), _sum(plain), run) + "\n")
    total = _sum(acted)
    return int(bool(total.duplicates or total.missing))


def _sum(verdicts: Mapping[str, Verdict]) -> Verdict:
    total = Verdict()
    for verdict in verdicts.values():
        total.duplicates += verdict.duplicates
        total.missing += verdict.missing
        total.commands += verdict.commands
    return total


def _line(acted: Verdict, plain: Verdict, run: Run) -> str:
    return (
        f"duplicates={acted.duplicates} missing={acted.missing} commands={acted.commands}"
        f" kills={run.kills} stops={run.stops}"
        f" plain_duplicates={plain.duplicates} plain_missing={plain.missing}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prove.dispatch", description=__doc__)
    parser.add_argument("--commands", type=int, default=10_000, help="in all (default: 10000)")
    parser.add_argument("--kills", type=int, default=50, help="of dispatchers (default: 50)")
    parser.add_argument("--stops", type=int, default=5, help="SIGSTOPs (default: 5)")
    parser.add_argument("--lag", type=float, default=6.0, help="longest lag of lists, seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", help="where logs stay (default: nowhere)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
