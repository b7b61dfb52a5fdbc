"""Each protection of the engine, switched off: the verifier of the crash suite finds the damage.

Without these the crash suite would prove nothing: it might look where no harm is done. Every plan
here puts the disturbance where the missing protection is needed, so the damage is certain.
"""

from pathlib import Path

import pytest

from streams.engine.marks import Mark
from tests.support.engine_plans import DispatcherFreeze, Kind, Plan, Step
from tests.support.engine_sabotage import Sabotage
from tests.support.engine_scenario import Scenario
from tests.support.sinks import KillPoint
from tests.support.stack import StackBroker

pytestmark = [pytest.mark.stack, pytest.mark.crash]


def kill(mark: Mark, *, loses_state: bool = False) -> Step:
    return Step(Kind.KILL, mark, "a", nth=3, loses_state=loses_state)


def freeze(mark: Mark) -> Step:
    return Step(Kind.FREEZE, mark, "a", nth=3, loses_state=False)


def verdict(
    broker: StackBroker,
    directory: Path,
    sabotage: Sabotage,
    steps: tuple[Step, ...],
    dispatch: DispatcherFreeze | None = None,
) -> tuple[int, str]:
    """Exit code and findings of the verifier after `steps`."""
    plan = Plan(0, steps, chunk_records=40, is_static=False, dispatch=dispatch)
    scenario = Scenario(broker, directory, plan, sabotage)
    with scenario.running():
        scenario.disturb()
        scenario.drain()
    found = scenario.verify()
    # Clients of a busy machine tell of themselves.
    said = [line for line in found.stderr.splitlines() if not line.startswith("%")]
    assert not said, found.stderr
    scenario.clean_up()
    return found.returncode, found.stdout


@pytest.mark.parametrize(
    ("sabotage", "steps", "damage"),
    [
        pytest.param(
            Sabotage.OFFSETS_FIRST,
            (kill(Mark.IN_TRANSACTION),),
            "lost",
            id="offsets ahead of the transaction",
        ),
        pytest.param(
            Sabotage.OFFSETS_LAST,
            (kill(Mark.BEFORE_COMMIT),),
            "doubled",
            id="offsets after the transaction",
        ),
        pytest.param(
            Sabotage.LOCAL_WRITE_FIRST,
            # Not a kill of the worker: what its local state holds in memory would be gone.
            (Step(Kind.BROKER_AT_MARK, Mark.BEFORE_COMMIT, "a", nth=3, loses_state=False),),
            "lost",
            id="local write before the commit",
        ),
        pytest.param(Sabotage.NO_FENCE, (), "doubled", id="no fence in the state"),
        pytest.param(
            Sabotage.NO_MEMBER,
            (freeze(Mark.BEFORE_TRANSACTION),),
            "doubled",
            id="no membership in what is committed",
        ),
        pytest.param(
            Sabotage.NO_TRANSACTION,
            (kill(Mark.IN_TRANSACTION),),
            "lost",
            id="no transaction",
        ),
        pytest.param(Sabotage.UNCOMMITTED_SOURCE, (), "doubled", id="sources read uncommitted"),
        pytest.param(
            Sabotage.UNCOMMITTED_STATE,
            (kill(Mark.BEFORE_COMMIT, loses_state=True),),
            "lost",
            id="state log read uncommitted",
        ),
        pytest.param(
            Sabotage.NO_CATCH_UP,
            (kill(Mark.AFTER_COMMIT),),
            "lost",
            id="no catch-up with the state log",
        ),
    ],
)
def test_damage_is_found_without(
    sabotage: Sabotage,
    steps: tuple[Step, ...],
    damage: str,
    own_broker: StackBroker,
    tmp_path: Path,
) -> None:
    code, found = verdict(own_broker, tmp_path, sabotage, steps)
    summary = found.partition("\n")[0]
    assert code == 1 and damage in summary, found


def test_lost_answers_alone_do_no_damage(own_broker: StackBroker, tmp_path: Path) -> None:
    """The other half of `no fence in the state`: the fault is harmless with it."""
    code, found = verdict(own_broker, tmp_path, Sabotage.ANSWER_LOST, ())
    assert code == 0, found


@pytest.mark.usefixtures("targets")
@pytest.mark.parametrize(
    ("sabotage", "damage"), [(Sabotage.NO_LEASE, "doubled"), (Sabotage.NOTHING, "exact")]
)
def test_a_dispatcher_that_was_frozen_before_its_call_does_damage_only_without_a_lease(
    sabotage: Sabotage, damage: str, own_broker: StackBroker, tmp_path: Path
) -> None:
    freeze = DispatcherFreeze(
        KillPoint.AFTER_INTENT, nth=2, first=0, last=0, about="netsuite:customer:one-"
    )
    steps = (kill(Mark.AFTER_COMMIT),)
    code, found = verdict(own_broker, tmp_path, sabotage, steps, freeze)
    summary = found.partition("\n")[0]
    assert code == (sabotage is Sabotage.NO_LEASE) and damage in summary, found
