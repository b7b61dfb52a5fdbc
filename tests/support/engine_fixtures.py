"""The broker the engine's integration tests run on."""

import pytest


@pytest.fixture
def kafka(stack: object) -> str:
    """Bootstrap servers of the session's broker."""
    return str(stack.addresses.bootstrap_servers)  # type: ignore[attr-defined]
