"""What the intake makes of its consumer: of records, errors, rebalances and commits."""

import json
from collections.abc import Callable, Collection
from typing import Any, cast

import pytest
import stamina
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from structlog.testing import capture_logs

from connectors.dispatch.commands import Command
from connectors.dispatch.intake import BATCH, InstanceFencedError, Intake, Withdrawal
from connectors.dispatch.journal import DeadLetter
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec, load_schema
from schemas.commands import DeleteProject
from schemas.contracts import record_schema
from schemas.errors import BrokerUnavailableError, RegistryUnavailableError
from tests.support.topology import FixedRegistry

SERDE = Serde(cast(Registry, FixedRegistry()))
NETSUITE, FLOAT = "psa.command.netsuite", "psa.command.float"


class PlayedMessage:
    def __init__(self, code: int) -> None:
        self._error = KafkaError(code)

    def error(self) -> KafkaError:
        return self._error


class PlayedConsumer:
    """Answers each poll with one error."""

    def __init__(self, code: int) -> None:
        self._code = code

    def subscribe(self, *_: object, **__: object) -> None:
        """Nothing to join."""

    def poll(self, _wait_s: float) -> PlayedMessage:
        return PlayedMessage(self._code)


def intake(code: int) -> Intake:
    unused: Any = None
    return Intake(
        PlayedConsumer(code),
        unused,
        ["float"],
        unused,
        describe_members=lambda: "host /10.0.0.2, client psastream-dispatch-b-7, instance a",
    )


@pytest.mark.fault("D15", place="connectors/dispatch/intake.py")
@pytest.mark.parametrize("code", [KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID])
def test_d15_a_fenced_process_says_who_is_in_its_place_and_what_to_do(code: int) -> None:
    with pytest.raises(InstanceFencedError) as caught:
        intake(code).read(())

    assert "client psastream-dispatch-b-7" in str(caught.value)
    assert "PSASTREAM_INSTANCE_ID" in str(caught.value)


def test_another_error_of_the_consumer_is_the_brokers() -> None:
    with pytest.raises(BrokerUnavailableError):
        intake(KafkaError._ALL_BROKERS_DOWN).read(())


