"""Views over rows made here: names, values to the last digit, nulls, and what they load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from connectors.dispatch.journal import last_intents, last_results
from psastream.command_states import Decided, State, ordered_of
from psastream.query.session import Session, dtypes_of, public_topics
from psastream.query.views import View, packaged_views
from psastream.subjects import Names, Subject
from tests.support.catalogue import BY_NAME, CATALOGUE

Rows = Mapping[str, Sequence[Mapping[str, Any]]]

AT = datetime(2026, 3, 9, 12, tzinfo=UTC)
# One deal in two countries, of which Germany's project has two projects in the PSA; one project
# in the PSA that nobody sold; one that the ERP has for a customer and no deal asked for.
FIRM: Rows = {
    "psa.status.customer": [{"customer_id": "cus-1", "name": "Abel [Ltd]", "status": "active"}],
    "psa.status.project": [
        {
            "project_id": "eng-1-DE",
            "engagement_id": "eng-1",
            "customer_id": "cus-1",
            "name": "Move DE",
            "status": "active",
            "currency": "EUR",
            "contract_value": Decimal("1234567890123456789012345678.123456"),
            "as_of": AT,
        },
        {"project_id": "eng-1-FR", "engagement_id": "eng-1", "customer_id": "cus-1"},
    ],
    "psa.project": [
        {
            "id": "psa:project:1",
            "project_id": "eng-1-DE",
            "engagement_id": "eng-1",
            "name": "de one",
        },
        {"id": "psa:project:2", "project_id": "eng-1-DE", "name": "de two"},
        {"id": "psa:project:9", "name": "Holidays", "source_at": AT},
        {"id": "erp:project:5", "name": "By hand", "customer_id": "cus-1"},
    ],
    "psa.role": [{"id": "rm:role:1", "name": "Consultant"}],
    "psa.resource": [
        {"id": "rm:person:1", "resource_id": "res-1", "name": "Ada", "role_ref": "rm:role:1"},
        {"id": "rm:person:2", "resource_id": "res-2", "name": "Bo", "kind": "contractor"},
    ],
}


class World:
    """One session for all tests, whose topics hold what `rows` says."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.session = Session(CATALOGUE, packaged_views(), self.load)

    def load(self, names: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Fields that a row does not name are null."""
        for name in names:
            dtypes = dtypes_of(BY_NAME[name])
            empty = dict.fromkeys(dtypes)
            rows = [empty | dict(row) for row in self.rows.get(name, ())]
            yield name, pl.DataFrame(rows, dtypes)

    def answers(self, rows: Rows, query: str) -> list[tuple[Any, ...]]:
        """Answers from the rows of `FIRM`, and of these topics."""
        self.rows = FIRM | rows
        return list(self.session.ask(query).rows)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.mark.parametrize("view", packaged_views(), ids=lambda view: view.name)
def test_a_view_has_the_columns_that_its_file_explains(world: World, view: View) -> None:
    columns = world.session.columns_of(view.name)
    assert [name for name, _ in columns] == [column.name for column in view.columns]
    assert set(view.key) <= dict(columns).keys()
    assert {kind for _, kind in columns} & {"DOUBLE", "FLOAT"} == set()


def test_every_public_topic_is_a_table_under_its_name(world: World) -> None:
    for topic in public_topics(CATALOGUE):
        names = [name for name, _ in world.session.columns_of(topic.name)]
        assert names == list(dtypes_of(topic)), topic.name
    known = world.session.topics.keys()
    assert "psa.internal.calendar" not in known
    assert {"psa.command.netsuite", "psa.command_result", "psa.dlq"} <= known


def test_projects_are_those_of_deals_and_those_without_one(world: World) -> None:
    found = world.answers(
        {}, "SELECT project_id, project, customer, is_internal, status FROM projects"
    )
    assert found == [
        ("eng-1-DE", "Move DE", "Abel [Ltd]", False, "active"),
        ("eng-1-FR", None, "Abel [Ltd]", False, None),
        ("erp:project:5", "By hand", "Abel [Ltd]", False, None),
        ("psa:project:9", "Holidays", None, True, None),
    ]
    [(value, at)] = world.answers(
        {}, "SELECT contract_value, as_of FROM projects WHERE status = 'active'"
    )
    assert (str(value), at) == ("1234567890123456789012345678.123456", AT)


def margin(project_ref: str, project_id: str, **values: Any) -> Mapping[str, Any]:
    key = {"project_ref": project_ref, "project_id": project_id}
    return {**key, "period": "2026-02", "currency": "EUR", **values}


def test_margins_have_names_and_the_digits_of_the_metric(world: World) -> None:
    rows = [
        margin("psa:project:1", "eng-1-DE", revenue=Decimal("10.000001"), cost=Decimal("4"),
               margin=Decimal("6.000001"), margin_ratio=Decimal("0.600000"), seconds=3000),
        margin("psa:project:2", "eng-1-DE", revenue=Decimal("0.2"), cost=Decimal("0.1"),
               margin=Decimal("0.1"), margin_ratio=Decimal("0.5"), seconds=600),
        margin("psa:project:9", "psa:project:9", revenue_reason="no_budget", cost=Decimal("7")),
        margin("psa:project:3", "eng-7-DE", cost=Decimal("1")),
    ]  # fmt: skip
    query = """
        SELECT project, customer, is_internal, month, revenue, revenue_reason, margin
        FROM margin_by_project_month ORDER BY project_ref"""
    assert world.answers({"psa.metric.project_margin": rows}, query) == [
        (
            "Move DE",
            "Abel [Ltd]",
            False,
            "2026-02",
            Decimal("10.000001"),
            None,
            Decimal("6.000001"),
        ),
        ("Move DE", "Abel [Ltd]", False, "2026-02", Decimal("0.2"), None, Decimal("0.1")),
        (None, None, None, "2026-02", None, None, None),
        ("Holidays", None, True, "2026-02", None, "no_budget", None),
    ]
    # 10.000001 + 0.2 and 6.000001 + 0.1, by hand; floats would give 6.1000010000000005.
    query = """SELECT sum(revenue), sum(margin), sum(seconds) FROM margin_by_project_month
               WHERE revenue IS NOT NULL GROUP BY project_id"""
    [sums] = world.answers({"psa.metric.project_margin": rows}, query)
    assert sums == (Decimal("10.200001"), Decimal("6.100001"), 3600)
    assert [type(each) for each in sums] == [Decimal, Decimal, int]


def test_utilization_has_the_person_the_role_and_the_monday(world: World) -> None:
    rows = [
        {"resource_id": "res-1", "iso_week": "2026-W01", "utilization_ratio": Decimal("0.75")},
        {"resource_id": "res-1", "iso_week": "2026-W53", "available_hours": Decimal("38.50")},
        {"resource_id": "adr-8", "iso_week": "2027-W01", "ratio_reason": "unknown_person"},
    ]
    query = """SELECT person, role, week, week_starts_on, utilization_ratio, available_hours
               FROM utilization_by_person_week"""
    # 1 January 2026 is a Thursday, so its week begins on 29 December 2025; 2026 has 53 weeks.
    assert world.answers({"psa.metric.utilization": rows}, query) == [
        (None, None, "2027-W01", date(2027, 1, 4), None, None),
        ("Ada", "Consultant", "2026-W01", date(2025, 12, 29), Decimal("0.75"), None),
        ("Ada", "Consultant", "2026-W53", date(2026, 12, 28), None, Decimal("38.50")),
    ]


def test_a_ratio_of_several_weeks_is_one_of_those_in_which_the_firm_booked(world: World) -> None:
    """Rows begin with the employment, and go on to the week of today."""
    booked = {"2026-W10": 3600, "2026-W12": 7200}
    rows = [
        {"resource_id": "res-1", "iso_week": f"2026-W{week:02d}",
         "total_seconds": booked.get(f"2026-W{week:02d}", 0)}
        for week in (9, 10, 11, 12, 13)
    ]  # fmt: skip
    query = "SELECT week FROM utilization_by_person_week WHERE is_booked_period"
    found = world.answers({"psa.metric.utilization": rows}, query)
    assert found == [("2026-W10",), ("2026-W11",), ("2026-W12",)]
    idle = [{**row, "total_seconds": 0} for row in rows]
    assert world.answers({"psa.metric.utilization": idle}, query) == []


def test_a_person_with_two_rows_is_one_person(world: World) -> None:
    twice = [
        {"id": "rm:person:1", "resource_id": "res-1", "name": "Ada", "source_at": AT},
        {"id": "hr:person:7", "resource_id": "res-1", "name": "Ada L.", "source_at": None},
    ]
    rows = {
        "psa.resource": twice,
        "psa.metric.utilization": [{"resource_id": "res-1", "iso_week": "2026-W01"}],
    }
    assert world.answers(rows, "SELECT person FROM utilization_by_person_week") == [("Ada",)]


def test_billing_and_assignments_have_the_names_of_their_projects(world: World) -> None:
    rows = {
        "psa.status.billing": [
            {"project_ref": "psa:project:1", "project_id": "eng-1-DE", "currency": "EUR",
             "state": "credited", "seconds": -3600, "amount": Decimal("-99.990000")},
            {"project_ref": "psa:project:9", "currency": "EUR", "state": "non_billable",
             "seconds": 60},
        ],
        "psa.status.assignment": [
            {"id": "rm:a:1", "project_ref": "rm:project:4", "project_id": "eng-1-DE",
             "resource_id": "res-2", "starts_on": date(2026, 3, 2), "planned_hours": Decimal("8")},
            {"id": "rm:a:2", "project_ref": "psa:project:9", "resource_id": "res-9"},
        ],
    }  # fmt: skip
    query = "SELECT project, customer, state, seconds, amount FROM billing_by_state"
    assert world.answers(rows, query) == [
        ("Move DE", "Abel [Ltd]", "credited", -3600, Decimal("-99.99")),
        ("Holidays", None, "non_billable", 60, None),
    ]
    query = "SELECT project_id, is_internal FROM billing_by_state WHERE is_internal"
    assert world.answers(rows, query) == [("psa:project:9", True)]
    query = "SELECT id, project, is_internal, person, starts_on, planned_hours FROM assignments"
    assert world.answers(rows, query) == [
        ("rm:a:1", "Move DE", False, "Bo", date(2026, 3, 2), Decimal("8.00")),
        ("rm:a:2", "Holidays", True, None, None, None),
    ]


def test_the_pipeline_is_the_metric(world: World) -> None:
    rows = [{"stage": "won", "currency": "EUR", "opportunities": 2, "amount": Decimal("0.1")}]
    assert world.answers({"psa.metric.pipeline_health": rows}, "FROM pipeline") == [
        ("won", "EUR", 2, Decimal("0.1"), None, None)
    ]


def command(target: str, noun: str, subject: str, payload: str, **values: Any) -> dict[str, Any]:
    key = f"{target}:{noun}:{subject}"
    return {"natural_key": key, "target": target, "payload": payload, "command_id": "c2", **values}


def test_commands_have_their_state_and_what_they_are_about(world: World) -> None:
    rows = {
        "psa.command.netsuite": [
            command("netsuite", "customer", "cus-1", '{"customer_id":"cus-1"}'),
            command("netsuite", "project", "eng-1-DE", "", kind="withdraw"),
            command("netsuite", "time_bill", "tb-1", '{"project_id":"eng-1-DE"}'),
            command("netsuite", "time_bill", "tb-2", '{"project_ref":"psa:project:1"}'),
        ],
        "psa.command.float": [command("float", "project", "eng-1-FR", "{cut ... cut, 9 bytes")],
        "psa.command_result": [
            {"natural_key": "netsuite:customer:cus-1", "command_id": "c2", "status": "succeeded"},
            # Of an earlier command of its key: nobody has begun the last one.
            {"natural_key": "netsuite:time_bill:tb-1", "command_id": "c1", "status": "rejected"},
        ],
    }
    query = "SELECT natural_key, state, project_id, customer FROM commands"
    assert world.answers(rows, query) == [
        ("float:project:eng-1-FR", "waiting", "eng-1-FR", "Abel [Ltd]"),
        ("netsuite:customer:cus-1", "succeeded", None, "Abel [Ltd]"),
        ("netsuite:project:eng-1-DE", "waiting", "eng-1-DE", "Abel [Ltd]"),
        ("netsuite:time_bill:tb-1", "waiting", "eng-1-DE", "Abel [Ltd]"),
        ("netsuite:time_bill:tb-2", "waiting", "eng-1-DE", "Abel [Ltd]"),
    ]


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, State.WAITING),
        ({"intent": 3}, State.WAITING),
        ({"intent": 4}, State.ATTEMPTED),
        ({"intent": 4, "held": False}, State.REFUSED),
        ({"intent": 4, "result": "rejected", "held": False}, State.REFUSED),
        ({"held": True}, State.HELD),
        ({"intent": 4, "result": "succeeded"}, State.SUCCEEDED),
        ({"intent": 4, "result": "adopted"}, State.ADOPTED),
        ({"result": "superseded"}, State.SUPERSEDED),
        ({"result": "withdrawn"}, State.WITHDRAWN),
    ],
)
def test_states_of_commands_are_those_of_the_command_line(
    world: World, told: dict[str, Any], state: State
) -> None:
    key, target = "netsuite:project:eng-1-DE", "netsuite"
    issued = command(target, "project", "eng-1-DE", "{}", kind="upsert_project", revision=4)
    same = {"natural_key": key, "command_id": "c2", "target": target}
    results = [{**same, "revision": 4, "status": told["result"]}] if "result" in told else []
    intents = [{**same, "revision": told["intent"], "attempt": 1}] if "intent" in told else []
    refusal = {"exception_id": "x", "status": "open", "revision": 4, "error_code": "NO", **same}
    refusals = [{**refusal, "is_held": told["held"]}] if "held" in told else []
    rows = {
        "psa.command.netsuite": [issued],
        "psa.command_result": results,
        "psa.command_intent": intents,
        "psa.exception": refusals,
    }
    code = "NO" if refusals else None
    query = "SELECT state, error_code FROM commands"
    assert world.answers(rows, query) == [(state.value, code)]
    known = {
        "attempts": 1, "target_id": None, "started_at": None, "error_code": None, "detail": None,
    }  # fmt: skip
    (ordered,) = ordered_of(
        [{**issued, "origin_key": "o", "issued_at": None, "amount": None, "currency": None}],
        last_results([{**known, **each} for each in results]),
        last_intents([{**known, **each} for each in intents]),
        refusals,
        [],
        decided=Decided.by(),
    )
    assert ordered.state is state


def test_exceptions_are_the_open_ones_the_most_money_first(world: World) -> None:
    def waiting(exception_id: str, natural_key: str, **values: Any) -> dict[str, Any]:
        key = {"exception_id": exception_id, "natural_key": natural_key, "status": "open"}
        return {**key, "payload": "{}", **values}

    rows = [
        waiting("a", "netsuite:project:eng-1-DE", amount=Decimal("5")),
        waiting("b", "psa:time_entry:3|x", payload='{"project_ref":"psa:project:9"}'),
        waiting("c", "psa:project:2", amount=Decimal("9"), currency="EUR"),
        waiting("d", "eng-1-FR", payload="no json", amount=Decimal("1")),
        waiting("e", "adr-8"),
        waiting("f", "eng-1-FR", status="resolved"),
    ]
    query = "SELECT exception_id, amount, project_id, project, customer FROM exceptions"
    assert world.answers({"psa.exception": rows}, query) == [
        ("c", Decimal("9"), "eng-1-DE", "Move DE", "Abel [Ltd]"),
        ("a", Decimal("5"), "eng-1-DE", "Move DE", "Abel [Ltd]"),
        ("d", Decimal("1"), "eng-1-FR", None, "Abel [Ltd]"),
        ("b", None, "psa:project:9", "Holidays", None),
        ("e", None, None, None, None),
    ]
    query = "SELECT exception_id, project_id, project, customer_id, customer FROM exceptions"
    asked = {name: Subject(*told) for name, *told in world.answers({"psa.exception": rows}, query)}
    by_id = ("psa.project", "id"), ("psa.status.project", "project_id")
    tables = [
        {row[key]: dict.fromkeys(dtypes_of(BY_NAME[topic])) | dict(row) for row in FIRM[topic]}
        for topic, key in (*by_id, ("psa.status.customer", "customer_id"))
    ]
    listed = {row["exception_id"]: Names(*tables).subject_of(row) for row in rows[:-1]}
    assert listed == asked  # on the command line as in SQL
    assert [str(listed[name]) for name in "abde"] == [
        "Move DE, for Abel [Ltd]",
        "Holidays",
        "eng-1-FR, for Abel [Ltd]",
        "",
    ]


def entry(number: int, address: str, work_on: date, **values: Any) -> Mapping[str, Any]:
    row = {"id": f"psa:time_entry:{number}", "project_ref": "psa:project:1", "work_on": work_on}
    price = {"bill_rate": Decimal("100.0000"), "currency": "EUR", "is_billable": True}
    return {**row, **price, "resource_id": address, "status": "approved", "seconds": 3000, **values}


def test_time_is_of_who_claims_its_address_on_the_sunday_of_its_week(world: World) -> None:
    people = [
        {"id": "rm:person:1", "resource_id": "res-1", "name": "Ada", "address_id": "adr",
         "starts_on": date(2024, 1, 1)},
        {"id": "rm:person:2", "resource_id": "res-2", "name": "Bo", "address_id": "adr",
         "starts_on": date(2026, 3, 4)},
        {"id": "rm:person:3", "resource_id": "res-3", "name": "Cy", "address_id": "other"},
    ]  # fmt: skip
    entries = [
        entry(1, "adr", date(2023, 5, 1)),
        entry(2, "adr", date(2026, 3, 1)),
        entry(3, "adr", date(2026, 3, 2)),  # the Monday of the week in which it changes hands
        entry(4, "nobody's", date(2026, 3, 2)),
        entry(5, "res-3", date(2026, 3, 2)),  # by the id of the person, not of an address
    ]
    rows = {"psa.resource": people, "psa.time_entry": entries}
    found = world.answers(rows, "SELECT id, resource_id, person, project FROM time_entries")
    assert sorted(found) == [
        ("psa:time_entry:1", "res-1", "Ada", "Move DE"),
        ("psa:time_entry:2", "res-1", "Ada", "Move DE"),
        ("psa:time_entry:3", "res-2", "Bo", "Move DE"),
        ("psa:time_entry:4", "nobody's", None, "Move DE"),
        ("psa:time_entry:5", "res-3", "Cy", "Move DE"),
    ]
    found = world.answers(rows, "FROM addresses WHERE address_id = 'adr'")
    assert found == [
        ("adr", None, date(2026, 3, 3), "res-1", "Ada"),
        ("adr", date(2026, 3, 4), None, "res-2", "Bo"),
    ]


def test_blocked_time_says_what_each_entry_waits_for(world: World) -> None:
    day = date(2026, 3, 2)
    state = {**FIRM["psa.status.project"][0], "erp_ref": "erp:project:1"}
    waits = {"project_id": "eng-1-FR", "name": "Move FR", "reason": "no tax code"}
    rows = {
        "psa.status.project": [state, waits],
        "psa.project": [
            *FIRM["psa.project"], {"id": "psa:project:3", "project_id": "eng-1-FR"},
        ],
        "psa.status.billing": [
            {"project_ref": ref, "currency": "EUR", "state": "blocked"}
            for ref in ("psa:project:1", "psa:project:3")
        ],
        "psa.time_entry": [
            entry(1, "a", day, project_ref="psa:project:3"),
            entry(2, "a", day),
            entry(3, "a", day, bill_rate=None),
            entry(4, "a", day),  # as ready as can be
            entry(5, "a", day, project_ref="psa:project:3", status="submitted"),
            entry(6, "a", day, project_ref="psa:project:3", is_billable=False),
            entry(7, "a", day),  # invoiced where it is: not its time is blocked
            entry(8, "a", day, project_ref="psa:project:2"),  # has nothing that is blocked
        ],
        "psa.exception": [
            {"exception_id": "erp:p", "kind": "upsert_project", "status": "open",
             "natural_key": "erp:project:eng-1-FR", "amount": Decimal(5), "error_code": "no_tax",
             "detail": "tax", "hint": "fill it in"},
            {"exception_id": "rm:p", "kind": "upsert_project", "status": "open",
             "natural_key": "rm:project:eng-1-FR"},
            *(
                {"exception_id": f"billing:psa:time_entry:{number}|{ref}", "status": "open",
                 "kind": "billed_time_changed", "natural_key": f"psa:time_entry:{number}",
                 "error_code": "billing.entry_gone"}
                for number, ref in ((2, "psa:project:9"), (7, "psa:project:1"))
            ),
        ],
    }  # fmt: skip
    query = (
        "SELECT id[-1:], reason, amount, exception_id, error_code, detail, hint FROM blocked_time"
    )
    amount = Decimal("83.333333")
    assert sorted(world.answers(rows, query)) == [
        ("1", "not_in_erp", amount, "erp:p", "no_tax", "tax", "fill it in"),
        ("2", "invoiced_elsewhere", amount, "billing:psa:time_entry:2|psa:project:9",
         "billing.entry_gone", None, None),
        ("3", "no_price", None, None, None, None, None),
    ]  # fmt: skip
    del rows["psa.exception"]
    [first, *_] = sorted(world.answers(rows, query))
    assert first == ("1", "not_in_erp", amount, None, None, "no tax code", None)
