"""What a person is told to do about a refusal."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import Problem
from connectors.dispatch.exceptions import exception_id
from connectors.dispatch.journal import KafkaJournal
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.refusals import Refusal
from connectors.dispatch.remedies import Remedies, remedy
from connectors.systems import Systems
from connectors.toolkit.faults import Reason
from tests.support.sinks import make_command

REMEDIES: Remedies = {("LOCKED", "day"): "open the day", ("LOCKED", None): "unlock it"}


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Problem("LOCKED", "x", "day"), "open the day"),
        (Problem("LOCKED", "x", "month"), "unlock it"),
        (Problem("LOCKED", "x"), "unlock it"),
        (Problem("GONE", "x", "day", Reason.LEFTOVER), "tidy up what the detail names"),
    ],
)
def test_the_field_is_asked_before_the_code_and_the_code_before_the_reason(
    problem: Problem, said: str
) -> None:
    told = remedy(problem, REMEDIES)
    assert told.startswith(f"{said};")
    assert told.endswith("psastream exceptions retry")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_remedy(reason: Reason) -> None:
    assert len(remedy(Problem("ANY", "x", reason=reason), {})) > len("; tried again by itself")


class Published:
    """Takes what is published."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    async def publish(self, _topic: str, _key: str, record: dict[str, Any]) -> None:
        self.records.append(record)


@pytest.mark.asyncio
async def test_an_exception_says_what_the_vendor_of_its_target_says() -> None:
    published: Any = Published()
    journal = KafkaJournal(
        published,
        {},
        DispatchMetrics(CollectorRegistry()),
        remedies={"netsuite": REMEDIES, "other": {("LOCKED", None): "ask another"}},
    )
    for target in ("netsuite", "unheard_of"):
        command = make_command(f"{target}:project:p", target=target)
        problem = Problem("LOCKED", "x")
        await journal.tell(Refusal(exception_id(command), command, problem, 1, 1, 0.0, 0.0, 0.0))
    hints = [record["hint"].partition(";")[0] for record in published.records]
    assert hints == [
        "unlock it",
        "correct the cause at the source, or change the rule in the target",
    ]


def test_remedies_are_of_vendors_that_take_commands() -> None:
    systems = Systems()
    said = {name: systems.vendor(name).remedies for name in systems.names()}
    assert {name for name, remedies in said.items() if remedies} >= {"float", "netsuite"}
    assert "tax code" in said["netsuite"]["USER_ERROR", "custentity_psa_tax_code"]
    assert "archive" in said["float"]["DUPLICATE_PROJECT_CODE", None]
