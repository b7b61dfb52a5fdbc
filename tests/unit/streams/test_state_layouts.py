"""State of another shape has another layout: else a worker reads what an earlier one wrote."""

import pytest

from tests.support.state_layouts import MODULES, shapes, shaping_modules, stored_shapes

SHAPES, STORED = shapes(), stored_shapes()
HOW = (
    "raise its layout in streams/groups.py, unless earlier state reads as it is; "
    "then: python -m tests.support.state_layouts"
)


@pytest.mark.parametrize("group", SHAPES)
def test_a_group_whose_state_has_another_shape_has_another_layout(group: str) -> None:
    assert SHAPES[group] == STORED[group], f"the state of {group} has another shape: {HOW}"


def test_every_module_that_says_how_state_is_written_belongs_to_a_group() -> None:
    assert shaping_modules() <= {name for names in MODULES.values() for name in names}
