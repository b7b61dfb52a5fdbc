"""One application of the engine on a real Kafka: its topics, its input, its workers, its result."""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from streams.engine import EngineSettings, GroupSpec, Instruments, NoInstruments, create_app
from streams.engine.seams import Seams
from streams.worker import Worker
from tests.support.engine_agents import Record, Topics, expected_totals, latest_totals
from tests.support.eventually import eventually

_REPOSITORY = Path(__file__).parents[2]
_ANSWER_S = 5.0
_GATHER_S = 0.05

Place = tuple[str, int]
"""Topic and partition."""


class EngineTestbed:
    """Creates topics on entry of a test; everything is named after a fresh app id."""

    def __init__(
        self, bootstrap_servers: str, directory: Path, partitions: int = 2, copies: int = 1
    ) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.app_id = f"engine-{uuid.uuid4().hex[:8]}"
        self.directory = directory
        self.partitions = partitions
        self.copies = copies
        self.topics = Topics.of(self.app_id)
        self._admin = self._new_admin()
        self._reader: Consumer | None = None
        self._producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "linger.ms": 5, "enable.idempotence": True}
        )

    def _new_admin(self) -> AdminClient:
        return AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "reconnect.backoff.max.ms": 500}
        )

    def create_topics(self, *names: str) -> None:
        """Create the given topics, by default all of the application."""
        topics = self.topics
        wanted = names or (topics.rows, topics.adjustments, topics.totals, topics.state)
        compact = {"cleanup.policy": "compact"}
        self.create(
            NewTopic(
                name,
                self.partitions,
                self.copies,
                config=compact if name == topics.state else {},
            )
            for name in wanted
        )

    def create_state_topics(self, *names: str, policy: str = "compact") -> None:
        """Create state logs that are compacted as soon as the broker looks at them."""
        eager = {
            "cleanup.policy": policy,
            "segment.ms": "1000",
            "min.cleanable.dirty.ratio": "0.01",
        }
        self.create(NewTopic(name, self.partitions, 1, config=eager) for name in names)

    def delete_topics(self, *names: str) -> None:
        for deletion in self._admin.delete_topics([*names]).values():
            deletion.result()

    def create(self, new: Iterable[NewTopic]) -> None:
        """Create topics, and wait until the broker tells of them and of their leaders.

        It answers a little earlier than it knows them itself.
        """
        created = self._admin.create_topics([*new])
        for future in created.values():
            future.result()

        def are_known() -> bool:
            known = self._admin.list_topics(timeout=20).topics
            return all(
                name in known
                and known[name].error is None
                and all(each.leader >= 0 for each in known[name].partitions.values())
                for name in created
            )

        eventually(are_known, deadline_s=30)

    def recreate(self, name: str) -> None:
        """Delete a topic and create it anew, empty."""
        self.delete_topics(name)
        eventually(lambda: name not in self._admin.list_topics(timeout=20).topics, deadline_s=30)
        self.create_topics(name)

    def produce(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Publish and wait for the broker."""
        for key, value in records:
            self._producer.produce(topic, value, key, partition=partition)
            self._producer.poll(0)
        self._producer.flush()

    def delete_head(self, topic: str, partition: int, offset: int) -> None:
        """Delete what lies below `offset`, as retention does."""
        request = [TopicPartition(topic, partition, offset)]
        for future in self._admin.delete_records(request).values():
            future.result()

    def move_group(self, topic: str, offset: int) -> None:
        """Set the committed offset of every partition of `topic`, as an operator can."""
        moved = [TopicPartition(topic, p, offset) for p in range(self.partitions)]
        request = [ConsumerGroupTopicPartitions(self.app_id, moved)]
        for future in self._admin.alter_consumer_group_offsets(request).values():
            future.result()

    def abort(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Publish in a transaction that is aborted; return once its end is in the topic."""
        self.open_transaction(topic, partition, records).abort_transaction(20)
        self._transactional()

    def commit(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Publish in a transaction that is committed; return once its end is in the topic."""
        self.open_transaction(topic, partition, records).commit_transaction(20)
        self._transactional()

    def open_transaction(self, topic: str, partition: int, records: Sequence[Record]) -> Producer:
        """Publish in a transaction and leave it open; return its producer."""
        producer = self._transactional()
        producer.begin_transaction()
        for key, value in records:
            producer.produce(topic, value, key, partition=partition)
        producer.flush()
        return producer

    def _transactional(self) -> Producer:
        """Return a new producer; the broker lets it begin once the last transaction has ended."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "transactional.id": f"{self.app_id}-test",
            }
        )
        producer.init_transactions(20)
        return producer

    def reader(self, group: str) -> Consumer:
        """A consumer of committed records that tells the end of each partition."""
        return self._consumer(group)

    def settings(self, worker: str = "w", **changes: Any) -> EngineSettings:
        """Engine settings with short time-outs; `worker` names the state directory."""
        defaults: dict[str, Any] = {
            "app_id": self.app_id,
            "bootstrap_servers": self.bootstrap_servers,
            "state_dir": self.directory / worker,
            "session_timeout_s": 6.0,
            "heartbeat_interval_s": 1.0,
            "transaction_timeout_s": 8.0,
            "commit_timeout_s": 6.0,
            "request_timeout_s": 20.0,
            "retry_backoff_s": 0.1,
            "retry_backoff_max_s": 1.0,
            "halt_timeout_s": 5.0,
        }
        return EngineSettings(**{**defaults, **changes})

    def read(self, topic: str) -> list[Record]:
        """All committed records of a topic, partition by partition."""
        consumer = self._consumer()
        consumer.assign([TopicPartition(topic, p, 0) for p in range(self.partitions)])
        found: list[Record] = []
        ended = 0
        while ended < self.partitions:
            for message in consumer.consume(10_000, _GATHER_S):
                if message.error() is not None:
                    ended += 1
                else:
                    found.append((message.key(), message.value()))
        consumer.close()
        return found

    def committed(self, *topics: str) -> int:
        """Sum of the application's committed offsets in `topics`; 0 while no broker answers."""
        consumer = self._consumer(self.app_id)
        try:
            offsets = consumer.committed(self._partitions_of(topics), timeout=20)
        except KafkaException:
            return 0
        finally:
            consumer.close()
        return sum(max(0, at.offset) for at in offsets)

    def positions(self, *topics: str) -> dict[Place, int]:
        """The application's committed offset of each partition; empty while no broker answers."""
        if self._reader is None:
            self._reader = self._consumer(self.app_id)
        try:
            found = self._reader.committed(self._partitions_of(topics), timeout=_ANSWER_S)
        except KafkaException:
            self._reader.close()  # a new one finds a broker again sooner
            self._reader = None
            return {}
        return {(at.topic, at.partition): max(0, at.offset) for at in found}

    def end_positions(
        self, *topics: str, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> dict[Place, int]:
        """The end offset of each partition; empty while no broker answers."""
        wanted = dict.fromkeys(self._partitions_of(topics), OffsetSpec.latest())
        try:
            futures = self._admin.list_offsets(
                wanted,
                isolation_level=isolation,
                request_timeout=_ANSWER_S,
            )
            return {(at.topic, at.partition): f.result().offset for at, f in futures.items()}
        except KafkaException:
            # A client goes on asking with what it knew of the leaders before a broker restarted.
            self._admin = self._new_admin()
            return {}

    def ends(self, *topics: str) -> int:
        """Sum of the end offsets of `topics`; raises KafkaException while a leader is silent."""
        consumer = self._consumer()
        try:
            # A client that is new asks no more for the leader it was told of last, though it be
            # gone, until its metadata is five minutes old.
            return sum(
                consumer.get_watermark_offsets(at, timeout=_ANSWER_S)[1]
                for at in self._partitions_of(topics)
            )
        finally:
            consumer.close()

    def wait_until_drained(self, *topics: str, deadline_s: float = 60) -> None:
        """Wait until the application has committed the end of every partition of `topics`."""
        wanted = topics or (self.topics.rows, self.topics.adjustments)
        end = self.ends(*wanted)
        eventually(lambda: self.committed(*wanted) >= end, deadline_s=deadline_s)

    def expected(self) -> dict[str, int]:
        """The totals recomputed from the source topics."""
        return expected_totals(self.read(self.topics.rows), self.read(self.topics.adjustments))

    def totals(self) -> dict[str, int]:
        """The totals as published."""
        return latest_totals(self.read(self.topics.totals))

    def spawn(self, worker: str = "w", **changes: Any) -> subprocess.Popen[bytes]:
        """A worker in a process of its own, for the totals agents."""
        config = {
            "settings": self.settings(worker, **changes).model_dump(mode="json"),
            "partitions": self.partitions,
        }
        log = (self.directory / f"{worker}.log").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.support.engine_worker", json.dumps(config)],
                cwd=_REPOSITORY,
                stderr=log,
                stdout=log,
            )

    def _partitions_of(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [TopicPartition(t, p) for t in topics for p in range(self.partitions)]

    def _consumer(self, group: str = "engine-test") -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )


