"""The judge of `make prove-dispatch` sees what had no effect, and what had two."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.prove.dispatch import Chain, act_plainly, chains_of, judge, samples, subjects, twin_of

pytestmark = pytest.mark.stack

COMMANDS = 12
SEED = 1


def test_the_judge_sees_what_is_missing_and_what_is_doubled(tmp_path: Path) -> None:
    all_subjects = subjects()
    chains = chains_of(all_subjects, COMMANDS, SEED)
    with twin_of(tmp_path, all_subjects, 0.0, SEED) as (twin, configs):

        def carry_out(chosen: Sequence[Chain]) -> None:
            targets = {chain[0].record["target"] for chain in chosen}
            mine = {name: path for name, path in configs.items() if name in targets}
            asyncio.run(act_plainly(mine, {**os.environ, **twin.environment}, chosen))

        def judged() -> tuple[int, int]:
            verdicts = judge(twin, all_subjects, chains).values()
            assert sum(each.commands for each in verdicts) == COMMANDS
            return sum(each.duplicates for each in verdicts), sum(it.missing for it in verdicts)

        for each in samples(all_subjects):
            carry_out([each])
        assert judged() == (0, COMMANDS)
        carry_out(chains)
        assert judged() == (0, 0)
        made = next(chain[0] for chain in chains if chain[0].record["target"] == "float")
        twin.admin.create_many(
            "float", "projects", [{"project_code": made.identity, "name": "Twice"}]
        )
        assert judged() == (1, 0)
