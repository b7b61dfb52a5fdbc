"""Dead letters that people release and discard, on a real broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner, Result

from psastream.cli import app
from psastream.letter_ages import LetterAges, LetterMetrics
from psastream.letter_decisions import Decision, Meant, decide
from psastream.letters import DECISIONS, TOPIC
from runtime.kafka import KafkaSettings, create_topics, make_producer, read_topic
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import BrokerUnavailableError
from schemas.topics import BY_NAME
from tests.support.catalogue import BY_NAME as OF_FIRM
from tests.support.catalogue import CATALOGUE
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

ROLES = "src.float.role"


class Letters:
    """The dead letters of the shared stack, and the topic that their records came from."""

    def __init__(self, stack: RunningStack) -> None:
        self.environment = {
            "PSASTREAM_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": stack.addresses.registry_url,
        }
        self.settings = Settings.from_env(self.environment)
        self.kafka = KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)
        registry = Registry(stack.addresses.registry_url)
        registry.register_catalogue(CATALOGUE)
        self.serde = Serde(registry)
        topics = [BY_NAME[TOPIC], BY_NAME[DECISIONS], OF_FIRM[ROLES]]
        create_topics(self.kafka, topics, replication_factor=1)

    def write(self, **fields: Any) -> tuple[str, bytes]:
        """A dead letter of a record with a key of its own; its key, and the record's."""
        record_key, offset = uuid.uuid4().hex.encode(), uuid.uuid4().int >> 66
        key = f"{ROLES}|1|{offset}"
        letter = {
            "topic": ROLES, "partition": 1, "offset": offset, "key": record_key,
            "value": b"as it was", "agent": "normalize", "error_code": "record.poison",
            "detail": "it failed", "hint": "", "correlation_id": None,
            "raised_at": datetime.now(UTC),
        }  # fmt: skip
        producer = make_producer(self.kafka)
        value = self.serde.value(TOPIC, letter | fields)
        producer.produce(TOPIC, key=self.serde.key(TOPIC, key), value=value, partition=0)
        assert producer.flush(15) == 0
        return key, record_key

    def ages(self) -> tuple[float, float]:
        """What a worker tells: how many wait, and how long the oldest is kept."""
        metrics = LetterMetrics(CollectorRegistry())
        ages = LetterAges(self.kafka, self.serde, metrics)
        ages.round()
        ages.close()
        return metrics.undecided._value.get(), metrics.remaining._value.get()

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["dlq", *arguments], env=self.environment)

    def published(self, record_key: bytes) -> list[tuple[int, bytes | None]]:
        messages = read_topic(self.kafka, ROLES)
        return [(m.partition(), m.value()) for m in messages if m.key() == record_key]

    def decisions(self, key: str) -> list[dict[str, Any]]:
        values = (message.value() for message in read_topic(self.kafka, DECISIONS))
        told = [self.serde.read(value) for value in values if value is not None]
        return [each for each in told if each["letter"] == key]


@pytest.fixture(scope="module")
def letters(stack: RunningStack) -> Iterator[Letters]:
    yield Letters(stack)


def test_a_record_is_published_again_once_and_who_did_it_is_kept(letters: Letters) -> None:
    key, record_key = letters.write()
    dry = letters.run("release", key, "--dry-run")
    assert (dry.exit_code, dry.stdout.splitlines()) == (
        0,
        [f"{key}: to be published again (record.poison)", "nothing was done: a dry run"],
    )
    assert letters.published(record_key) == []

    done = letters.run("release", key, "--yes", "--note", "mapping put right")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 released"), done.output
    again = letters.run("release", key, "--yes")
    assert again.exit_code == 0
    assert again.stdout.startswith(f"{key}: was released at 20")
    assert letters.published(record_key) == [(1, b"as it was")]
    (decision,) = letters.decisions(key)
    assert (decision["decision"], decision["note"]) == ("released", "mapping put right")
    assert "@" in decision["decided_by"]

    assert key not in letters.run("list").stdout
    assert f"{key}  released  record.poison" in letters.run("list", "--all").stdout
    shown = letters.run("show", key).stdout
    assert "decided:     released at 20" in shown and "mapping put right" in shown


def test_one_that_is_set_aside_stays_and_is_not_listed(letters: Letters) -> None:
    key, record_key = letters.write()
    assert key in letters.run("list").stdout
    waiting, remaining_s = letters.ages()
    assert waiting >= 1 and 0 < remaining_s <= 90 * 86_400
    assert letters.run("discard", key, "--yes").stdout.splitlines()[-1] == "1 discarded"
    assert key not in letters.run("list").stdout
    assert letters.ages()[0] == waiting - 1
    refused = letters.run("release", key, "--yes")
    assert f"{key}: was discarded at" in refused.stdout
    assert letters.published(record_key) == []


def test_two_people_release_a_letter_once(letters: Letters) -> None:
    key, record_key = letters.write()

    def release() -> None:
        with suppress(BrokerUnavailableError):  # the other one has taken over
            decide(letters.settings, Decision.RELEASED, Meant([key]), is_sure=True)

    with ThreadPoolExecutor(2) as threads:
        for each in [threads.submit(release) for _ in range(2)]:
            each.result()
    release()
    assert len(letters.published(record_key)) == 1
    assert len(letters.decisions(key)) == 1
