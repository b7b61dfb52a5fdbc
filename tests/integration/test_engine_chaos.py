"""Three workers and the broker are disturbed by plan; then everything equals the truth.

One test a seed: `make crash SEEDS=50` runs 1 to 50. What a seed does is in `engine_plans`, how in
`engine_scenario`, and what is compared in `engine_verifier`, which runs in a process of its own.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engine_plans import plan_of
from tests.support.engine_scenario import Scenario
from tests.support.stack import StackBroker

pytestmark = [pytest.mark.stack, pytest.mark.crash, pytest.mark.usefixtures("targets")]

SEEDS = "PSASTREAM_TEST_SEEDS"
DEFAULT_SEEDS = 11  # the fewest that cover every kind of disturbance at every mark and point


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print at once, also when all is well: plans and verdicts are the record of a run."""

    def say(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}")
            sys.stdout.flush()

    return say


@pytest.mark.parametrize("seed", range(1, int(os.environ.get(SEEDS, DEFAULT_SEEDS)) + 1))
def test_i1_i3_i6_disturbed_workers_lose_and_double_nothing(
    seed: int,
    own_broker: StackBroker,
    tmp_path: Path,
    say: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    plan = plan_of(seed)
    say(str(plan))
    scenario = Scenario(own_broker, tmp_path, plan)
    try:
        verdict = scenario.run()
    except BaseException:
        say(f"seed {seed} failed; logs and local state are in {tmp_path}; repeat it with:")
        say(f'{SEEDS}={seed} python -m pytest "{request.node.nodeid}"')
        raise
    scenario.clean_up()
    say(f"{verdict} ({', '.join(scenario.seconds)} s, {scenario.fleet.restarts} restarts)")
