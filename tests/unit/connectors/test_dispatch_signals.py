"""What a dispatcher makes of messages: what people ask for, and what has changed."""

from datetime import UTC, datetime
from math import inf
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Message
from structlog.testing import capture_logs

from connectors.dispatch.refusals import RetryRequest
from connectors.dispatch.signals import REQUESTS, Change, Signals, signals_in
from connectors.toolkit.faults import Reason
from runtime.registry import Registry
from runtime.serde import Serde
from tests.support.topology import FixedRegistry

SERDE = Serde(cast(Registry, FixedRegistry()))
AT = datetime(2027, 1, 4, 9, tzinfo=UTC)


def message(topic: str, **record: Any) -> Message:
    return Message(topic=topic, value=SERDE.value(topic, record))


def request(**fields: Any) -> Message:
    return message(REQUESTS, requested_at=AT, **fields)


@pytest.mark.parametrize(
    ("topic", "record", "names"),
    [
        ("psa.customer", {"customer_id": "cus-1", "name": "A"}, ("customer_id:cus-1",)),
        ("psa.legal_entity", {"native_id": "7"}, ("legal_entity_id:7",)),
        (
            "psa.project",
            {"project_id": "p1", "id": "float:project:2"},
            ("project_id:p1", "project_ref:float:project:2"),
        ),
        (
            "psa.opportunity",
            {"engagement_id": "e1", "customer_id": "cus-1"},
            ("engagement_id:e1", "customer_id:cus-1"),
        ),
    ],
)
def test_a_captured_record_is_a_change_of_its_names(
    topic: str, record: dict[str, str], names: tuple[str, ...]
) -> None:
    assert signals_in([message(topic, **record)], SERDE) == [Change(names)]


def test_records_that_come_together_are_one_change_and_name_each_record_once() -> None:
    messages = [
        message("psa.customer", customer_id="cus-2"),
        message("psa.project", project_id="p1"),
        message("psa.customer", customer_id="cus-1"),
        message("psa.customer", customer_id="cus-2", name="renamed"),
    ]
    names = ("customer_id:cus-2", "project_id:p1", "customer_id:cus-1")
    assert signals_in(messages, SERDE) == [Change(names)]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"exception_id": "x"}, RetryRequest(exception_id="x")),
        ({"target": "float"}, RetryRequest(target="float")),
        (
            {"target": "netsuite", "reason": "closed"},
            RetryRequest(target="netsuite", reason=Reason.CLOSED),
        ),
        ({}, RetryRequest()),
    ],
)
def test_a_request_that_comes_now_is_about_whatever_was_tried_before(
    fields: dict[str, str], wanted: RetryRequest
) -> None:
    """The clock of who asks may be behind that of the dispatcher."""
    assert wanted.tried_before_s == inf
    assert signals_in([request(**fields)], SERDE) == [wanted]


def test_requests_come_before_the_change() -> None:
    messages = [
        message("psa.customer", customer_id="cus-1"),
        request(target="float"),
        request(target="netsuite"),
    ]
    assert signals_in(messages, SERDE) == [
        RetryRequest(target="float"),
        RetryRequest(target="netsuite"),
        Change(("customer_id:cus-1",)),
    ]


@pytest.mark.parametrize(
    ("noise", "event"),
    [
        (Message(topic=REQUESTS, error=KafkaError(KafkaError._TRANSPORT)), "signals_unread"),
        (Message(topic=REQUESTS, value=b"no record"), "signal_unreadable"),
        (Message(topic="psa.customer", value=b"no record"), "signal_unreadable"),
        (request(reason="a whim"), "signal_unreadable"),
        (message(REQUESTS, exception_id="x"), "signal_unreadable"),
        (Message(topic=REQUESTS, value=SERDE.value("psa.customer", {})), "signal_unreadable"),
        (Message(topic="psa.customer", key=b"deleted"), None),
        (Message(topic=REQUESTS, key=b"deleted"), None),
        (message("psa.customer", name="nobody named it"), None),
    ],
)
def test_what_is_no_signal_holds_none_back(noise: Message, event: str | None) -> None:
    with capture_logs() as logs:
        assert signals_in([noise], SERDE) == []
        messages = [noise, request(target="float"), message("psa.customer", customer_id="c")]
        found = signals_in(messages, SERDE)
    assert found == [RetryRequest(target="float"), Change(("customer_id:c",))]
    assert [log["event"] for log in logs] == ([f"dispatch.{event}"] * 2 if event else [])


def test_nothing_is_heard_before_a_session_and_an_end_without_one_is_fine() -> None:
    unused: Any = None
    signals = Signals(unused, SERDE)
    assert signals.read() == []
    signals.close()
