"""The brokers the engine's integration tests run on. Import them into the test module."""

import os
from collections.abc import Iterator

import pytest

from sandbox.stack.settings import Part
from tests.support.stack import RunningStack, running_stack, stack_directory, stack_settings

BOOTSTRAP = "PSASTREAM_TEST_BOOTSTRAP"


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap servers: those given, else of the session's stack, of which only Kafka is used."""
    given = os.environ.get(BOOTSTRAP)
    if given:
        return given
    return str(request.getfixturevalue("stack").addresses.bootstrap_servers)


class StackBroker:
    """A broker a test may kill."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self.bootstrap_servers = stack.addresses.bootstrap_servers

    def kill(self) -> None:
        self._stack.kill("kafka")

    def start(self) -> None:
        self._stack.restart("kafka")


@pytest.fixture(scope="session")
def own_broker() -> Iterator[StackBroker]:
    """A broker for tests that kill it: always one of ours, and nothing but Kafka."""
    env = {name: value for name, value in os.environ.items() if name != BOOTSTRAP}
    with stack_directory() as directory:
        settings = stack_settings(directory, env, frozenset({Part.KAFKA}))
        with running_stack(settings) as stack:
            yield StackBroker(stack)
