"""Commands for operators say what they miss."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import BrokerUnavailableError
from streams.engine import AgentSpec, EngineSettings, GroupSpec
from streams.engine.anew import forget_state, require_no_members, reread, reread_all
from tests.support.engine_processor import add_up

GROUP = GroupSpec("g", 1, [AgentSpec("source", add_up)], "log")


@pytest.mark.fault("D11", place="streams/engine/anew.py")
@pytest.mark.parametrize(
    "command",
    [
        lambda settings: reread(settings, [GROUP], "source"),
        lambda settings: forget_state(settings, GROUP),
        lambda settings: require_no_members(settings, "dispatch", who="dispatchers", hint=""),
        lambda settings: reread_all(settings, GROUP),
    ],
)
def test_d11_without_a_broker_a_command_says_so(
    tmp_path: Path, command: Callable[[EngineSettings], None]
) -> None:
    settings = EngineSettings(
        app_id="a", bootstrap_servers="127.0.0.1:1", state_dir=tmp_path, reach_timeout_s=0.0
    )
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker answers"):
        command(settings)