class ThreadWorker:
    """A worker in a thread of the test: for handlers the test wants to watch or to steer."""

    def __init__(
        self,
        settings: EngineSettings,
        groups: Sequence[GroupSpec],
        instruments: Instruments | None = None,
        seams: Seams | None = None,
    ) -> None:
        self.instruments = instruments or NoInstruments()
        app = create_app(settings, groups, self.instruments, seams)
        self.worker = Worker(app, self.instruments)
        self.exit_code: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ThreadWorker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        eventually(self._has_stopped, deadline_s=60)

    def _has_stopped(self) -> bool:
        self.worker.stop()  # again: before the loop of the worker runs nobody hears it
        self._thread.join(_GATHER_S)
        return not self._thread.is_alive()

    def join(self, deadline_s: float = 60) -> int | None:
        """Wait for the worker to end by itself and return its exit code."""
        self._thread.join(deadline_s)
        assert not self._thread.is_alive(), "worker did not stop"
        return self.exit_code

    def owns(self) -> int:
        """The number of partitions of all groups this worker has now."""
        return sum(len(group.processors) for group in self.worker.app.groups)

    def wait(self, condition: Callable[[], Any], deadline_s: float = 60) -> Any:
        """Wait for `condition` while the worker runs."""
        return eventually(condition, deadline_s=deadline_s)

    def _run(self) -> None:
        self.exit_code = self.worker.run()
