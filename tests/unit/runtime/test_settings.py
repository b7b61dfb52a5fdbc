"""Settings say in plain words which variables are missing or unknown."""

import pytest

from runtime.settings import Settings
from schemas.errors import ConfigError


def test_missing_and_unknown_variables_are_named_in_plain_words() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"PSASTREAM_REGISTRY_URL": "http://r", "PSASTREAM_FOO": "1"})
    assert "PSASTREAM_BOOTSTRAP_SERVERS: is not set" in caught.value.detail
    assert "PSASTREAM_FOO: there is no such variable" in caught.value.detail


def test_a_variable_that_is_misspelt_is_told_with_the_one_that_is_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"PSASTREAM_BOOTSTRAP_SERVER": "k:1"})
    assert (
        "PSASTREAM_BOOTSTRAP_SERVER: there is no such variable;"
        " did you mean PSASTREAM_BOOTSTRAP_SERVERS?" in caught.value.detail
    )
