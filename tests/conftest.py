"""Settings of all tests."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.examples import examples
from tests.support.logging_back import logging_put_back, secrets_put_back


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """What commands and settings set up for a whole process ends with the test that ran them."""
    with logging_put_back(), secrets_put_back():
        yield


# How long an example takes says more about the machine than about the code.
settings.register_profile(
    "psastream",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=examples(60),
)
# The same examples each time, and no time spent on making a found one smaller.
settings.register_profile(
    "mutants",
    settings.get_profile("psastream"),
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("PSASTREAM_TEST_PROFILE", "psastream"))
