"""A merge of CRM accounts, from the rows Salesforce shows of it to the tables.

Losers are deleted and name the survivor, their deals get the survivor's `AccountId`
(connectors/vendors/salesforce/README.md). Nothing says in which order the rows are captured.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations
from typing import Any, Final

import pytest

from schemas.codec.columnar import frame_dtypes
from schemas.identity import customer_id, engagement_id, project_id
from streams.agents.normalize import make_normalizer
from streams.engine import GroupSpec
from streams.groups import make_groups
from tests.support.catalogue import BY_NAME, LANDSCAPE, contract_of
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Source,
    chunk_of,
    mapping_of,
    published,
)
from tests.support.topology import FixedRegistry, Topology

STAMP: Final = "2026-03-04T05:06:07.000+0000"
SURVIVOR: Final = "001Tw00000aB3cDIAS"
LOSERS: Final = ("001Tw00000aB3cEIAS", "001Tw00000aB3cFIAS")
DEAL: Final = "006Tw00000Qr7sTIAR"
LINE: Final = "00kTw00000Lm2nPIAR"
KEPT: Final = customer_id(f"salesforce:account:{SURVIVOR}")
ENGAGEMENT: Final = engagement_id(f"salesforce:opportunity:{DEAL}")


@cache
def product() -> tuple[FixedRegistry, list[GroupSpec]]:
    registry = FixedRegistry()
    wanted = ("customer", "engagement")
    return registry, [
        group for group in make_groups([], registry, LANDSCAPE) if group.name in wanted
    ]


class Crm:
    """Salesforce's rows through the shipped mapping into the tables."""

    def __init__(self) -> None:
        registry, groups = product()
        self.tables = Topology(groups, registry)
        self._registry = FakeRegistry()
        self._sources: dict[str, Source] = {}
        self._states: dict[str, MemoryState] = {}
        self._position = 0

    def show(self, obj: str, **row: Any) -> None:
        """Capture a row as it is now."""
        topic = f"src.salesforce.{obj}"
        source = self._sources.setdefault(topic, Source(topic, self._registry))
        state = self._states.setdefault(topic, MemoryState())
        self._position += 1
        empty = dict.fromkeys(frame_dtypes(contract_of("salesforce", obj)))
        content = {**empty, "SystemModstamp": STAMP, "IsDeleted": False, **row}
        change = source.change(self._position, content)
        chunk = chunk_of(topic, [change], start=self._position)
        effects = make_normalizer(mapping_of(topic), self._registry)(chunk, state)
        state.commit(effects)
        for record in published(effects):
            route = record.key.partition("|")[0]
            row_id = BY_NAME[record.topic].row_id(record.key)
            self.tables.put(record.topic, row_id, record.value, route)
        self.tables.run()

    def account(self, number: str, name: str, master: str | None = None) -> None:
        """Show an account; with a master it was merged into it."""
        merged = {"IsDeleted": master is not None, "MasterRecordId": master}
        self.show("account", Id=number, Name=name, BillingCountryCode="DE", **merged)

    def deal(self, account: str) -> None:
        """Show the deal, won, of an account."""
        row = {"AccountId": account, "Name": "Grid", "StageName": "Closed Won"}
        self.show("opportunity", Id=DEAL, **row)


@pytest.mark.fault("C23", place="tables/customer/view.py")
@pytest.mark.parametrize("order", [list(each) for each in permutations(range(4))])
def test_c23_after_a_merge_the_survivor_is_the_customer_of_all_deals(
    order: tuple[int, ...],
) -> None:
    crm = Crm()
    crm.account(SURVIVOR, "Birch")
    for number, loser in enumerate(LOSERS):
        crm.account(loser, f"Birch (old {number})")
    crm.deal(LOSERS[0])
    crm.show("opportunity_line_item", Id=LINE, OpportunityId=DEAL, Delivery_Country__c="DE")
    steps = [
        lambda: crm.account(SURVIVOR, "Birch Ltd"),
        lambda: crm.account(LOSERS[0], "Birch (old 0)", SURVIVOR),
        lambda: crm.account(LOSERS[1], "Birch (old 1)", SURVIVOR),
        lambda: crm.deal(SURVIVOR),
    ]
    for step in order:
        steps[step]()
    shown = crm.tables.table("psa.status.customer")
    assert shown.keys() == {KEPT}
    row = shown[KEPT]
    assert (row["name"], row["crm_id"]) == ("Birch Ltd", f"salesforce:account:{SURVIVOR}")
    assert row["engagements"] == 1
    project = crm.tables.table("psa.status.project")[project_id(ENGAGEMENT, "DE")]
    assert project["customer_id"] == KEPT
    orders = [record for _, record in crm.tables.records("psa.command.netsuite") if record]
    assert {order["natural_key"] for order in orders} >= {f"netsuite:customer:{KEPT}"}
