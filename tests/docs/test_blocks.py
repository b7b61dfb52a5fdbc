"""Blocks that need nothing but time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.blocks import Block, Shell, needing


@pytest.mark.parametrize("block", needing("minutes"), ids=str)
def test_a_block_that_takes_its_time_runs(block: Block, folder: Path) -> None:
    shell = Shell(folder)
    for command in block.commands:
        shell.run(command)
