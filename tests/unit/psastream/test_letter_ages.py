"""How long dead letters are kept that nobody has decided about."""

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from psastream.letter_ages import (
    FOREVER,
    LetterAges,
    LetterMetrics,
    Undecided,
    retention_ms_of,
)
from runtime.brokers import PresentTopic
from runtime.kafka import KafkaSettings
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.errors import TransientError

HOUR_MS = 3_600_000


def test_the_oldest_that_nobody_has_decided_about_counts() -> None:
    undecided = Undecided()
    assert undecided.remaining_s(24 * HOUR_MS, 0) == FOREVER
    undecided.letter(("a|0|1", "x"), 0, 10, 1 * HOUR_MS)
    undecided.letter(("a|0|2", "y"), 1, 10, 2 * HOUR_MS)
    undecided.decision(("a|0|1", "of another record at the place"))
    assert undecided.remaining_s(24 * HOUR_MS, 3 * HOUR_MS) == 22 * 3_600
    undecided.decision(("a|0|1", "x"))
    assert undecided.remaining_s(24 * HOUR_MS, 3 * HOUR_MS) == 23 * 3_600
    assert undecided.remaining_s(24 * HOUR_MS, 27 * HOUR_MS) == -1 * 3_600
    assert undecided.remaining_s(-1, 27 * HOUR_MS) == FOREVER


def test_a_decision_counts_in_whatever_order_it_is_read() -> None:
    undecided = Undecided()
    undecided.decision(("a|0|1", "x"))
    undecided.letter(("a|0|1", "x"), 0, 10, 0)
    assert undecided.letters == {}


def test_what_the_topic_keeps_no_more_is_forgotten() -> None:
    undecided = Undecided()
    for partition, offset in ((0, 10), (0, 12), (1, 5)):
        undecided.letter((f"a|{partition}|{offset}", "x"), partition, offset, 0)
    undecided.begins(0, 12)
    assert sorted(at for _, at, _ in undecided.letters.values()) == [5, 12]


def test_the_retention_is_the_brokers_or_as_declared() -> None:
    def told(**settings: str) -> dict[str, PresentTopic]:
        return {"psa.dlq": PresentTopic(8, 1, settings)}

    assert retention_ms_of(told(**{"retention.ms": "5"})) == 5
    assert retention_ms_of(told(**{"retention.ms": "-1"})) == -1
    assert retention_ms_of(told()) == retention_ms_of({}) == 90 * 24 * HOUR_MS


class HiddenError(TransientError):
    """Told by nobody else, since a kind is told once a minute."""

    code = "transient.hidden"


class Refused(LetterAges):
    """Of a user that may not read dead letters."""

    def round(self) -> None:
        raise HiddenError("the broker does not show psa.dlq")


def test_what_keeps_it_from_reading_is_told() -> None:
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    metrics = LetterMetrics(CollectorRegistry())
    ages = Refused(nowhere, Serde(Registry("http://127.0.0.1:9")), metrics)
    with capture_logs() as told:
        ages.look()
    assert [line["code"] for line in told] == ["transient.hidden"]
