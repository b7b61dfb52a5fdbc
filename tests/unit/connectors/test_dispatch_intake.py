"""What the intake makes of the errors of its consumer."""

from typing import Any

import pytest
from confluent_kafka import KafkaError

from connectors.dispatch.intake import InstanceFencedError, Intake
from schemas.errors import BrokerUnavailableError


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
