"""What a group orders after it was computed anew is newer than all that its targets have settled.

A change that comes while no worker runs is read by the group that is computed anew, in whichever
order it reads its topics. The dispatcher leaves out what is older than what it has done.
"""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from tests.support.topology import Topology
from tests.unit.tables.test_engagement import (
    ENGAGEMENT,
    ERP_PROJECT,
    commands,
    erp_project,
    legal_entity,
    topology,
    win_a_deal,
)
from tests.unit.tables.test_time_entry import ERP, PROJECT, Firm, bill, entry

OF_TIME = ["psa.time_entry", "psa.time_bill", "psa.project", "psa.internal.project_context"]
OF_DEALS = [
    "psa.opportunity",
    "psa.opportunity_line",
    "psa.legal_entity",
    "psa.internal.customer_status",
    "psa.internal.project_link",
]


def last(found: list[dict[str, Any]], key: str) -> Any:
    """Return what the newest command asks for: of equal revisions the first one counts."""
    newest = max(found, key=lambda each: each["revision"])
    return json.loads(newest["payload"])[key]


@pytest.mark.parametrize("first", list(permutations(OF_TIME))[::5])
def test_hours_that_change_while_no_worker_runs_are_ordered_as_newer(
    first: tuple[str, ...],
) -> None:
    firm = Firm(PROJECT, ERP, entry(), bill("2.00"), entry(hours=Decimal("3.00")), bill("3.00"))
    firm.feeder.feed(entry(hours=Decimal("4.00")))
    firm.tables.rebuild("project", first)
    found = [row for _, row in firm.tables.records("psa.command.netsuite") if row is not None]
    assert last([row for row in found if ":time_bill:" in str(row["natural_key"])], "hours") == "4"


@pytest.mark.parametrize("first", list(permutations(OF_DEALS))[::17])
def test_a_deal_that_changes_while_no_worker_runs_is_ordered_as_newer(
    first: tuple[str, ...],
) -> None:
    work: Topology = topology()
    win_a_deal(work)
    work.run()
    work.put("psa.project", ERP_PROJECT, erp_project(), ERP_PROJECT)
    work.run()
    legal_entity(work, "VAT-2")
    work.run()
    work.put("psa.project", ERP_PROJECT, {**erp_project(), "tax_code": "VAT-2"}, ERP_PROJECT)
    work.run()
    line = {"id": "line-1", "engagement_id": ENGAGEMENT, "service_line": "advisory"}
    changed = {**line, "country_code": "DE", "amount": Decimal("950.0000")}
    work.put("psa.opportunity_line", "line-1", changed, ENGAGEMENT)
    work.rebuild("engagement", first)
    assert last(commands(work, "upsert_project"), "contract_value") == "950"
