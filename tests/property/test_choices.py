"""A choice among several rows is made once, and everybody who needs it makes the same."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.toolkit.http import Response
from connectors.vendors.float.sink import FloatSink
from schemas.identity import customer_id, engagement_id, project_id
from streams.engine import GroupSpec
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
from tests.support.examples import examples
from tests.support.oracle import payload
from tests.support.sinks import make_command
from tests.support.topology import FixedRegistry, Topology

PLACE = "tables/engagement/view.py"
DEAL = "salesforce:opportunity:1"
CUSTOMER = customer_id("salesforce:account:1")
ENGAGEMENT = engagement_id(DEAL)
PROJECT = project_id(ENGAGEMENT, "DE")
brief = settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
vendor_ids = st.lists(st.integers(1, 1200), min_size=2, max_size=4, unique=True)


@cache
def product() -> tuple[FixedRegistry, list[GroupSpec]]:
    registry = FixedRegistry()
    wanted = ("customer", "engagement", "project")
    return registry, [
        group for group in make_groups([], registry, LANDSCAPE) if group.name in wanted
    ]


def won_deal(seed: int, *first_entities: int) -> Topology:
    """A won deal whose customer the ERP holds, ordered from one of the legal entities."""
    registry, groups = product()
    work = Topology(groups, registry, seed=seed)
    for number in first_entities:
        found(work, number)
    work.run()
    for row in ("salesforce:account:1", "netsuite:customer:9"):
        system = {"id": row, "source_system": row.partition(":")[0]}
        named = {"customer_id": CUSTOMER, "name": "Acme"}
        work.put("psa.customer", row, {**system, **named}, CUSTOMER)
    deal = {"id": DEAL, "engagement_id": ENGAGEMENT, "stage": "won", "currency": "EUR"}
    work.put("psa.opportunity", DEAL, {**deal, "customer_id": CUSTOMER, "name": "Grid"}, ENGAGEMENT)
    line = {"engagement_id": ENGAGEMENT, "country_code": "DE", "amount": Decimal("900.0000")}
    work.put("psa.opportunity_line", "line-1", {"id": "line-1", **line}, ENGAGEMENT)
    work.run()
    return work


def found(work: Topology, number: int) -> None:
    """Found a legal entity, or activate it."""
    row = {"id": f"netsuite:subsidiary:{number}", "native_id": str(number), "country_code": "DE"}
    work.put("psa.legal_entity", row["id"], {**row, "tax_code": "VAT", "is_active": True}, "")


def link(work: Topology, system: str, number: int, **fields: Any) -> None:
    """Show the project in a system."""
    row = {"id": f"{system}:project:{number}", "source_system": system, "project_id": PROJECT}
    content = {**row, "engagement_id": ENGAGEMENT, "name": "Grid (DE)", **fields}
    work.put("psa.project", row["id"], content, row["id"])


@pytest.mark.fault("C5", place=PLACE)
@brief
@given(vendor_ids, st.integers(1, 4), st.booleans(), st.data())
def test_c5_what_is_founded_later_moves_no_project(
    numbers: list[int], count: int, is_shown: bool, data: st.DataObject
) -> None:
    """Whichever are there at the order, before or after the ERP shows what it made of it."""
    first, later = numbers[:count], numbers[count:]
    work = won_deal(data.draw(st.integers(0, 99)), *first)
    chosen = str(min(first))
    after: list[int | None] = data.draw(st.permutations([*later, *first, None]))
    for number in after:
        if number is not None:
            found(work, number)
        elif is_shown:
            content = {"legal_entity_id": chosen, "currency": "EUR", "tax_code": "VAT"}
            value = {"customer_id": CUSTOMER, "contract_value": Decimal("900.000000")}
            link(work, "netsuite", 5, **content, **value)
        work.run()
    ordered = [
        payload(command)["legal_entity_id"]
        for _, command in work.records("psa.command.netsuite")
        if command is not None and command["kind"] == "upsert_project"
    ]
    assert ordered == [chosen]


class Planner:
    """Float's projects behind the requests of the sink: a list that shows all, and reads by id."""

    def __init__(self, numbers: list[int]) -> None:
        self.written: list[str] = []
        self._rows = [{"project_id": n, "project_code": PROJECT, "name": "old"} for n in numbers]

    async def request(self, method: str, path: str, **_: Any) -> Response:
        number = path.rpartition("/")[2]
        if not number.isdecimal():
            assert method == "GET", "there is one already"
            return Response(200, {}, self._rows)
        if method == "PATCH":
            self.written.append(number)
        body = next((row for row in self._rows if row["project_id"] == int(number)), None)
        return Response(200 if body else 404, {}, body or {"name": "Not Found"})


@pytest.mark.fault("C5", place=PLACE)
@brief
@given(vendor_ids, st.data())
def test_c5_table_and_dispatcher_keep_up_the_same_project(
    numbers: list[int], data: st.DataObject
) -> None:
    """Of several with one code, in any order of arrival, with and without an earlier result."""
    work = won_deal(data.draw(st.integers(0, 99)), 2)
    link(work, "netsuite", 5)
    earlier = data.draw(st.sampled_from([None, *numbers]))
    arrivals = data.draw(st.permutations([*numbers, None]))
    for number in arrivals:
        if number is not None:
            link(work, "float", number, name="old")
        elif earlier is not None:
            key = f"float:project:{PROJECT}"
            result = {"natural_key": key, "kind": "upsert_project", "status": "succeeded"}
            result |= {"target": "float", "revision": 1, "target_id": str(earlier)}
            work.put("psa.command_result", key, result, ENGAGEMENT)
        work.run()
    shown = work.table("psa.status.project")[PROJECT]["rm_ref"]
    orders = [record for _, record in work.records("psa.command.float") if record is not None]
    planner = Planner(numbers)
    sink = FloatSink(planner)  # type: ignore[arg-type]
    command = make_command(payload=json.dumps(payload(orders[-1])))
    applied = asyncio.run(sink.execute(command, None if earlier is None else str(earlier)))
    assert shown == f"float:project:{earlier or min(numbers)}"
    assert planner.written == [applied.target_id] == [str(shown).rpartition(":")[2]]
