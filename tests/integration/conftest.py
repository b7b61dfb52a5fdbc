"""Fixtures of the integration tests.

Tests of the engine (`test_engine*.py`) run beside the others, in a process of their own, and need
no more than a broker; the other tests share a whole stack.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.stack.settings import Part
from tests.support.stack import (
    BOOTSTRAP,
    RunningStack,
    StackBroker,
    running_stack,
    stack_directory,
    stack_settings,
)
from tests.support.vendors import running_vendors


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """Kafka, Connect, PostgreSQL and the registry, shared by the whole run.

    Every test uses topics, groups, subjects and tables of its own, and restarts what it kills.
    """
    with stack_directory() as directory, running_stack(stack_settings(directory, os.environ)) as it:
        yield it


@pytest.fixture(scope="session")
def own_directory() -> Iterator[Path]:
    """Data directory of `own_stack`."""
    with stack_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def own_stack(own_directory: Path) -> Iterator[RunningStack]:
    """Kafka and PostgreSQL of ours, for tests that kill them, and start them again."""
    settings = stack_settings(own_directory, {}, frozenset({Part.KAFKA, Part.POSTGRES}))
    with running_stack(settings) as stack:
        yield stack


@pytest.fixture(scope="session")
def own_broker() -> Iterator[StackBroker]:
    """A broker for tests that kill it: always one of ours, and nothing but Kafka."""
    env = {name: value for name, value in os.environ.items() if name != BOOTSTRAP}
    with stack_directory() as directory:
        settings = stack_settings(directory, env, frozenset({Part.KAFKA}))
        with running_stack(settings) as stack:
            yield StackBroker(stack)


@pytest.fixture(scope="session")
def targets(own_broker: StackBroker) -> Iterator[None]:
    """A registry and the simulated vendors beside `own_broker`, for dispatchers."""
    with stack_directory() as directory, running_vendors(directory) as running:
        running.admin.lift_rate_limits()
        own_broker.start_registry()
        own_broker.targets = running
        yield


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap servers for the engine: those given, else of `own_broker`."""
    given = os.environ.get(BOOTSTRAP)
    return given or str(request.getfixturevalue("own_broker").bootstrap_servers)
