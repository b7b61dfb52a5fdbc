"""The judge of `make prove-dispatch` sees at every target what had no effect, and what had two."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.prove.dispatch_judge import Verdict, judge
from tests.prove.dispatch_plain import act_plainly, rehearse
from tests.prove.dispatch_plan import Chain, chains_of, rehearsal, samples, subjects
from tests.prove.dispatch_twin import give, names_of, twin_of

pytestmark = pytest.mark.stack

SHARE = 5
SEED = 1
DOUBLES: dict[str, tuple[str, Any]] = {
    "float": ("projects", lambda ours: {"project_code": ours, "name": "Twice"}),
    "kantata": (
        "external_references",
        lambda ours: {
            "service_name": "psastream",
            "service_model": "project",
            "service_model_ref": ours,
            "subject_type": "Workspace",
            "subject_id": 1,
        },
    ),
    "runn": (
        "projects",
        lambda ours: {
            "name": "Twice",
            "clientId": 1,
            "references": [{"referenceName": "psastream", "externalId": ours}],
        },
    ),
}
"""How a person makes a record of our id twice, where a target lets him."""


def test_the_judge_sees_what_is_missing_and_what_is_doubled(tmp_path: Path) -> None:
    all_subjects = subjects()
    names = names_of(all_subjects)
    ordered = chains_of(all_subjects, SHARE * len(all_subjects), SEED)
    with twin_of(tmp_path, all_subjects, 0.0, SEED) as (twin, configs):
        environment = {**os.environ, **twin.environment}

        def carry_out(chosen: Sequence[Chain]) -> None:
            targets = {chain[0].target for chain in chosen}
            mine = {name: path for name, path in configs.items() if name in targets}
            asyncio.run(act_plainly(mine, environment, chosen))

        def judged() -> dict[str, Verdict]:
            return judge(twin.admin.effects(), twin.admin.books(), names, forms, chains)

        chains = give(twin, all_subjects, ordered)
        for each in samples(all_subjects):
            carry_out([each])
        rehearsed = give(twin, all_subjects, rehearsal(all_subjects))
        forms = rehearse(twin, configs, environment, names, rehearsed)
        assert judged() == {name: Verdict(0, SHARE, SHARE) for name in names}
        carry_out(chains)
        assert judged() == {name: Verdict(0, 0, SHARE) for name in names}
        for target, (table, row_of) in DOUBLES.items():
            made = next(chain[0] for chain in chains if chain[0].target == target)
            vendor: Any = target
            twin.admin.create(vendor, table, row_of(made.identity))
            assert judged()[target] == Verdict(1, 0, SHARE)
