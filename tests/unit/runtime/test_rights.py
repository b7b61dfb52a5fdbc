"""What is told where a broker refuses for want of a right."""

from __future__ import annotations

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, NotLeaderForPartitionError
from confluent_kafka import KafkaError, KafkaException

from runtime.rights import AccessRefusedError, hint_of, is_refused, refused, signs_in, user_of

REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "consumer groups",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional ids",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster",
}


@pytest.mark.parametrize(("code", "what"), REFUSED.items())
def test_a_refusal_names_the_user_and_what_to_give_it(code: int, what: str) -> None:
    error = KafkaException(KafkaError(code))

    signs_in({"sasl.username": "psastream-worker"})

    told = refused("psa.dlq cannot be read", error)

    assert isinstance(told, AccessRefusedError)
    assert told.detail == "psa.dlq cannot be read"
    assert told.hint.startswith(
        f"give the user psastream-worker its rights on {what}: psastream docs "
    )
    assert is_refused(KafkaError(code))


@pytest.mark.parametrize(
    "error",
    [
        KafkaException(KafkaError(KafkaError._TRANSPORT)),
        KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART),
        TimeoutError(),
        None,
    ],
)
def test_another_failure_is_none_of_rights(error: object) -> None:
    assert refused("it failed", error) is None
    assert not is_refused(error)


def test_a_code_of_kafkas_has_its_hint() -> None:
    assert "consumer groups" in hint_of(GroupAuthorizationFailedError.errno)
    assert hint_of(NotLeaderForPartitionError.errno) == hint_of(None) == ""


def test_a_user_is_called_as_it_signs_in() -> None:
    assert user_of({"sasl.username": "reader"}) == "the user reader"
    assert (
        user_of({"ssl.certificate.location": "c.pem"}) == "the user of this process's certificate"
    )
    assert user_of({}) == "the user of this process"
