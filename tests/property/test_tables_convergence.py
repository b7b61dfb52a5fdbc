"""Commands make the targets hold what they should, whatever happens on the way."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.firms import TWO_ERPS, erps_of, open_feeder, oracle_of
from tests.support.histories import (
    ACCOUNTS,
    COUNTRIES,
    CUSTOMERS,
    DEALS,
    ENGAGEMENTS,
    ENTRIES,
    FIRST_DAY,
    PROJECT_IDS,
    PSA_PROJECTS,
    Change,
    changes,
)
from tests.support.oracle import OUTPUTS, comparable
from tests.support.simulator import Targets

STEPS_ENOUGH = 1_500
unhurried = settings(
    max_examples=examples(6),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SOURCES = (
    "customer",
    "opportunity",
    "opportunity_line",
    "legal_entity",
    "project",
    "assignment",
    "rate_card",
    "time_entry",
)


def is_source(change: Change) -> bool:
    """Whether the row is the sources' to write: what the targets hold comes from the simulator."""
    of_erps = (f"{erp}:{entity}" for erp in TWO_ERPS for entity in ("customer", "project"))
    return not change.id.startswith((*of_erps, "float:project"))


histories = st.one_of(
    st.lists(changes(*SOURCES, "time_entry"), min_size=20, max_size=80),
    st.lists(changes(*SOURCES, "time_entry", erps=TWO_ERPS), min_size=20, max_size=80),
).map(lambda history: [change for change in history if is_source(change)])
seeds = st.integers(0, 2**16)


def won_deals(erps: tuple[str, ...]) -> list[Change]:
    """Three won deals with lines in two countries, and legal entities that can be billed.

    Those of the second country are of the firm's last ERP.
    """
    chances = random.Random(7)
    found: list[Change] = []
    for n in range(3):
        found += [
            _customer(n),
            _deal(n),
            *(_line(2 * n + i, n, country) for i, country in enumerate(("DE", "FR"))),
        ]
    for n, (country, erp) in enumerate((("DE", erps[0]), ("FR", erps[-1]))):
        names = {"source_system": erp, "native_id": str(n + 1), "country_code": country}
        entity = {**names, "tax_code": "VAT", "is_active": True}
        found.append(Change("legal_entity", f"{erp}:subsidiary:{n}", entity))
    chances.shuffle(found)
    return found


