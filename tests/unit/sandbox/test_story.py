"""The story without the product: its people at work in the vendors' screens, and their books."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from sandbox.books import measures, people, status
from sandbox.books.ledgers import Ledger
from sandbox.books.offices import expected_records
from sandbox.books.rows import SourceRows
from sandbox.demo.options import StoryLandscape
from sandbox.demo.parts import CONNECTORS
from sandbox.story import billing_acts, part_timer
from sandbox.story.acts import ACTS
from sandbox.story.certinia import Certinia
from sandbox.story.crm import CRMS
from sandbox.story.erps import ERPS, company_of
from sandbox.story.harvest import Harvest
from sandbox.story.inhouse import Inhouse
from sandbox.story.offices import HRS, Coupa, Gusto
from sandbox.story.psa import Ability, Hours, Person, PsaProject, Time
from sandbox.story.psas import ABILITIES, VENDORS
from sandbox.story.resources import RESOURCE_TOOLS
from sandbox.story.world import Cast, World
from sandbox.vendors.app import create_app
from sandbox.vendors.business_central.books import companies_filter
from sandbox.vendors.client import VendorAdmin
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials
from schemas.identity import engagement_id, project_id, resource_id

ROLLOUT = project_id(engagement_id("salesforce:opportunity:none"), "DE")
HR_BESIDE = {"inhouse": "bamboohr", "harvest": "adp", "certinia_custom": "bamboohr"}
"""The HR system of a story, by its PSA."""
RATE = Decimal(60)
NEEDS_ERP = ("invoices", "part", "credit", "changed")
"""Acts about what the product has put into the ERP."""


class Tables(Inhouse):
    """The in-house PSA with its rows in memory, unset columns included."""

    def __init__(self, cast: Cast) -> None:
        self._next_id = cast.next_id
        self.tables: dict[str, dict[int, dict[str, Any]]] = {
            name: {} for name in ("projects", "tasks", "time_entries", "expenses")
        }

    def insert(self, table: str, row: Any) -> None:
        assert row["id"] not in self.tables[table]
        self.tables[table][row["id"]] = dict(row)

    def update(self, table: str, row_id: int, **changes: object) -> None:
        assert changes.keys() <= self.tables[table][row_id].keys()
        self.tables[table][row_id] |= changes

    def delete_row(self, table: str, row_id: int) -> None:
        del self.tables[table][row_id]


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


def stage(
    credentials: Credentials, psa: str, seed: int = 1, resource: str = "float"
) -> tuple[World, Tables]:
    """The systems before the first act, and the rows of the in-house PSA."""
    app = create_app(base_url="http://testserver", seed=seed, credentials=credentials)
    admin, cast_ = VendorAdmin("http://testserver"), Cast()
    admin._http = cast(Any, TestClient(app, base_url="http://testserver/admin"))
    tables = Tables(cast_)
    world = World(
        admin=admin,
        crm=CRMS["salesforce"](admin),
        psa=VENDORS[psa](admin) if psa in VENDORS else tables,
        erps={"netsuite": ERPS["netsuite"](admin)},
        resource_tool=RESOURCE_TOOLS[resource](admin),
        library=cast(Any, SimpleNamespace(ask_for_retry=lambda reason: None)),
        random=Random(seed),
        rate=1,
        entries=60,
        cast=cast_,
        hr=HRS[HR_BESIDE[psa]](admin),
        payroll=Gusto(admin),
        procurement=Coupa(admin),
    )
    return world, tables


def told(
    credentials: Credentials, psa: str, seed: int = 1, resource: str = "float"
) -> tuple[World, SourceRows]:
    """All acts that the PSA can show but those about the ERP, and what the systems hold then."""
    world, tables = stage(credentials, psa, seed, resource)
    admin = world.admin
    played = (act for act in ACTS if not act.lacks(ABILITIES[psa]))
    for act in played:
        if act.name not in NEEDS_ERP:
            plan(admin, resource, act.name)
            assert Counter(act.do(world)).keys() <= {None}
    books: dict[str, Any] = admin.books()
    books["inhouse"] = {name: list(rows.values()) for name, rows in tables.tables.items()}
    today = datetime.now(UTC).date()
    offices = (HR_BESIDE[psa], "gusto", "coupa")
    return world, SourceRows.of(books, today, psa=psa, resource=resource, offices=offices)


def plan(admin: VendorAdmin, resource: str, act: str) -> None:
    """Where the product would have put a project into the resource tool."""
    if act != "staffing":
        return
    if resource == "float":
        admin.create("float", "projects", {"name": "Rollout", "project_code": ROLLOUT})
    else:
        ours = [{"referenceName": "psastream", "externalId": ROLLOUT}]
        row = {"name": "Rollout", "clientId": 1, "isConfirmed": True, "references": ours}
        admin.create("runn", "projects", row)


@pytest.fixture(
    scope="module",
    params=[*((psa, "float") for psa in sorted(ABILITIES)), ("harvest", "runn")],
    ids="-".join,
)
def story(request: pytest.FixtureRequest, credentials: Credentials) -> Iterator[Any]:
    psa, resource = request.param
    yield psa, *told(credentials, psa, resource=resource)


def test_what_people_do_is_in_the_books_of_each_psa(story: tuple[str, World, SourceRows]) -> None:
    _, world, rows = story
    refs = {f"{world.psa.entries_are}:{entry}" for entry in world.cast.entries}
    assert refs == {row["ref"] for row in rows.time_entries if "paula" not in row["worker"]}
    sold = [project for project in world.cast.projects if project.deal is not None]
    assert {row["project_id"] for row in rows.projects} == {
        *status.expected_projects(rows), None,
    } - {ROLLOUT}  # fmt: skip
    assert len(rows.projects) == len(sold) + 1
    counted = list(measures.counted_entries(rows))
    assert {row["is_billable"] for row in counted} == {True, False}
    assert {row["currency"] for row in counted} == {"EUR", "GBP", "USD", "PLN"} & {
        project.currency for project in world.cast.projects
    }
    assert all(row["bill_rate"] for row in counted if row["is_billable"])
    assert {row["status"] for row in rows.expenses} == {"approved"}
    assert measures.expected_margins(rows) and measures.expected_utilization(rows)


def test_the_plan_is_the_same_in_whatever_order_projects_came(credentials: Credentials) -> None:
    """Commands reach the resource tool side by side."""
    plans = []
    for names in (["Rollout", "Study", "Portal"], ["Portal", "Rollout", "Study"]):
        world, _ = stage(credentials, "inhouse")
        for act in ("firm", "deal", "projects"):
            assert Counter(next(it for it in ACTS if it.name == act).do(world)).keys() <= {None}
        created = [world.admin.create("float", "projects", {"name": name}) for name in names]
        by_id = {row["project_id"]: row["name"] for row in created}
        assert Counter(next(it for it in ACTS if it.name == "staffing").do(world)).keys() <= {None}
        tasks = world.admin.books()["float"]["tasks"]
        fields = ("people_id", "start_date", "end_date", "hours", "status")
        plans.append({(by_id[it["project_id"]], *(it[name] for name in fields)) for it in tasks})
    assert plans[0] == plans[1]
    assert len({plan[0] for plan in plans[0]}) == 3


def test_finance_chooses_the_same_time_in_whatever_order_it_came(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = []
    for order in (1, -1):
        world, _ = stage(credentials, "inhouse")
        for act in ("firm", "deal", "projects"):
            assert Counter(next(it for it in ACTS if it.name == act).do(world)).keys() <= {None}
        project = next(it for it in world.cast.projects if it.country_code == "DE")
        assert project.deal is not None
        job = project_id(engagement_id(project.deal.ref), "DE")
        entries = [f"inhouse:time_entry:{number}" for number in range(20)][::order]
        ledger = Ledger(
            jobs=({"id": 1, "externalid": job},),
            time_bills=tuple({"externalid": entry, "customer": 1} for entry in entries),
            invoices=({"id": 2, "type": "CustInvc"},),
            invoice_lines=tuple(
                {
                    "id": number,
                    "transaction": 2,
                    "custcol_psa_project": f"inhouse:project:{project.id}",
                    "custcol_psa_time_entry": entry,
                }
                for number, entry in enumerate(entries)
            ),
        )
        asked: list[Any] = []
        erp = SimpleNamespace(
            invoice=lambda _, hours, asked=asked: asked.append(list(hours)),
            credit=lambda _, lines, asked=asked, of=entries: asked.append([of[it] for it in lines]),
        )
        world.erps = {"netsuite": cast(Any, erp)}
        monkeypatch.setattr(World, "ledger", lambda _, ledger=ledger: ledger)
        for act_of in (billing_acts.bill_in_part, billing_acts.credit):
            assert Counter(act_of(world, "DE")) == {None: 1}
        chosen.append(asked)
    assert chosen[0] == chosen[1]


def test_all_that_a_person_worked_is_of_the_person_in_the_resource_tool(
    story: tuple[str, World, SourceRows],
) -> None:
    _, _, rows = story
    worked = {row["worker"].lower() for row in rows.time_entries}
    assert worked <= {(row["email"] or "").lower() for row in rows.people}
    reasons = {row["ratio_reason"] for row in measures.expected_utilization(rows).values()}
    assert "unknown_person" not in reasons and "unknown_hours" in reasons


def test_everybody_is_in_each_resource_tool_with_what_they_cost_and_when_they_work(
    credentials: Credentials,
) -> None:
    in_float, in_runn = (
        told(credentials, "harvest", resource=resource)[1] for resource in ("float", "runn")
    )
    day, people_of = date(2026, 12, 1), lambda rows: [it for it in rows.people if it["email"]]
    found = [
        {
            person["email"].lower(): (
                people.pattern_hours(person, day),
                people.cost_rate(person, day),
            )
            for person in people_of(rows)
        }
        for rows in (in_float, in_runn)
    ]
    left = "farah.frank@psastream.example"  # whose contract has run out
    assert found[1].pop(left) == (None, None) and found[0].pop(left)
    assert found[0] == found[1]
    assert len(in_float.people) == len(in_runn.people)


@pytest.mark.parametrize("resource", sorted(RESOURCE_TOOLS))
def test_what_is_planned_and_who_is_off_is_in_the_books_of_each_resource_tool(
    credentials: Credentials, resource: str
) -> None:
    world, rows = told(credentials, "harvest", resource=resource)
    plans = status.expected_assignments(rows).values()
    assert {plan["project_id"] for plan in plans} == {ROLLOUT}
    assert len(plans) == len(world.cast.allocations)  # one is withdrawn, the part-timer's is added
    assert {f"{resource}:project:1"} == {plan["project_ref"] for plan in plans}
    (paula,) = (row for row in rows.people if "paula" in (row["email"] or ""))
    (planned,) = (it for it in rows.allocations if it["person_ref"] == paula["ref"])
    assert (planned["hours"], planned["status"]) == (Decimal("4.5"), "approved")
    bruno, chen = (
        next(row for row in rows.people if name in (row["email"] or "").lower())
        for name in ("bruno", "chen")
    )
    days = [date(2026, 9, day) for day in (14, 16, 17, 22)]
    assert [people.is_away(rows, bruno, day) for day in days] == [True, True, False, False]
    assert [off["hours"] for off in people.time_off(rows, chen, days[3])] == [Decimal("3.5")]
    ada = next(row for row in rows.people if "ada." in (row["email"] or "").lower())
    assert people.available_hours(rows, ada, "2026-W39") == 4 * 8  # a holiday of her region


def test_what_offices_enter_leads_to_records_that_agree_with_it(
    story: tuple[str, World, SourceRows],
) -> None:
    psa, world, rows = story
    records = expected_records(rows.offices)
    staffed = {resource_id(person.email) for person in world.cast.people}
    employments = records["psa.employment"].values()
    assert {row["resource_id"] for row in employments} >= staffed - {resource_id(part_timer.EMAIL)}
    assert {row["status"] for row in employments} == (
        {"active", "ended", "on_leave"} if HR_BESIDE[psa] == "adp" else {"active", "ended"}
    )
    # A dated history has the former job and pay, too.
    assert len(records["psa.job"]) == len(employments) + (HR_BESIDE[psa] == "bamboohr")
    costs = list(records["psa.payroll_cost"].values())
    assert {row["kind"] for row in costs} == {"regular", "off_cycle", "reversal"}
    [taken_back] = [row for row in costs if row["kind"] == "reversal"]
    assert taken_back["gross"] < 0 and taken_back["employer_taxes"] < 0
    assert len(costs) == 2 * len(employments) + 1, "one person was excluded once"
    invoices = list(records["psa.supplier_invoice"].values())
    sold = {row["project_id"] for row in rows.projects}
    assert {row["project_id"] for row in invoices} == sold
    assert {row["status"] for row in invoices} == {"approved", "paid", "void"}
    assert [row["amount"] < 0 for row in invoices].count(True) == 1
    receipts = list(records["psa.goods_receipt"].values())
    assert {(row["kind"], row["status"]) for row in receipts} == {
        ("receipt", "posted"), ("receipt", "void"), ("return", "posted"),
    }  # fmt: skip
    orders = records["psa.purchase_order"].values()
    assert {row["status"] for row in orders} == {"ordered", "closed", "cancelled"}


@pytest.mark.parametrize(
    ("erp", "table", "lacking", "asked"),
    [
        ("netsuite", "subsidiary", {"custrecord_psa_tax_code": None}, []),
        ("business_central", "companies", {"_project_series_is_closed": True}, ["setting"]),
        ("finance_operations", "LegalEntities", {"_lacks_project_groups": "Yes"}, ["reference"]),
    ],
)
def test_finance_completes_one_of_two_legal_entities(
    credentials: Credentials, erp: str, table: str, lacking: dict[str, Any], asked: list[str]
) -> None:
    world, _ = stage(credentials, "inhouse")
    world.erps = {erp: ERPS[erp](world.admin)}
    reasons: list[str] = []
    world.library = cast(Any, SimpleNamespace(ask_for_retry=reasons.append))

    def open_countries() -> set[str]:
        books = world.admin.books()
        lacks = {row["id"] for row in books[erp][table] if lacking.items() <= row.items()}
        assert lacks <= set(world.cast.subsidiaries.values())
        return {country for country, id_ in world.cast.subsidiaries.items() if id_ in lacks}

    assert Counter(next(it for it in ACTS if it.name == "firm").do(world)).keys() <= {None}
    assert open_countries() == {"FR", "PL"} and reasons == []
    assert Counter(next(it for it in ACTS if it.name == "tax").do(world)).keys() <= {None}
    assert open_countries() == {"PL"} and reasons == asked


def test_connector_files_name_the_companies_that_the_story_founds(credentials: Credentials) -> None:
    world, _ = stage(credentials, "inhouse")
    world.erps = {"business_central": ERPS["business_central"](world.admin)}
    assert Counter(next(it for it in ACTS if it.name == "firm").do(world)).keys() <= {None}
    founded = world.admin.books()["business_central"]["companies"]
    countries = StoryLandscape.parse("business_central").countries_in("business_central")
    assert [row["country"] for row in founded] == list(countries)
    named = companies_filter(len(countries)).split(" or ")
    assert named == [f"id eq {row['id']}" for row in founded]


def test_each_company_of_finance_and_operations_takes_hours(credentials: Credentials) -> None:
    world, _ = stage(credentials, "inhouse")
    world.erps = {"finance_operations": ERPS["finance_operations"](world.admin)}
    assert Counter(next(it for it in ACTS if it.name == "firm").do(world)).keys() <= {None}
    books = world.admin.books()["finance_operations"]
    countries = StoryLandscape.parse("finance_operations").countries_in("finance_operations")
    companies = [company_of(country) for country in countries]
    assert [row["LegalEntityId"] for row in books["LegalEntities"]] == companies
    assert [row["LegalEntityId"] for row in books["Ledgers"]] == companies
    name = json.loads((CONNECTORS / "vendors/finance_operations/sink.json").read_text())
    assert {
        (row["dataAreaId"], row["JournalName"], row["Posted"]) for row in books["JournalTables"]
    } == {(company.lower(), name["journal.name"], "No") for company in companies}


def test_timers_that_stopped_have_the_hours_that_were_worked(
    story: tuple[str, World, SourceRows],
) -> None:
    psa, world, rows = story
    stopped = {f"{world.psa.entries_are}:{entry}" for entry in world.cast.timers}
    assert bool(stopped) is (Ability.TIMERS in ABILITIES[psa])
    assert {row["hours"] for row in rows.time_entries if row["ref"] in stopped} == (
        {Fraction(5, 4)} if stopped else set()
    )


def test_a_psa_does_not_show_what_it_says_it_cannot(credentials: Credentials) -> None:
    nothing = cast(Any, None)
    harvest, inhouse, certinia = Harvest(nothing), Tables(Cast()), Certinia(nothing)
    for early in (harvest, certinia):
        with pytest.raises(NotImplementedError, match=Ability.EARLY_HOURS.value):
            early.reserve(nothing)
    for timed in (inhouse, certinia):
        with pytest.raises(NotImplementedError, match=Ability.TIMERS.value):
            timed.start_timer(nothing)
        with pytest.raises(NotImplementedError, match=Ability.TIMERS.value):
            timed.stop_timer("1")


def test_more_days_of_a_week_are_entered_on_its_draft(credentials: Credentials) -> None:
    world, _ = stage(credentials, "certinia_custom")
    psa, person = world.psa, Person(1, "Ada", "Adler", "ada@firm.example", Decimal(100), RATE)
    psa.hire(person)
    project, other = PsaProject("EUR"), PsaProject("GBP")
    for each in (project, other):
        assert Counter(psa.open_project(each, "Training", date(2026, 9, 7))) == {None: 2}

    def book(day: int, status: str = "draft", *, is_billable: bool = True) -> str:
        time, work_on = Time(Decimal("1.5")), date(2026, 9, day)
        return psa.book(Hours(project, person, work_on, time, status, is_billable))

    def cards() -> list[dict[str, Any]]:
        rows = world.admin.books()["certinia"]["pse__Timecard_Header__c"]
        return [row for row in rows if not row["IsDeleted"]]

    monday, sunday = book(7), book(13)
    again, free, later = book(7), book(8, is_billable=False), book(14)
    assert monday.partition(",")[0] == sunday.partition(",")[0]
    assert len({entry.partition(",")[0] for entry in (monday, again, free, later)}) == 4
    psa.decide(monday, "submitted")
    assert book(9).partition(",")[0] == again.partition(",")[0], "the other draft"
    psa.delete(sunday)
    [card] = [row for row in cards() if row["Id"] in monday]
    assert (card["pse__Monday_Hours__c"], card["pse__Sunday_Hours__c"]) == (Decimal("1.5"), 0)
    psa.move(monday, other)
    [card] = [row for row in cards() if row["Id"] in monday]
    assert (card["pse__Project__c"], card["CurrencyIsoCode"]) == (other.id, "GBP")
    psa.delete(monday)
    assert len(cards()) == 3
