"""Whatever the history, its interleaving and its chunks: the tables say what an oracle says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.identity import engagement_of, time_bill_id
from streams.agents.open_exceptions import PREFIX
from tests.support.examples import examples
from tests.support.firms import TWO_ERPS, erps_of, open_feeder, oracle_of, product
from tests.support.histories import (
    ENTITIES,
    ENTRIES,
    FIRST_DAY,
    PROJECT_IDS,
    PSA_PROJECTS,
    VERSIONED,
    Change,
    Feeder,
    changes,
)
from tests.support.oracle import OUTPUTS, Table, comparable, payload, plain, worked
from tests.support.topology import Topology


def known_projects() -> list[Change]:
    """The projects of the PSA, each linked: then hours count as soon as they come in."""
    return [
        Change(
            "project",
            reference,
            {
                "source_system": "inhouse",
                "project_id": PROJECT_IDS[n],
                "engagement_id": engagement_of(PROJECT_IDS[n]),
                "status": "active",
            },
        )
        for n, reference in enumerate(PSA_PROJECTS)
    ]


# A history takes tens of milliseconds, so shrinking one would take minutes: add it when needed.
unhurried = settings(
    max_examples=examples(10),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
seeds = st.integers(0, 2**16)
chunk_sizes = st.sampled_from([1, 2, 3, 7, 200])
histories = st.one_of(
    st.lists(changes(), min_size=15, max_size=60),
    st.lists(changes(erps=TWO_ERPS), min_size=15, max_size=60),
)
hours_changes = st.one_of(
    changes("time_entry"),
    changes("time_entry"),
    changes("expense"),
    changes("time_bill", "invoice"),
    changes("project", "resource"),
    changes("resource", "absence"),
)
hours_histories = st.builds(
    lambda known, later: [*known, *later],
    st.sampled_from([known_projects(), []]),
    st.lists(hours_changes, min_size=20, max_size=60),
)
DEALS = ("customer", "opportunity", "opportunity_line", "legal_entity", "project")
deal_histories = st.one_of(
    st.lists(changes(*DEALS), min_size=15, max_size=60),
    st.lists(changes(*DEALS, erps=TWO_ERPS), min_size=15, max_size=60),
)
plan_histories = st.lists(
    changes("assignment", "assignment", "rate_card", "project", "resource", "absence"),
    min_size=10,
    max_size=40,
)
any_history = st.one_of(histories, hours_histories, hours_histories, deal_histories, plan_histories)


def play(
    history: Sequence[Change], seed: int, chunk_max: int, pause_every: int = 1_000
) -> tuple[Topology, Feeder]:
    """Feed a history and work it off, at the end and after every `pause_every` changes."""
    feeder = open_feeder(erps_of(history), seed=seed, chunk_max=chunk_max)
    topology = feeder.topology
    for count, change in enumerate(history, start=1):
        feeder.feed(change)
        if count % pause_every == 0:
            topology.run()
    topology.run()
    return topology, feeder


def published(topology: Topology) -> dict[str, Table]:
    return {topic: comparable(topology.table(topic)) for topic in OUTPUTS}


@unhurried
@given(any_history, seeds, chunk_sizes, st.sampled_from([1, 5, 1_000]))
def test_tables_equal_the_oracle(
    history: list[Change], seed: int, chunk_max: int, pause_every: int
) -> None:
    topology, feeder = play(history, seed, chunk_max, pause_every)
    assert published(topology) == oracle_of(feeder).tables()


@unhurried
@given(any_history, seeds, seeds, chunk_sizes, chunk_sizes)
def test_chunks_and_interleaving_do_not_show(
    history: list[Change], seed: int, other_seed: int, chunk_max: int, other_chunk_max: int
) -> None:
    topology, _ = play(history, seed, chunk_max)
    other, _ = play(history, other_seed, other_chunk_max)
    assert published(topology) == published(other)


@unhurried
@given(any_history, seeds, chunk_sizes, st.sampled_from(VERSIONED))
def test_i3_a_stale_replay_changes_nothing(
    history: list[Change], seed: int, chunk_max: int, entity: str
) -> None:
    """Every row that stands is delivered once more, and so are the versions before it."""
    topology, feeder = play(history, seed, chunk_max)
    before = {topic: topology.records(topic) for topic in (*OUTPUTS, "psa.command.netsuite")}
    delivered = stale = 0
    for row_id in feeder.rows.get(f"psa.{entity}", {}):
        for back in (3, 2, 1, 0):
            topic = topology.topics[f"psa.{entity}"]
            count = sum(map(len, topic))
            feeder.feed(Change(entity, row_id, repeat=back))
            delivered += sum(map(len, topic)) - count
    stale = topology.outcomes["stale"]
    topology.run()
    assert topology.outcomes["stale"] - stale == delivered
    assert {topic: topology.records(topic) for topic in before} == before


@unhurried
@given(any_history, seeds, chunk_sizes, st.sampled_from(ENTITIES))
def test_a_whole_topic_again_ends_in_the_same_tables(
    history: list[Change], seed: int, chunk_max: int, entity: str
) -> None:
    topology, feeder = play(history, seed, chunk_max)
    topology.replay(f"psa.{entity}")
    topology.run()
    assert published(topology) == oracle_of(feeder).tables()


@unhurried
@given(histories, seeds, chunk_sizes)
def test_i5_every_record_is_accounted_for_once(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    topology, _ = play(history, seed, chunk_max)
    delivered = sum(
        len(log)
        for name, partitions in topology.topics.items()
        if any(agent.topic == name for group in product()[1] for agent in group.agents)
        for log in partitions
    )
    assert sum(topology.outcomes.values()) == topology.consumed == delivered
    assert topology.outcomes["dead_lettered"] == 0


@unhurried
@given(any_history, seeds, chunk_sizes)
def test_i7_money_is_exact_and_has_a_currency(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    topology, _ = play(history, seed, chunk_max)
    for topic in OUTPUTS:
        for row in topology.table(topic).values():
            assert not any(isinstance(value, float) for value in row.values())
    for row in topology.table("psa.metric.project_margin").values():
        assert row["currency"]
        if row["revenue"] is None:
            assert row["revenue_reason"] and row["margin"] is row["margin_ratio"] is None
        else:
            assert decimal(row["margin"]) == decimal(row["revenue"]) - decimal(row["cost"])
    for row in topology.table("psa.status.billing").values():
        assert row["currency"]


@unhurried
@given(hours_histories, seeds, chunk_sizes)
def test_i10_same_input_same_output(history: list[Change], seed: int, chunk_max: int) -> None:
    first, _ = play(history, seed, chunk_max)
    second, _ = play(history, seed, chunk_max)
    assert first.topics == second.topics


@unhurried
@given(hours_histories, seeds, chunk_sizes)
def test_i11_billing_states_add_up_to_the_approved_hours(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    topology, feeder = play(history, seed, chunk_max)
    approved: Counter[str] = Counter()
    for entry in oracle_of(feeder).counted():
        approved[entry["project_ref"]] += int(worked(entry) * 3600)
    billed: Counter[str] = Counter()
    for row in topology.table("psa.status.billing").values():
        billed[str(row["project_ref"])] += whole(row["seconds"])
    assert billed == approved


@unhurried
@given(any_history, seeds, chunk_sizes, st.sampled_from([1, 5, 1_000]))
def test_i12_the_last_order_is_what_the_target_should_hold(
    history: list[Change], seed: int, chunk_max: int, pause_every: int
) -> None:
    """Unless the target holds it already: then there need not be an order at all."""
    topology, feeder = play(history, seed, chunk_max, pause_every)
    last = {str(command["natural_key"]): command for command in topology.commands()}
    oracle = oracle_of(feeder)
    observed = oracle.observed()
    for key, content in oracle.desired().items():
        if observed.get(key) != content:
            assert key in last, f"{key} was never ordered"
            ordered = payload(last[key])
            assert {name: ordered.get(name) for name in content} == plain(content)


def whole(value: Any) -> int:
    assert isinstance(value, int)
    return value


def decimal(value: Any) -> Decimal:
    assert isinstance(value, Decimal)
    return value


ENTRY = {
    "project_ref": PSA_PROJECTS[0],
    "resource_id": "res-a",
    "work_on": FIRST_DAY,
    "hours": Decimal("8.00"),
    "bill_rate": Decimal("100.0000"),
    "cost_rate": Decimal("40.0000"),
    "currency": "EUR",
    "status": "approved",
    "is_billable": True,
}
BILL = {
    "time_bill_id": time_bill_id(ENTRIES[0], PSA_PROJECTS[0]),
    "time_entry_id": ENTRIES[0],
    "project_ref": PSA_PROJECTS[0],
    "project_id": PROJECT_IDS[0],
    "work_on": FIRST_DAY,
    "hours": ENTRY["hours"],
    "bill_rate": ENTRY["bill_rate"],
    "currency": "EUR",
}
LINE = {
    "number": "900",
    "kind": "invoice",
    "status": "open",
    "project_ref": PSA_PROJECTS[0],
    "time_entry_id": ENTRIES[0],
    "hours": Decimal("8.00"),
    "amount": Decimal(800),
    "currency": "EUR",
}
CREDIT = {**LINE, "kind": "credit_memo", "hours": Decimal("-8.00"), "amount": Decimal(-800)}


def test_an_hour_that_leaves_a_project_takes_no_bill_along() -> None:
    """Both projects lie on one partition; what was billed on the former is not billed here."""
    history = [
        *known_projects(),
        Change("time_entry", ENTRIES[0], ENTRY),
        Change("time_bill", "netsuite:time_bill:0", BILL),
    ]
    topology, _ = play(history, 1, 1)
    assert billing_states(topology) == {f"{PSA_PROJECTS[0]}|EUR|transferred"}
    moved = Change("time_entry", ENTRIES[0], {**ENTRY, "project_ref": PSA_PROJECTS[2]})
    topology, _ = play([*history, moved], 1, 1)
    assert billing_states(topology) == {f"{PSA_PROJECTS[2]}|EUR|blocked"}


def in_erp() -> list[Change]:
    """The projects of the ERP behind those of the PSA: hours can be billed at once."""
    return [
        Change(
            "project",
            f"netsuite:project:{n}",
            {
                "source_system": "netsuite",
                "project_id": PROJECT_IDS[n],
                "engagement_id": engagement_of(PROJECT_IDS[n]),
            },
        )
        for n in range(len(PSA_PROJECTS))
    ]


def billed_and_invoiced() -> list[Change]:
    return [
        *known_projects(),
        *in_erp(),
        Change("time_entry", ENTRIES[0], ENTRY),
        Change("time_bill", "netsuite:time_bill:0", BILL),
        Change("invoice", "netsuite:invoice:0", LINE),
    ]


def time_bill_commands(topology: Topology) -> list[tuple[str, str]]:
    """Kind and source project of every command on a time bill, in no particular order."""
    return sorted(
        (str(command["kind"]), str(payload(command)["project_ref"]))
        for _, command in topology.records("psa.command.netsuite")
        if command is not None and str(command["kind"]).endswith("time_bill")
    )


def open_exceptions(topology: Topology) -> dict[str, Any]:
    return {
        key: (row["error_code"], row["amount"], row["currency"])
        for key, row in topology.table("psa.exception").items()
        if row["status"] == "open"
    }


@pytest.mark.fault("A3", place="tables/project/billing.py")
@pytest.mark.parametrize("other", range(1, 4))
@pytest.mark.parametrize("chunk_max", [1, 200])
def test_a3_eight_invoiced_hours_move_to_another_client(other: int, chunk_max: int) -> None:
    """Wherever the other project lies: on the same partition or on another one."""
    history = billed_and_invoiced()
    first, _ = play(history, 1, chunk_max, 1)
    ordered = time_bill_commands(first)
    moved = Change("time_entry", ENTRIES[0], {**ENTRY, "project_ref": PSA_PROJECTS[other]})
    topology, _ = play([*history, moved], 1, chunk_max, 1)
    assert time_bill_commands(topology) == ordered
    table = topology.table("psa.status.billing")
    assert {key: (row["seconds"], row["amount"]) for key, row in table.items()} == {
        f"{PSA_PROJECTS[0]}|EUR|invoiced": (28_800, 800),
        f"{PSA_PROJECTS[0]}|EUR|unmatched": (-28_800, -800),
        f"{PSA_PROJECTS[other]}|EUR|blocked": (28_800, 800),
    }
    identity = f"billing:{ENTRIES[0]}|{PSA_PROJECTS[0]}"
    assert open_exceptions(topology)[identity] == ("billing.entry_gone", 800, "EUR")

    credit = Change("invoice", "netsuite:invoice:1", CREDIT)
    topology, _ = play([*history, moved, credit], 1, chunk_max, 1)
    assert identity not in open_exceptions(topology)
    assert time_bill_commands(topology) == sorted(
        [*ordered, ("upsert_time_bill", PSA_PROJECTS[other])]
    )


@pytest.mark.fault("C7", place="tables/project/billing.py")
@pytest.mark.parametrize("other", range(1, 4))
def test_c7_what_a_credit_leaves_of_a_bill_is_billed_nowhere_else(other: int) -> None:
    """5 of 8 h are invoiced and credited: 3 h are left where the entry was, on any partition."""
    *before, invoice = billed_and_invoiced()
    part = {"hours": Decimal("5.00"), "amount": Decimal(500)}
    moved = {**ENTRY, "project_ref": PSA_PROJECTS[other]}
    history = [
        *before,
        Change("invoice", invoice.id, {**LINE, **part}),
        Change(
            "invoice",
            "netsuite:invoice:1",
            {**CREDIT, **{name: -value for name, value in part.items()}},
        ),
    ]
    first, _ = play(history, 1, 1, 1)
    ordered = time_bill_commands(first)
    history.append(Change("time_entry", ENTRIES[0], moved))
    topology, _ = play(history, 1, 1, 1)
    assert time_bill_commands(topology) == ordered
    assert f"{PSA_PROJECTS[other]}|EUR|blocked" in billing_states(topology)
    identity = f"billing:{ENTRIES[0]}|{PSA_PROJECTS[0]}"
    assert open_exceptions(topology)[identity] == ("billing.left_over", 300, "EUR")

    closed = Change("time_bill", "netsuite:time_bill:0", {**BILL, "is_billable": False})
    topology, _ = play([*history, closed], 1, 1, 1)
    assert identity not in open_exceptions(topology)
    assert time_bill_commands(topology) == sorted(
        [*ordered, ("upsert_time_bill", PSA_PROJECTS[other])]
    )


@pytest.mark.fault("C7", place="tables/project/billing_difference.py")
@pytest.mark.parametrize("chunk_max", [1, 200])
@pytest.mark.parametrize("is_there", [True, False])
def test_c7_a_line_that_names_no_project_is_told_once_until_it_does(
    chunk_max: int, is_there: bool
) -> None:
    """Whether the entry is there or not: one partition of all tells it."""
    *before, line = billed_and_invoiced()
    unnamed = Change("invoice", line.id, {**LINE, "project_ref": None})
    gone = [] if is_there else [Change("time_entry", ENTRIES[0])]
    topology, _ = play([*before, unnamed, *gone], 1, chunk_max, 1)
    identity = f"billing:{ENTRIES[0]}"
    told = {key: row for key, row in open_exceptions(topology).items() if "billing:" in key}
    assert told == {identity: ("billing.no_project", 800, "EUR")}
    assert len([key for key, _ in topology.records("psa.exception") if key == identity]) == 1
    seconds = [whole(row["seconds"]) for row in topology.table("psa.status.billing").values()]
    assert sum(seconds) == (28_800 if is_there else 0)
    topology, _ = play([*before, unnamed, line], 1, chunk_max, 1)
    assert not [key for key in open_exceptions(topology) if "billing:" in key]


@unhurried
@pytest.mark.fault("A3", place="tables/project/billing.py")
@given(
    st.lists(hours_changes, min_size=20, max_size=50),
    st.lists(changes("time_entry", "project"), min_size=1, max_size=8),
    seeds,
    chunk_sizes,
)
def test_a3_no_change_of_an_invoiced_entry_orders_anything(
    history: list[Change], later: list[Change], seed: int, chunk_max: int
) -> None:
    topology, feeder = play([*known_projects(), *in_erp(), *history], seed, chunk_max)
    oracle = oracle_of(feeder)
    locked = {entry for entry in ENTRIES if oracle.locked_on(entry)}
    count = len(topology.records("psa.command.netsuite"))
    for change in later:
        feeder.feed(change)
        topology.run()
    for _, command in topology.records("psa.command.netsuite")[count:]:
        if command is not None and str(command["kind"]).endswith("time_bill"):
            assert payload(command)["time_entry_id"] not in locked


@unhurried
@pytest.mark.fault("C7", place="tables/project/billing.py")
@given(hours_histories, seeds, chunk_sizes)
def test_c7_what_is_invoiced_is_the_sum_of_the_invoice_lines(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    topology, feeder = play(history, seed, chunk_max)
    lines: Counter[tuple[str, str]] = Counter()
    for line in feeder.rows.get("psa.invoice", {}).values():
        is_named = line["time_entry_id"] and line["project_ref"]
        if is_named and line["status"] in ("open", "paid"):
            lines[line["project_ref"], line["currency"]] += line["amount"]
    shown: Counter[tuple[str, str]] = Counter()
    for row in topology.table("psa.status.billing").values():
        if row["state"] in ("invoiced", "credited"):
            shown[str(row["project_ref"]), str(row["currency"])] += decimal(row["amount"])
    assert shown == lines


@unhurried
@pytest.mark.fault("A3", place="tables/project/billing_difference.py")
@given(hours_histories, seeds, chunk_sizes)
def test_a3_exceptions_are_open_exactly_where_the_oracle_sees_a_difference(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    topology, feeder = play(history, seed, chunk_max)
    found = {
        key: code
        for key, (code, _, _) in open_exceptions(topology).items()
        # Which bill a line may have used depends on when it came, which the rows do not show.
        if key.startswith("billing:")
        and code != "billing.unclear_bill"
        and "negative" not in code  # told once there is time on the project
    }
    oracle = oracle_of(feeder)
    over_caps = {key: code for key, (code, _, _) in oracle.over_caps().items()}
    assert found == oracle.billing_differences() | over_caps
    # What the gauge of open exceptions counts is what the topic says.
    assert topology.kept(PREFIX) == {
        key.encode(): f"{row['system']}|{row['error_code']}".encode()
        for key, row in topology.table("psa.exception").items()
        if row["status"] == "open"
    }


@unhurried
@pytest.mark.fault("C13", place="tables/project/shared_address.py")
@given(
    st.lists(
        st.one_of(changes("resource"), changes("resource"), changes("time_entry")), max_size=40
    ),
    seeds,
    chunk_sizes,
)
def test_c13_two_people_at_one_address_are_told_exactly_while_they_are_two(
    history: list[Change], seed: int, chunk_max: int
) -> None:
    topology, feeder = play(history, seed, chunk_max)
    found = {key for key in open_exceptions(topology) if key.startswith("person:")}
    expected = oracle_of(feeder).shared_addresses()
    assert found == {f"person:{address}" for address in expected}
    one_by_one, _ = play(history, seed, 1)
    assert shared_address_texts(topology) == shared_address_texts(one_by_one)


def shared_address_texts(topology: Topology) -> dict[str, object]:
    table = topology.table("psa.exception")
    told = {key: row for key, row in table.items() if key.startswith("person:")}
    return {key: row["detail"] for key, row in told.items() if row["status"] == "open"}


def billing_states(topology: Topology) -> set[str]:
    return set(topology.table("psa.status.billing"))


@unhurried
@pytest.mark.fault("C24", place="tables/engagement/status.py")
@given(deal_histories, seeds, chunk_sizes, st.sampled_from([1, 5, 1_000]))
def test_c24_a_project_that_was_asked_for_never_disappears(
    history: list[Change], seed: int, chunk_max: int, pause_every: int
) -> None:
    """And what the ERP holds of it without a deal is an exception, with its money."""
    topology, feeder = play(history, seed, chunk_max, pause_every)
    asked = {
        key
        for key, row in topology.records("psa.status.project")
        if row is not None and row["status"] not in ("withdrawn", "needs_finance")
    }
    assert asked <= topology.table("psa.status.project").keys()
    waits = {
        key: (amount, currency)
        for key, (_, amount, currency) in open_exceptions(topology).items()
        if key.startswith("engagement:")
    }
    assert waits == oracle_of(feeder).unsettled_projects()
    without = {key for key in open_exceptions(topology) if key.startswith("biller:")}
    assert without == (oracle_of(feeder).without_erp() if len(feeder.erps) > 1 else set())