def hourly_deals() -> list[Change]:
    """The deals bill by the hour, and projects of the PSA belong to theirs."""
    found = []
    for n in range(3):
        deal = _deal(n)
        assert deal.record is not None
        record = {**deal.record, "billing_type": "time_and_materials"}
        found.append(Change("opportunity", deal.id, record))
    for n, reference in enumerate(PSA_PROJECTS):
        names = {"project_id": PROJECT_IDS[n], "engagement_id": ENGAGEMENTS[n // 2]}
        found.append(Change("project", reference, {"source_system": "inhouse", **names}))
    return found


def _entity(erp: str, country: str, *, is_active: bool) -> Change:
    number = COUNTRIES.index(country)
    names = {"source_system": erp, "native_id": str(number + 1), "country_code": country}
    entity = {**names, "tax_code": "VAT", "is_active": is_active}
    return Change("legal_entity", f"{erp}:subsidiary:{number}", entity)


def _move(to: str, country: str) -> list[Change]:
    """A country goes over to an ERP: there is a legal entity in both for a while."""
    (former,) = set(TWO_ERPS) - {to}
    return [_entity(to, country, is_active=True), _entity(former, country, is_active=False)]


def _hours(number: int, project: int) -> list[Change]:
    entry = {"project_ref": PSA_PROJECTS[project], "resource_id": "res-a", "work_on": FIRST_DAY}
    money = {"bill_rate": Decimal("100.0000"), "cost_rate": None, "currency": "EUR"}
    time = {"hours": Decimal("8.00"), "status": "approved", "is_billable": True}
    return [Change("time_entry", ENTRIES[number], {**entry, **money, **time})]


moves = st.builds(_move, st.sampled_from(TWO_ERPS), st.sampled_from(COUNTRIES))
hours = st.builds(_hours, st.integers(0, 3), st.integers(0, 3))


def play(
    history: list[Change], seed: int, *, with_edits: bool, erps: tuple[str, ...] | None = None
) -> Targets:
    """Feed a history while targets work, at the pace a seed sets; then let everything settle."""
    chances, erps = random.Random(seed), erps or erps_of(history)
    feeder = open_feeder(erps, seed=seed, chunk_max=chances.choice([1, 3, 200]))
    targets, topology = Targets(feeder, seed), feeder.topology
    for number, change in enumerate([*won_deals(erps), *history]):
        targets.feeder.feed(change)
        if chances.random() < 0.3:
            topology.run()
        for _ in range(chances.randint(0, 3)):
            targets.step()
        if with_edits and chances.random() < 0.2:
            targets.edit(number)
    targets.settle(STEPS_ENOUGH)
    return targets


def held(targets: Targets) -> dict[str, dict[str, Any]]:
    """Return natural key → content of what the targets hold."""
    return {
        **{
            f"{target}:{entity}:{external_id}": content
            for (target, entity, external_id), (_, content) in targets.rows.items()
        },
        **{
            f"{target}:project_budget:{external_id}": content
            for (target, entity, external_id), (_, content) in targets.rows.items()
            if target in targets.feeder.erps and entity == "project"
        },
    }


def assert_converged(targets: Targets) -> None:
    oracle = oracle_of(targets.feeder, targets.refused)
    actual = held(targets)
    desired = oracle.desired()
    for key, content in desired.items():
        if key in targets.refused:
            continue
        assert key in actual, f"{key} is missing"
        assert {name: actual[key].get(name) for name in content} == content, key
    bills = {key for key in actual if ":time_bill:" in key}
    assert bills == {key for key in desired if ":time_bill:" in key}
    for row, created in targets.created.items():
        assert created - targets.deleted[row] == (row in targets.rows), row


@unhurried
@given(histories, seeds)
def test_i8_targets_converge_and_every_row_is_created_once(
    history: list[Change], seed: int
) -> None:
    targets = play(history, seed, with_edits=False)
    assert_converged(targets)
    rows = [row for row in targets.created if row[1] != "time_bill"]
    assert rows, "the history must have effects"
    # A project taken back before the ERP has shown it is made anew if the deal is won again.
    assert all(targets.created[row] <= 1 + targets.deleted[row] for row in rows)
    assert all(targets.deleted[row] == 0 for row in rows if row[1] == "customer")


@unhurried
@given(histories, seeds)
def test_i12_edits_of_others_are_reverted(history: list[Change], seed: int) -> None:
    assert_converged(play(history, seed, with_edits=True))


@unhurried
@given(histories, seeds)
def test_tables_equal_the_oracle_of_a_closed_loop(history: list[Change], seed: int) -> None:
    targets = play(history, seed, with_edits=True)
    oracle = oracle_of(targets.feeder, targets.refused)
    topology = targets.feeder.topology
    assert {topic: comparable(topology.table(topic)) for topic in OUTPUTS} == oracle.tables()


@settings(unhurried, max_examples=examples(3))
@given(st.lists(st.one_of(moves, hours, hours), min_size=4, max_size=16), seeds)
def test_i8_legal_entities_that_change_their_erp_take_their_projects_and_open_hours_along(
    steps: list[list[Change]], seed: int
) -> None:
    """Whatever is on its way: in the end each hour is billed once, in the ERP of its project."""
    history = [*hourly_deals(), *(change for step in steps for change in step)]
    targets = play(history, seed, with_edits=False, erps=TWO_ERPS)
    assert_converged(targets)
    oracle = oracle_of(targets.feeder, targets.refused)
    topology = targets.feeder.topology
    assert {topic: comparable(topology.table(topic)) for topic in OUTPUTS} == oracle.tables()


@unhurried
@given(histories, seeds)
def test_i8_replayed_commands_have_no_second_effect(history: list[Change], seed: int) -> None:
    targets = play(history, seed, with_edits=True)
    effects, rows = targets.effects, dict(targets.rows)
    targets.replay()
    targets.settle(STEPS_ENOUGH)
    assert (targets.effects, targets.rows) == (effects, rows)


def test_a_refused_project_is_ordered_again_once_finance_has_mended_it() -> None:
    names = {"source_system": "netsuite", "native_id": "1", "country_code": "DE"}
    entity = {**names, "tax_code": None, "is_active": True}
    refused = Change("legal_entity", "netsuite:subsidiary:0", entity)
    targets = play([], 1, with_edits=False)
    project = next(key for key in targets.rows if key[1] == "project" and key[2].endswith("-de"))
    assert targets.rows[project][1]["tax_code"] == "VAT"

    targets.feeder.feed(refused)
    targets.settle(STEPS_ENOUGH)
    assert ":".join(project) in targets.refused
    assert targets.rows[project][1]["tax_code"] == "VAT"

    targets.feeder.feed(Change("legal_entity", refused.id, {**entity, "tax_code": "VAT-19"}))
    targets.settle(STEPS_ENOUGH)
    assert targets.refused == {}
    assert targets.rows[project][1]["tax_code"] == "VAT-19"


def _customer(n: int) -> Change:

    fields = {"name": "Acme", "country_code": "DE", "currency": "EUR", "tax_number": None}
    return Change(
        "customer",
        ACCOUNTS[n],
        {"source_system": "salesforce", "customer_id": CUSTOMERS[n], **fields},
    )


def _deal(n: int) -> Change:

    fields = {
        "name": "Deal",
        "stage": "won",
        "probability_ratio": None,
        "amount": None,
        "currency": "EUR",
        "starts_on": FIRST_DAY,
        "billing_type": "fixed_fee",
    }
    identities = {"engagement_id": ENGAGEMENTS[n], "customer_id": CUSTOMERS[n]}
    return Change("opportunity", DEALS[n], {**identities, **fields})


def _line(line: int, deal: int, country: str) -> Change:

    fields = {"service_line": "build", "country_code": country, "amount": None}
    return Change(
        "opportunity_line",
        f"salesforce:opportunity_line_item:{line}",
        {"engagement_id": ENGAGEMENTS[deal], **fields},
    )