class Consumer:
    """Returns what it is given, record by record; notes what it is told."""

    def __init__(self) -> None:
        self.messages: list[Message | Callable[[], None] | None] = []
        self.waits_s: list[float] = []
        self.paused: set[tuple[str, int]] = set()
        self.commits: list[list[tuple[str, int, int]]] = []
        self.committed_offset = -1001
        self.failure: KafkaError | None = None
        self.part_error: KafkaError | None = None
        self.is_closed = False
        self.member_id: str | None = "a-1"

    def memberid(self) -> str | None:
        return self.member_id

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self.topics, self.callbacks = topics, callbacks

    def assign(self, *places: tuple[str, int]) -> None:
        self.paused.clear()
        self.callbacks["on_assign"](self, [TopicPartition(*place) for place in places])

    def poll(self, wait_s: float) -> Message | None:
        self.waits_s.append(wait_s)
        found = self.messages.pop(0) if self.messages else None
        while callable(found):  # a rebalance, in the middle of a poll
            found()
            found = self.messages.pop(0) if self.messages else None
        return found

    def pause(self, parts: list[TopicPartition]) -> None:
        self.paused |= {(part.topic, part.partition) for part in parts}

    def resume(self, parts: list[TopicPartition]) -> None:
        self.paused -= {(part.topic, part.partition) for part in parts}

    def committed(self, parts: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        return [TopicPartition(it.topic, it.partition, self.committed_offset) for it in parts]

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        if self.failure is not None:
            raise KafkaException(self.failure)
        self.commits.append([(it.topic, it.partition, it.offset) for it in offsets])
        return [Answered(self.part_error) for _ in offsets]  # type: ignore[misc]

    def close(self) -> None:
        self.is_closed = True


class Answered:
    def __init__(self, error: KafkaError | None) -> None:
        self.error = error


class Owner:
    """Hears of its partitions."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def assigned(self, partitions: Collection[tuple[str, int]]) -> None:
        self.heard.append(list(partitions))

    def revoked(self) -> None:
        self.heard.append("revoked")

    def lost(self) -> None:
        self.heard.append("lost")


def at_work(
    *places: tuple[str, int], serde: Any = SERDE, clock: Callable[[], float] = lambda: 0.0
) -> tuple[Intake, Consumer, Owner]:
    consumer, owner = Consumer(), Owner()
    it = Intake(consumer, serde, ["netsuite", "float"], owner, clock=clock)
    if places:
        consumer.assign(*places)
    return it, consumer, owner


NAMED = {
    "command_id": "c1",
    "target": "netsuite",
    "natural_key": "k",
    "revision": 1,
    "origin_key": "o",
}


def ordered(
    topic: str = NETSUITE, kind: str = "upsert_project", revision: int = 1, **fields: Any
) -> bytes:
    record = {
        **NAMED,
        "command_id": f"c{revision}",
        "target": topic.removeprefix("psa.command."),
        "kind": kind,
        "revision": revision,
        "payload": "{}",
        **fields,
    }
    return SERDE.value(topic, record)


def message(topic: str, offset: int, value: bytes | None, partition: int = 0) -> Message:
    return Message(topic=topic, partition=partition, offset=offset, key=b"k", value=value)


def test_records_are_read_as_what_they_are_with_their_places() -> None:
    it, consumer, _ = at_work((NETSUITE, 0))
    consumer.messages = [
        message(NETSUITE, 4, ordered(), partition=3),
        message(NETSUITE, 5, ordered(kind="withdraw", revision=2)),
        message(NETSUITE, 6, None),
        message(NETSUITE, 7, b"?"),
        message(FLOAT, 8, ordered(NETSUITE)),
    ]

    command, withdrawal, tombstone, unreadable, astray = it.read(())

    assert consumer.topics == [NETSUITE, FLOAT]
    assert (command.topic, command.partition, command.offset) == (NETSUITE, 3, 4)
    assert isinstance(command.content, Command)
    assert command.content.command_id == "c1"
    assert withdrawal.content == Withdrawal("k", 2)
    assert tombstone.content is None
    assert isinstance(unreadable.content, DeadLetter)
    assert (unreadable.content.offset, unreadable.content.value) == (7, b"?")
    assert isinstance(astray.content, DeadLetter)
    assert astray.content.key == b"k"
    assert astray.target == "float"


@pytest.mark.parametrize("kind", ["upsert_project", "withdra", "withdrawal", "write_off", "zero"])
def test_a_kind_that_nobody_knows_is_a_command_and_takes_nothing_back(kind: str) -> None:
    """The target refuses it, and a person is told."""
    it, consumer, _ = at_work((NETSUITE, 0))
    consumer.messages = [message(NETSUITE, 4, ordered(kind=kind))]
    [delivery] = it.read(())
    assert isinstance(delivery.content, Command)
    assert delivery.content.kind == kind


DELETED = {"correlation_id": None, "project_id": "eng-1-de"}
SAID = '{"correlation_id":null,"project_id":"eng-1-de"}'
BILL = {"correlation_id": None, "time_bill_id": "t", "time_entry_id": None, "project_ref": None}


def read_one(value: bytes, serde: Serde = SERDE) -> Command | Withdrawal | DeadLetter | None:
    it, consumer, _ = at_work((NETSUITE, 0), serde=serde)
    consumer.messages = [message(NETSUITE, 4, value)]
    [delivery] = it.read(())
    return delivery.content


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": SAID, "delete_project": DELETED},
        {"payload": SAID},  # written before contents had contracts
        {"payload": None, "delete_project": DELETED},
    ],
)
def test_one_content_is_one_command_however_it_is_written(fields: dict[str, Any]) -> None:
    found = read_one(ordered(kind="delete_project", **fields))
    assert isinstance(found, Command)
    assert found.payload == SAID
    assert found.read(DeleteProject) == DeleteProject(project_id="eng-1-de")


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        (
            "delete_project",
            {"payload": SAID.replace("eng-1", "eng-2"), "delete_project": DELETED},
            "the content of a delete_project is not what its payload says",
        ),
        (
            "delete_project",
            {"payload": "{}", "delete_project": DELETED},
            "the content of a delete_project is not what its payload says",
        ),
        (
            "upsert_project",
            {"payload": SAID, "delete_project": DELETED},
            "a command of the kind upsert_project holds the content of delete_project",
        ),
        (
            "delete_project",
            {"payload": SAID, "delete_project": DELETED, "delete_time_bill": BILL},
            "a command of the kind delete_project holds the content of delete_time_bill",
        ),
        (
            "withdraw",
            {"payload": "{}", "delete_project": DELETED},
            "a command of the kind withdraw holds the content of delete_project",
        ),
        ("delete_project", {"payload": None}, "a command lacks payload"),
    ],
)
@pytest.mark.fault("B1", place="connectors/dispatch/commands.py")
def test_b1_a_content_that_is_none_of_its_command_is_carried_out_by_nobody(
    kind: str, fields: dict[str, Any], told: str
) -> None:
    """Which of the two was meant nobody can know."""
    found = read_one(ordered(kind=kind, **fields))
    assert isinstance(found, DeadLetter)
    assert found.error.detail == told
    assert "eng-1-de" not in f"{found.error} {found.error.hint}"


def read_of_another_version(avro: Any, content: Any) -> Command | Withdrawal | DeadLetter | None:
    """Read a command of a kind, and by a contract, that this version does not know."""
    definition = json.loads(record_schema("command/command").text)
    definition["fields"].append({"name": "write_off", "type": ["null", avro], "default": None})
    schema, registry = load_schema(definition), FixedRegistry()
    schema_id = registry.add("psa.command.netsuite-value", schema)
    record = {**NAMED, "kind": "write_off", "write_off": content}
    value = frame(schema_id, RecordCodec(schema).encode(record))
    return read_one(value, Serde(cast(Registry, registry)))


def test_a_kind_of_a_later_version_is_read_for_its_target_to_refuse() -> None:
    avro = {"type": "record", "name": "WriteOff", "fields": [{"name": "n", "type": "long"}]}
    found = read_of_another_version(avro, {"n": 7})
    assert isinstance(found, Command)
    assert (found.kind, found.payload) == ("write_off", '{"n":7}')


@pytest.mark.fault("B1", place="connectors/dispatch/commands.py")
def test_b1_a_content_that_is_no_content_at_all_is_put_aside() -> None:
    found = read_of_another_version({"type": "map", "values": "bytes"}, {"n": b"secret"})
    assert isinstance(found, DeadLetter)
    assert "holds what no content holds" in found.error.detail
    assert "secret" not in str(found.error)


@pytest.mark.parametrize(("topic", "target"), [(NETSUITE, FLOAT), (FLOAT, NETSUITE)])
def test_a_command_in_the_topic_of_another_target_is_carried_out_by_neither(
    topic: str, target: str
) -> None:
    it, consumer, _ = at_work((NETSUITE, 0), (FLOAT, 0))
    consumer.messages = [message(topic, 4, ordered(target))]
    [delivery] = it.read(())
    assert isinstance(delivery.content, DeadLetter)


def test_reading_waits_for_the_first_record_only_and_ends_with_a_batch() -> None:
    it, consumer, _ = at_work((NETSUITE, 0))
    consumer.messages = [message(NETSUITE, number, None) for number in range(BATCH + 1)]

    assert [len(it.read(())) for _ in range(3)] == [BATCH, 1, 0]
    assert consumer.waits_s[0] > 0
    assert set(consumer.waits_s[1:BATCH]) == {0.0}


def test_a_registry_that_is_away_for_a_moment_makes_no_dead_letter() -> None:
    class Away(Serde):
        failures = 2

        def read(self, value: bytes) -> dict[str, Any]:
            if self.failures:
                self.failures -= 1
                raise RegistryUnavailableError("no answer")
            return SERDE.read(value)

    with stamina.set_testing(True, attempts=3):
        it, consumer, _ = at_work((NETSUITE, 0), serde=Away(cast(Registry, FixedRegistry())))
        consumer.messages = [message(NETSUITE, 4, ordered())]
        [delivery] = it.read(())

    assert isinstance(delivery.content, Command)


def test_partitions_of_crowded_targets_are_paused_and_resumed_alone() -> None:
    it, consumer, _ = at_work((NETSUITE, 0), (NETSUITE, 1), (FLOAT, 0))

    it.read({"netsuite"})
    assert consumer.paused == {(NETSUITE, 0), (NETSUITE, 1)}
    it.read({"netsuite", "float"})
    assert consumer.paused == {(NETSUITE, 0), (NETSUITE, 1), (FLOAT, 0)}
    it.read({"float"})
    assert consumer.paused == {(FLOAT, 0)}
    it.read(())
    assert consumer.paused == set()


def test_what_is_held_back_is_held_back_anew_after_an_assignment() -> None:
    it, consumer, _ = at_work((NETSUITE, 0))
    it.read({"netsuite"})
    consumer.assign((NETSUITE, 0), (NETSUITE, 1))  # the client forgets pauses

    it.read({"netsuite"})

    assert consumer.paused == {(NETSUITE, 0), (NETSUITE, 1)}


@pytest.mark.parametrize("event", ["on_revoke", "on_lost"])
def test_records_of_partitions_that_go_while_they_are_read_are_left_to_their_next_owner(
    event: str,
) -> None:
    it, consumer, owner = at_work((NETSUITE, 0))
    consumer.messages = [
        message(NETSUITE, 1, None),
        lambda: consumer.callbacks[event](consumer, []),
        message(NETSUITE, 9, None),
        message(NETSUITE, 10, None),
    ]

    assert [delivery.offset for delivery in it.read(())] == [9, 10]
    assert owner.heard == [[(NETSUITE, 0)], {"on_revoke": "revoked", "on_lost": "lost"}[event]]
    assert not it.prove(), "without partitions there is nothing to prove"


def test_an_assignment_begins_with_nothing_read_before() -> None:
    it, consumer, _ = at_work((NETSUITE, 0))
    consumer.messages = [
        message(NETSUITE, 1, None),
        lambda: consumer.assign((NETSUITE, 2)),
        message(NETSUITE, 9, None, partition=2),
    ]
    assert [delivery.offset for delivery in it.read(())] == [9]


def test_a_commit_that_fails_is_said_and_made_again_by_the_next() -> None:
    it, consumer, _ = at_work((NETSUITE, 0))
    consumer.failure = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
    assert not it.commit([((NETSUITE, 0), 5)])
    consumer.failure = None
    assert it.commit([((NETSUITE, 0), 5), ((FLOAT, 1), 7)])
    assert consumer.commits == [[(NETSUITE, 0, 5), (FLOAT, 1, 7)]]


@pytest.mark.fault("A6", place="connectors/dispatch/intake.py")
def test_a6_the_proof_of_a_lease_commits_what_is_committed_already() -> None:
    it, consumer, _ = at_work((NETSUITE, 0), (FLOAT, 1))
    consumer.committed_offset = 4
    assert it.prove()
    assert it.commit([((FLOAT, 1), 9), ((NETSUITE, 0), 7)])
    assert it.prove()
    assert it.commit([((NETSUITE, 0), 6)])  # never back behind what was committed
    assert it.prove()
    proofs = [commit for commit in consumer.commits if len(commit) == 1]
    assert [offset for [(_, _, offset)] in proofs] == [4, 7, 6, 7]

    consumer.assign((FLOAT, 1))
    consumer.committed_offset = -1001  # nothing yet: the beginning
    assert it.prove()
    assert consumer.commits[-1] == [(FLOAT, 1, 0)]


@pytest.mark.fault("A6", place="connectors/dispatch/intake.py")
@pytest.mark.parametrize("own", [(NETSUITE, 1), (FLOAT, 1)])
def test_a6_the_proof_of_a_lease_is_of_one_partition_whichever_others_are_committed(
    own: tuple[str, int],
) -> None:
    others = [(topic, number) for topic in (NETSUITE, FLOAT) for number in (0, 1, 2)]
    others.remove(own)
    it, consumer, _ = at_work(own, *others)
    consumer.committed_offset = 4
    assert it.prove()
    assert it.commit([(place, 9) for place in others])
    assert it.prove()
    assert consumer.commits[0] == consumer.commits[-1] == [(*own, 4)]


@pytest.mark.fault("A6", place="connectors/dispatch/intake.py")
def test_a6_a_commit_that_is_refused_proves_nothing() -> None:
    it, consumer, _ = at_work((NETSUITE, 0))
    consumer.part_error = KafkaError(KafkaError.ILLEGAL_GENERATION)
    assert not it.prove()
    consumer.part_error = None
    consumer.failure = KafkaError(KafkaError.UNKNOWN_MEMBER_ID)
    assert not it.prove()
    consumer.failure = None
    assert it.prove()
    it.close()
    assert consumer.is_closed


@pytest.mark.fault("D15", place="connectors/dispatch/intake.py")
def test_d15_who_is_no_member_any_more_commits_nothing_that_would_fence_him() -> None:
    """The client has given its member up; that its partitions are lost comes with the next poll."""
    it, consumer, owner = at_work((NETSUITE, 0))
    consumer.committed_offset = 4
    assert it.prove()
    for member_id in (None, ""):
        consumer.member_id = member_id
        with capture_logs() as logs:
            assert not it.prove()
            assert not it.commit([((NETSUITE, 0), 5)])
        assert [each["event"] for each in logs] == [
            "dispatch.lease_not_proven",
            "dispatch.commit_failed",
        ]
    assert consumer.commits == [[(NETSUITE, 0, 4)]]
    consumer.callbacks["on_lost"](consumer, [])
    consumer.member_id = "a-2"
    consumer.assign((NETSUITE, 0))
    assert it.commit([((NETSUITE, 0), 5)])
    assert owner.heard == [[(NETSUITE, 0)], "lost", [(NETSUITE, 0)]]


def waits_told(it: Intake, now: list[float], seconds: int) -> list[int]:
    """Read once a second; return how long it said each time that it has no place in the group."""
    with capture_logs() as logs:
        for _ in range(seconds):
            now[0] += 1
            it.read(())
    told = [entry for entry in logs if entry["event"] == "dispatch.no_place_in_group"]
    assert all("__consumer_offsets" in entry["hint"] for entry in told)
    return [entry["since_s"] for entry in told]


@pytest.mark.fault("D11", place="connectors/dispatch/intake.py")
@pytest.mark.parametrize("event", [None, "on_revoke", "on_lost"])
def test_d11_who_gets_no_place_in_the_group_says_so_once_a_minute(event: str | None) -> None:
    now = [1_000.0]
    it, consumer, _ = at_work(clock=lambda: now[0])
    if event is not None:
        consumer.assign((NETSUITE, 0))
        now[0] += 500.0
        consumer.callbacks[event](consumer, [])

    assert waits_told(it, now, 130) == [60, 120]

    consumer.assign((NETSUITE, 0))
    assert waits_told(it, now, 130) == []
    consumer.callbacks["on_revoke"](consumer, [])
    assert waits_told(it, now, 59) == []
    assert waits_told(it, now, 1) == [60]


@pytest.mark.parametrize("places", [[(NETSUITE, 0)], []])
def test_who_has_a_place_in_the_group_waits_for_nothing(places: list[tuple[str, int]]) -> None:
    """One more process than there are partitions has none of them."""
    now = [0.0]
    it, consumer, _ = at_work(clock=lambda: now[0])
    consumer.assign(*places)

    assert waits_told(it, now, 130) == []
