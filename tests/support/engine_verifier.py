"""Recomputes everything of the crash suite from its source topics, and compares exactly.

`python -m tests.support.engine_verifier <config.json`, a process of its own that shares no code
with the agents, the engine or dispatch. Prints one line, then the differences; exits 1 if
there are any.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from rocksdict import AccessType, Options, Rdict

from tests.support.engine_effects import effects_differences

_TIMEOUT_S = 30.0
_SHOWN = 40

SOURCES = ("rows", "adjustments", "partials")
TOPICS = (*SOURCES, "totals", "regions", "letters", "totals-state", "regions-state")
POISON = b"poison"
"""The value of a record that no handler can digest."""

Place = tuple[str, int]
"""Topic, without the application's name, and partition."""
Log = list[tuple[int, bytes, bytes | None]]
"""Committed records of one partition: offset, key, value."""


class Application:
    """Everything Kafka holds of one application, as a reader of committed records sees it."""

    def __init__(self, bootstrap_servers: str, app_id: str, partitions: int) -> None:
        self.app_id = app_id
        self.partitions = range(partitions)
        self._options = {"bootstrap.servers": bootstrap_servers}
        self.logs = self._read(TOPICS)
        self.ends = self._ends(SOURCES)
        self.ids = self._ids(SOURCES)
        self.committed = self._committed(SOURCES)

    def topic(self, name: str) -> str:
        return f"{self.app_id}-{name}"

    def _read(self, names: Sequence[str]) -> dict[Place, Log]:
        logs: dict[Place, Log] = {place: [] for place in self._places(names)}
        consumer = self._consumer("engine-verifier")
        consumer.assign([self._at(place, 0) for place in logs])
        unread = set(logs)
        while unread:
            for message in consumer.consume(10_000, 0.1):
                name = message.topic().removeprefix(f"{self.app_id}-")
                place = (name, message.partition())
                if message.error() is None:
                    record = (message.offset(), message.key() or b"", message.value())
                    logs[place].append(record)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(place)
                else:
                    raise KafkaException(message.error())
        consumer.close()
        return logs

    def _ends(self, names: Sequence[str]) -> dict[Place, int]:
        places = self._places(names)
        admin = AdminClient(self._options)
        found = admin.list_offsets(
            {self._at(place): OffsetSpec.latest() for place in places},
            isolation_level=IsolationLevel.READ_COMMITTED,
        )
        return {place: int(found[self._at(place)].result(_TIMEOUT_S).offset) for place in places}

    def _ids(self, names: Sequence[str]) -> dict[str, bytes]:
        admin = AdminClient(self._options)
        found = admin.describe_topics(TopicCollection([self.topic(name) for name in names]))
        return {
            name: str(found[self.topic(name)].result(_TIMEOUT_S).topic_id).encode()
            for name in names
        }

    def _committed(self, names: Sequence[str]) -> dict[Place, int]:
        """The positions of the group; 0 where it has none."""
        places = self._places(names)
        consumer = self._consumer(self.app_id)
        found = consumer.committed([self._at(place) for place in places], timeout=_TIMEOUT_S)
        consumer.close()
        return {place: max(0, int(at.offset)) for place, at in zip(places, found, strict=True)}

    def _places(self, names: Sequence[str]) -> list[Place]:
        return [(name, partition) for name in names for partition in self.partitions]

    def _at(self, place: Place, *offset: int) -> TopicPartition:
        return TopicPartition(self.topic(place[0]), place[1], *offset)

    def _consumer(self, group: str) -> Consumer:
        return Consumer(
            {
                **self._options,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )


def without_rates(state: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Tallies without the numbers that go by the borders of chunks."""
    return {
        key: b" ".join(value.split()[:6]) if key.startswith(b"!a:") else value
        for key, value in state.items()
    }


def local_state(path: Path) -> dict[bytes, bytes] | None:
    """What a directory of RocksDB holds; None if it cannot be read."""
    try:
        store = Rdict(str(path), Options(raw_mode=True), access_type=AccessType.read_only())
        found = store.iter()
        found.seek_to_first()
        held: dict[bytes, bytes] = {}
        while found.valid():
            held[found.key()] = found.value()
            found.next()
        found.status()
        del found
        store.close()
    except Exception:  # rocksdict raises nothing narrower
        return None
    return held


class Verifier:
    """Compares one application with its truth."""

    def __init__(
        self, application: Application, state_dirs: list[Path], rotten: Sequence[str] = ()
    ) -> None:
        """`rotten` names the state directories in which bytes were flipped."""
        self._app = application
        self._state_dirs = state_dirs
        self._rotten = rotten
        self.differences: list[str] = []
        self.kinds: Counter[str] = Counter()
        """How many of the differences say that something is lost, doubled, or otherwise wrong."""
        self.counts: Counter[str] = Counter()
        self.figures: dict[str, bytes] = {}
        """What each region must hold."""

    def run(self) -> None:
        partials = {p: self._app.logs["partials", p] for p in self._app.partitions}
        totals_of_region: Counter[str] = Counter()
        records_of_region: Counter[str] = Counter()
        for partition in self._app.partitions:
            regions = self._check_totals(partition, partials)
            for region, (amount, records) in regions.items():
                totals_of_region[region] += amount
                records_of_region[region] += records
        for partition in self._app.partitions:
            wanted = {
                region: (totals_of_region[region], records_of_region[region])
                for region in records_of_region
                if int(region[1:]) % len(self._app.partitions) == partition
            }
            self._check_regions(partition, wanted, partials[partition])

    def check_effects(self, dispatch: Mapping[str, Any]) -> None:
        """Check what the target systems were made to do; after `run`."""
        found = effects_differences(
            dispatch["url"],
            dispatch["orders"],
            dispatch["statuses"],
            dispatch["customers"],
            self.figures,
        )
        for kind, difference in found:
            self._differs(kind, difference)
        self.counts["commands"] += len(dispatch["orders"])

    def _check_totals(
        self, partition: int, partials: Mapping[int, Log]
    ) -> dict[str, tuple[int, int]]:
        """Check the group `totals` on a partition; return what it holds of each region."""
        poisoned = self._check_letters(partition)
        rows, adjustments = (
            [record for record in self._app.logs[name, partition] if record[2] != POISON]
            for name in ("rows", "adjustments")
        )
        amounts: Counter[str] = Counter()
        records: Counter[str] = Counter()
        latest: dict[bytes, bytes | None] = {}
        for _, key, value in rows:
            latest[key] = value
            if value is not None:
                records[value.decode().split(":")[0]] += 1
        for value in latest.values():
            if value is not None:
                project, amount = value.decode().split(":")
                amounts[project] += int(amount)
        for _, key, value in adjustments:
            records[key.decode()] += 1
            amounts[key.decode()] += int(value or 0)
        projects = {project: (amounts[project], records[project]) for project in records}
        regions: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for project, (amount, count) in projects.items():
            region = f"G{int(project.split('-')[1]) % 9}"
            before = regions[region]
            regions[region] = (before[0] + amount, before[1] + count)

        published = self._published("totals", self._app.logs["totals", partition], projects)
        own_partials = [
            record
            for log in partials.values()
            for record in log
            if record[1].endswith(b"/%d" % partition)
        ]
        held = self._published(
            "partials", own_partials, {f"{g}/{partition}": v for g, v in regions.items()}
        )
        state = {b"r:" + key: value for key, value in latest.items() if value is not None}
        state |= {b"t:" + key.encode(): value for key, value in published.items()}
        state |= {b"p:" + key.split("/")[0].encode(): value for key, value in held.items()}
        state |= self._positions(partition, poisoned, rows=len(rows), adjustments=len(adjustments))
        self._check_state("totals", partition, state)
        self.counts["rows"] += len(rows)
        self.counts["adjustments"] += len(adjustments)
        self.counts["totals"] += len(projects)
        return dict(regions)

    def _check_letters(self, partition: int) -> dict[str, int]:
        """Check that each poisoned record, and no other, has one letter; count them by topic."""
        wanted = {
            f"{self._app.topic(name)}/{offset}".encode(): POISON
            for name in ("rows", "adjustments")
            for offset, _, value in self._app.logs[name, partition]
            if value == POISON
        }
        letters = self._app.logs["letters", partition]
        found = Counter(key for _, key, _ in letters)
        for key, times in found.items():
            if times > 1:
                self._differs("doubled", f"letter {key.decode()}: {times} times")
        self._compare("letters", {key: value or b"" for _, key, value in letters}, wanted)
        self.counts["letters"] += len(wanted)
        return {
            name: sum(value == POISON for *_, value in self._app.logs[name, partition])
            for name in ("rows", "adjustments")
        }

    def _check_regions(
        self, partition: int, wanted: Mapping[str, tuple[int, int]], partials: Log
    ) -> None:
        published = self._published("regions", self._app.logs["regions", partition], wanted)
        self.figures |= published
        state = {b"k:" + key: value for _, key, value in partials if value is not None}
        state |= {b"g:" + key.encode(): value for key, value in published.items()}
        state |= self._positions(partition, {}, partials=len(partials))
        self._check_state("regions", partition, state)
        self.counts["partials"] += len(partials)
        self.counts["regions"] += len(wanted)

    def _published(
        self, topic: str, log: Log, wanted: Mapping[str, tuple[int, int]]
    ) -> dict[str, bytes]:
        """Check the outputs; return what each key must hold, with its version.

        A key's versions count its publications, so they must run from 1 without gap or repeat.
        """
        versions: dict[str, list[int]] = defaultdict(list)
        last: dict[str, bytes] = {}
        for _, key, value in log:
            versions[key.decode()].append(int((value or b"::0").split(b":")[2]))
            last[key.decode()] = value or b""
        must: dict[str, bytes] = {}
        for key, (amount, records) in wanted.items():
            must[key] = b"%d:%d:%d" % (amount, records, len(versions[key]))
        for key, found in versions.items():
            for kind, wrong in (
                ("doubled", sorted(version for version, n in Counter(found).items() if n > 1)),
                ("lost", sorted(set(range(1, max(found) + 1)) - set(found))),
            ):
                if wrong:
                    self._differs(kind, f"{topic} {key}: versions {wrong} are {kind}")
            if found != sorted(found):
                self._differs("wrong", f"{topic} {key}: versions out of order")
        self._compare(f"output {topic}", last, must)
        return must

    def _positions(
        self, partition: int, poisoned: Mapping[str, int], **records: int
    ) -> dict[bytes, bytes]:
        """Check the committed offsets of topics; return what the state must say of them."""
        state: dict[bytes, bytes] = {}
        for name, count in records.items():
            topic = self._app.topic(name)
            end = self._app.ends[name, partition]
            committed = self._app.committed[name, partition]
            if committed != end:
                self._differs("wrong", f"{name}/{partition}: committed {committed}, end {end}")
            if end:
                state[b"!v"] = b"1.1"
                state[b"!t:" + topic.encode()] = self._app.ids[name]
                state[b"!f:" + topic.encode()] = b"%d" % (end - 1)
                letters = poisoned.get(name, 0)
                state[b"!a:" + topic.encode()] = b"0 %d %d 0 0 %d" % (end, count, letters)
            if count:
                state[b"n:" + topic.encode()] = b"%d" % count
        return state

    def _check_state(self, group: str, partition: int, must: Mapping[bytes, bytes]) -> None:
        """Check the state log, and every local state that says it is complete.

        None need be: a worker may be stopped between its last commit and its local write.
        """
        log = self._app.logs[f"{group}-state", partition]
        state: dict[bytes, bytes] = {}
        for _, key, value in log:
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        for key, applied in must.items():
            if key.startswith(b"n:"):
                self._check_count(f"{group}/{partition} of {key[2:].decode()}", state, key, applied)
        self._compare(f"state log {group}/{partition}", without_rates(state), must)
        self.counts["state keys"] += len(must)
        for directory in self._state_dirs:
            path = directory / group / str(partition)
            if not path.exists():
                continue
            held = local_state(path)
            if held is None:  # rotten where nobody has looked yet: it would be rebuilt then
                self.counts["rotten local states"] += 1
                if directory.name not in self._rotten:
                    self._differs("wrong", f"local state {path} is damaged")
                continue
            position = int(held.pop(b"!offset", b"-1"))
            held.pop(b"!log", None)
            held.pop(b"!local-layout", None)
            held.pop(b"!complete-at", None)
            if log and position >= log[-1][0]:
                self.counts["local states"] += 1
                self._compare(
                    f"local state {directory.name}/{group}/{partition}", without_rates(held), must
                )

    def _check_count(
        self, what: str, state: Mapping[bytes, bytes], key: bytes, must: bytes
    ) -> None:
        """The state counts what was applied to it."""
        more = int(state.get(key, b"0")) - int(must)
        if more:
            kind = "doubled" if more > 0 else "lost"
            self._differs(kind, f"{what}: {abs(more)} records are {kind}")

    def _compare(self, what: str, found: Mapping[Any, bytes], must: Mapping[Any, bytes]) -> None:
        for key in sorted(found.keys() | must.keys()):
            if found.get(key) != must.get(key):
                difference = f"{what} {key!r}: {found.get(key)!r} instead of {must.get(key)!r}"
                self._differs("wrong", difference)

    def _differs(self, kind: str, difference: str) -> None:
        self.kinds[kind] += 1
        self.differences.append(difference)


def lines(verifier: Verifier, label: str) -> Iterator[str]:
    """The verdict in one line, then the first differences."""
    counts = ", ".join(f"{count} {what}" for what, count in verifier.counts.items())
    wrong = verifier.differences
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(verifier.kinds.items()))
    yield f"{label}: differences: {kinds}" if wrong else f"{label}: exact: {counts}"
    yield from wrong[:_SHOWN]
    if len(wrong) > _SHOWN:
        yield f"and {len(wrong) - _SHOWN} more"


def main(config: Mapping[str, Any]) -> int:
    application = Application(config["bootstrap_servers"], config["app_id"], config["partitions"])
    directories = [Path(directory) for directory in config["state_dirs"]]
    verifier = Verifier(application, directories, config.get("rotten", ()))
    verifier.run()
    if "dispatch" in config:
        verifier.check_effects(config["dispatch"])
    sys.stdout.writelines(f"{line}\n" for line in lines(verifier, config["label"]))
    return 1 if verifier.differences else 0


if __name__ == "__main__":
    sys.exit(main(json.load(sys.stdin)))
