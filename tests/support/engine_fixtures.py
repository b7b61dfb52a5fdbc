"""The broker the engine's integration tests run on. Import `kafka` into the test module."""

import os

import pytest


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap servers: those given, else of the session's stack, of which only Kafka is used."""
    given = os.environ.get("PSASTREAM_TEST_BOOTSTRAP")
    if given:
        return given
    return str(request.getfixturevalue("stack").addresses.bootstrap_servers)
