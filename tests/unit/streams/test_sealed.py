"""Agents that encrypt: the same results, nothing in the clear, and what is forgotten stays so."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from runtime.master_keys import new_line
from schemas.codec.framing import SEALED, frame
from schemas.errors import FatalError
from streams.engine import GroupSpec
from streams.groups import make_groups
from tests.property.test_tables_convergence import hourly_deals, won_deals
from tests.support.catalogue import LANDSCAPE
from tests.support.firms import ONE_ERP
from tests.support.histories import (
    ADDRESSES,
    FIRST_DAY,
    PEOPLE,
    PSA_PROJECTS,
    RESOURCES,
    Change,
    Feeder,
)
from tests.support.sealed import Firm, SealedTopology
from tests.support.topology import FixedRegistry, Topology

NAME, NOTE, RATE = "Quixote of La Mancha", "windmills again", Decimal("471108151.2345")
MARGIN = "psa.metric.project_margin"
PLANTED = (
    NAME.encode(),
    NOTE.encode(),
    str(RATE).encode(),
    int(RATE.scaleb(4)).to_bytes(6),  # as Avro writes it
)
BEING = (PEOPLE[0], RESOURCES[0], ADDRESSES[0])


def history() -> list[Change]:
    """Deals that are won, and somebody who works on them."""
    resource = {
        "resource_id": RESOURCES[0], "address_id": ADDRESSES[0], "name": NAME, "kind": "employee",
        "is_active": True, "starts_on": FIRST_DAY,
    }  # fmt: skip
    entry = {
        "project_ref": PSA_PROJECTS[0], "resource_id": ADDRESSES[0], "work_on": FIRST_DAY,
        "status": "approved", "is_billable": True, "currency": "EUR", "seconds": 3600,
        "bill_rate": Decimal(120), "cost_rate": RATE, "notes": NOTE,
    }  # fmt: skip
    card = {"resource_id": RESOURCES[0], "cost_rate": RATE, "currency": "EUR"}
    return [
        *won_deals(ONE_ERP),
        *hourly_deals(),
        Change("resource", PEOPLE[0], resource),
        Change("rate_card", PEOPLE[0], card),
        Change("time_entry", "inhouse:time_entry:0", entry),
    ]


def groups(registry: FixedRegistry) -> list[GroupSpec]:
    return make_groups([], registry, LANDSCAPE)


def played(topology: Topology, changes: list[Change]) -> None:
    feeder = Feeder(topology)
    for change in changes:
        feeder.feed(change)
    topology.run()


@pytest.fixture(scope="module")
def plain() -> Topology:
    registry = FixedRegistry()
    topology = Topology(groups(registry), registry)
    played(topology, history())
    return topology


def sealed_story() -> tuple[Firm, SealedTopology]:
    firm = Firm()
    topology = SealedTopology(groups(firm.registry), firm)
    played(topology, history())
    return firm, topology


@pytest.fixture(scope="module")
def sealed() -> SealedTopology:
    return sealed_story()[1]


def held(topology: Topology) -> Iterator[tuple[str, bytes]]:
    """All that lies on a disk, by where: values of topics, and of state."""
    for name, logs in topology.topics.items():
        yield from ((name, value) for log in logs for _, _, value in log if value is not None)
    for (group, _), rows in topology.states().items():
        yield from ((f"state of {group}", value) for value in rows.values())


def sums(topology: Topology) -> list[dict[str, Any]]:
    """Margins, but for when they were computed."""
    return [{**row, "as_of": None, "version": None} for row in topology.table(MARGIN).values()]


def without_keys(topology: Topology, topic: str) -> list[dict[str, Any]]:
    """The records of a topic, as others decode them."""
    logs = topology.topics[topic]
    values = [value for log in logs for _, _, value in log if value is not None]
    return [Topology.decode(topology, value) for value in values]


def records(topology: Topology) -> dict[str, Any]:
    return {name: topology.records(name) for name in topology.topics}


def test_what_is_published_is_the_same(plain: Topology, sealed: SealedTopology) -> None:
    assert plain.table(MARGIN)
    assert records(sealed) == records(plain)
    assert sealed.outcomes == plain.outcomes


def test_names_and_pay_are_in_no_topic_and_no_state(
    plain: Topology, sealed: SealedTopology
) -> None:
    found = {(where, it) for where, value in held(plain) for it in PLANTED if it in value}
    assert {it for _, it in found} == set(PLANTED)
    assert {"psa.resource", "psa.rate_card", "psa.time_entry", "state of project"} <= {
        where for where, _ in found
    }
    in_clear = {name: value for name, value in held(sealed) if any(it in value for it in PLANTED)}
    assert in_clear == {}


def test_what_has_no_names_and_no_pay_is_read_without_keys(sealed: SealedTopology) -> None:
    [row] = without_keys(sealed, "psa.time_entry")
    assert row["seconds"] == 3600 and row["notes"] is None and row["cost_rate"] is None
    assert without_keys(sealed, MARGIN) == [row for _, row in sealed.records(MARGIN)]


def test_new_keys_in_the_middle_change_nothing(plain: Topology) -> None:
    firm = Firm()
    topology = SealedTopology(groups(firm.registry), firm)
    changes = history()
    feeder = Feeder(topology)
    for change in changes[:-2]:
        feeder.feed(change)
    topology.run()
    firm.master += "\n" + new_line("2")
    operator = firm.keys()
    assert operator.rotate() > 0
    assert operator.rewrap() > 0
    firm.master = firm.master.splitlines()[-1]  # the first master key is gone
    firm.now_s += 60.0
    for change in changes[-2:]:
        feeder.feed(change)
    topology.run()
    assert sums(topology) == sums(plain)
    ids = {value[8:16] for _, value in held(topology) if value.startswith(SEALED)}
    assert len(ids) > 1
    masters = {each for found in firm.keys().subjects().values() for each in found}
    assert masters == {"2"}
    later = firm.sealing()  # a process that starts knows the second one only
    assert all(None not in later.open_values([value]) for _, value in held(topology))


def test_who_is_forgotten_is_named_nowhere_and_sums_stay(plain: Topology) -> None:
    firm, topology = sealed_story()
    dead = topology.outcomes["dead_lettered"]
    assert firm.keys().forget(BEING) == 2
    firm.now_s += 60.0
    assert topology.table("psa.resource")[PEOPLE[0]]["name"] is None
    (entry,) = topology.table("psa.time_entry").values()
    assert entry["notes"] is None and entry["cost_rate"] == RATE
    topology.rebuild("project")
    assert sums(topology) == sums(plain)
    assert topology.outcomes["dead_lettered"] == dead
    opened = firm.sealing().open_values([value for _, value in held(topology)])
    assert not [value for value in opened if value and (NAME.encode() in value)]


def test_who_is_forgotten_stays_so_though_a_source_tells_of_them_again() -> None:
    firm, topology = sealed_story()
    firm.keys().forget(BEING)
    firm.now_s += 60.0
    played(topology, history())
    assert topology.table("psa.resource")[PEOPLE[0]]["name"] is None
    assert firm.keys().forgotten() == set(BEING)
    assert NAME.encode() not in b"".join(
        value or b"" for value in firm.sealing().open_values([it for _, it in held(topology)])
    )


def test_state_whose_key_is_lost_is_not_taken_for_none() -> None:
    firm, topology = sealed_story()
    whole = [name for name, _ in firm.records if name.startswith("firm|")]
    firm.records += [(name, None) for name in whole]
    firm.now_s += 60.0
    with pytest.raises(FatalError, match="the key of the state"):
        played(topology, history())


def test_a_dead_letter_holds_its_record_as_it_stood(sealed: SealedTopology) -> None:
    firm = Firm()
    topology = SealedTopology(groups(firm.registry), firm)
    broken = frame(firm.registry.subject_id("psa.resource-value"), b"\x00\xff" + NAME.encode())
    [stood] = topology.sealing.seal(["float:person:0"], [broken])
    assert stood is not None
    topology.append("psa.resource", 0, None, stood)
    topology.run()
    letters = [letter for _, letter in topology.records("psa.dlq") if letter is not None]
    assert letters and {letter["value"] for letter in letters} == {stood}
    assert not [value for _, value in held(topology) if NAME.encode() in value]
    assert {letter["value"] for letter in without_keys(topology, "psa.dlq")} == {None}
