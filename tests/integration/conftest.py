"""Fixtures of the integration tests."""

import os
from collections.abc import Iterator

import pytest

from tests.support.stack import RunningStack, running_stack, stack_directory, stack_settings


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """Kafka, Connect, PostgreSQL and the registry, shared by the whole run.

    Every test uses topics, groups, subjects and tables of its own, and restarts what it kills.
    """
    with stack_directory() as directory, running_stack(stack_settings(directory, os.environ)) as it:
        yield it
