"""A CRM ends up showing what has become of its deals, whatever happens on the way."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.landscape import Landscape
from schemas.topics import command_topic
from streams.engine import GroupSpec
from streams.groups import make_groups
from tests.property.test_command_contents import assert_contracts
from tests.support.catalogue import LANDSCAPE
from tests.support.examples import examples
from tests.support.histories import DEALS, Change, Feeder, changes
from tests.support.topology import FixedRegistry, Topology

CRM: Final = "salesforce"
DEAL: Final = "psa.opportunity"
SHOWN: Final = ("project_ids", "delivery_status")
STEPS_ENOUGH: Final = 200
FIRST: Final = (
    "needs_finance", "rejected", "waiting_legal_entity", "waiting_customer", "requested", "active",
    "withdrawn", "cancelled",
)  # fmt: skip
histories = st.lists(
    changes("customer", "opportunity", "opportunity_line", "legal_entity", "project"),
    min_size=10,
    max_size=50,
)
unhurried = settings(
    max_examples=examples(8),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@cache
def product() -> tuple[FixedRegistry, list[GroupSpec]]:
    """The groups of a firm whose CRM takes what becomes of its deals."""
    registry = FixedRegistry()
    registry.add_topic(command_topic(CRM))
    systems = dict(LANDSCAPE.systems)
    systems[CRM] = systems[CRM].model_copy(update={"takes_status": True})
    landscape = Landscape(systems=systems, firm=LANDSCAPE.firm)
    return registry, [each for each in make_groups([], registry, landscape) if each.agents]


@dataclass
class Crm:
    """Deals, which people change, and whose status is written by commands and shown late."""

    feeder: Feeder
    chances: random.Random
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: Counter[str] = field(default_factory=Counter)
    _read: Counter[int] = field(default_factory=Counter)
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    _unseen: list[str] = field(default_factory=list)

    def feed(self, change: Change) -> None:
        """Let somebody change a row; a deal keeps what was written to it until it is deleted."""
        if change.entity == "opportunity" and change.record is not None:
            change = Change("opportunity", change.id, {**change.record, **self._of(change.id)})
        elif change.entity == "opportunity" and change.repeat is None:
            self.shown.pop(change.id, None)
        self.feeder.feed(change)

    def step(self) -> bool:
        """Carry a command out, or capture what is written; return whether there was any."""
        self._fetch()
        if self._waiting and (not self._unseen or self.chances.random() < 0.5):
            self._carry_out(self._waiting.pop(0))
        elif self._unseen:
            self._capture(self._unseen.pop(0))
        else:
            return False
        return True

    def settle(self) -> None:
        """Work until nobody has anything to do. Fails beyond a number of steps: a loop."""
        for _ in range(STEPS_ENOUGH):
            self.feeder.topology.run()
            if not self.step():
                return
        raise AssertionError(f"commands and captures go on after {STEPS_ENOUGH} steps")

    def edit(self, deal: str) -> None:
        """Let somebody type over what was written."""
        self.shown[deal] = {**self._of(deal), "delivery_status": "typed"}
        self._capture(deal)

    def _of(self, deal: str) -> dict[str, Any]:
        return self.shown.get(deal, dict.fromkeys(SHOWN))

    def _fetch(self) -> None:
        topology = self.feeder.topology
        for partition, log in enumerate(topology.topics.get(f"psa.command.{CRM}", [])):
            for _, _, value in log[self._read[partition] :]:
                assert value is not None
                command = topology.decode(value)
                if command["kind"] == "withdraw":
                    key = command["natural_key"]
                    self._waiting = [it for it in self._waiting if it["natural_key"] != key]
                else:
                    self._waiting.append(dict(command))
            self._read[partition] = len(log)

    def _carry_out(self, command: dict[str, Any]) -> None:
        content = json.loads(command["payload"])
        deal = f"{CRM}:opportunity:{content['deal_id']}"
        self.written[deal] += 1
        if deal in self.feeder.rows.get(DEAL, {}):
            self.shown[deal] = {name: content[name] for name in SHOWN}
            self._unseen.append(deal)

    def _capture(self, deal: str) -> None:
        row = self.feeder.rows.get(DEAL, {}).get(deal)
        if row is not None:
            self.feeder.upsert(DEAL, deal, {**row, **self._of(deal)})


def wanted(feeder: Feeder) -> dict[str, dict[str, Any]]:
    """What each deal should show, by the status table alone; only those with a project."""
    found = {}
    for deal, row in feeder.rows.get(DEAL, {}).items():
        projects = {
            key: each["status"]
            for key, each in feeder.topology.table("psa.status.project").items()
            if each is not None and each["engagement_id"] == row["engagement_id"]
        }
        if projects:
            there = sorted(key for key, status in projects.items() if status != "cancelled")
            status = next(each for each in FIRST if each in projects.values())
            found[deal] = {"project_ids": ",".join(there) or None, "delivery_status": status}
    return found


@unhurried
@given(histories, st.integers(0, 2**16), st.sampled_from([1, 3, 200]))
def test_the_crm_ends_up_showing_what_has_become_of_its_deals(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    registry, groups = product()
    own = [command_topic(CRM)]
    crm = Crm(
        Feeder(Topology(groups, registry, seed=seed, chunk_max=chunk_max, own=own)),
        random.Random(seed),
    )
    for change in history:
        crm.feed(change)
        if crm.chances.random() < 0.5:
            crm.feeder.topology.run()
            crm.step()
    crm.settle()
    expected = wanted(crm.feeder)
    assert {deal: crm.shown.get(deal) for deal in expected} == expected
    before = crm.written.copy()
    for deal in DEALS:
        crm.edit(deal)
    crm.settle()
    assert {deal: crm.shown.get(deal) for deal in expected} == expected
    assert crm.written - before == Counter(list(expected)), "each is written once more"
    assert_contracts(crm.feeder.topology.commands())
