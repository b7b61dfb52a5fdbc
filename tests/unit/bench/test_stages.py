"""The stages of the profile: each still has the function it times."""

import pytest

from bench.stages import STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_its_function(stage: str) -> None:
    owner, name = STAGES[stage]
    assert callable(getattr(owner, name, None))
