"""The acts, in order."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sandbox.books.audit import BILLING_TOTALS, planned
from sandbox.story import billing_acts, hours, office_acts, rights, timers
from sandbox.story.act import Act
from sandbox.story.firm import (
    BIG_DEAL,
    CUSTOMERS,
    FIXED_DEAL,
    FULL_TIME,
    HALF_WEEK,
    LOST_DEAL,
    SMALL_DEAL,
    STUCK_DEAL,
    set_up,
)
from sandbox.story.part_timer import part_timer
from sandbox.story.psa import Ability, PsaProject
from sandbox.story.resource import Allocation, Leave
from sandbox.story.world import World
from schemas.identity import engagement_id, project_id

EARLY_ENTRIES: Final = 8
RENAMED: Final = "Nordlicht Energie SE"
INVOICED_COUNTRIES: Final = ("GB", "US")

HOURS_TABLES: Final = (
    "psa.status.billing",
    "psa.metric.project_margin",
    "psa.metric.utilization",
    "erp time bills",
    "psa.dlq",
)

BILLED_TABLES: Final = (
    "psa.status.billing",
    BILLING_TOTALS,
    "erp time bills",
    "psa.exception",
)


def close_deals(world: World) -> Iterator[None]:
    """Move some deals through the last stages."""
    for name in (BIG_DEAL, SMALL_DEAL, STUCK_DEAL, FIXED_DEAL):
        deal = world.cast.deals[name]
        world.crm.move_deal(deal.id, "negotiating", 90)
        yield
        world.crm.move_deal(deal.id, "won", 100)
        yield


def wait_only(_: World) -> Iterator[None]:
    """Nobody does anything."""
    yield from ()


def complete_entity(world: World) -> Iterator[None]:
    """Finance completes the French legal entity in the ERP."""
    erp = world.erp_in("FR")
    erp.complete(world.cast.subsidiaries["FR"], "FR-TVA-20")
    yield
    if erp.retried_as is not None:
        world.library.ask_for_retry(erp.retried_as)
        yield


def book_early(world: World) -> Iterator[None]:
    """People enter hours on a project the PSA does not have yet."""
    deal = world.cast.deals[BIG_DEAL]
    project = PsaProject(deal.currency, deal, "DE")
    world.psa.reserve(project)
    world.cast.projects.append(project)
    for _ in range(EARLY_ENTRIES):
        yield from hours.book(world, project, status="approved")


def open_projects(world: World) -> Iterator[None]:
    """Delivery leads create the PSA projects, one with early hours first; one is internal."""
    deals = world.cast.deals
    early = [(project.deal, project.country_code) for project in world.cast.projects]
    for name, country in (
        (BIG_DEAL, "DE"),
        (BIG_DEAL, "GB"),
        (BIG_DEAL, "FR"),
        (SMALL_DEAL, "US"),
        (STUCK_DEAL, "PL"),
        (FIXED_DEAL, "DE"),
    ):
        if (deals[name], country) not in early:
            project = PsaProject(deals[name].currency, deals[name], country)
            world.cast.projects.append(project)
    world.cast.projects.append(PsaProject("EUR"))
    for project in world.cast.projects:
        deal = project.deal
        title = f"{deal.name} {project.country_code}" if deal else "Training"
        yield from world.psa.open_project(project, title, hours.FIRST_DAY)


def staff(world: World) -> Iterator[None]:
    """Plan people on the projects, confirm most of them; rates, hours and leave change."""
    tool = world.resource_tool
    for project in world.planned_projects():
        for person in world.random.sample(world.cast.people, k=3):
            allocation = Allocation(
                person_id=person.id,
                project_id=project.id,
                starts_on="2026-09-07",
                ends_on=f"2026-10-{world.random.randrange(2, 30):02d}",
                hours=Decimal(world.random.randrange(2, 8)),
                is_tentative=True,
            )
            world.cast.allocations.append(tool.plan(allocation))
            yield
    for allocation_id in world.cast.allocations[1:]:  # one stays tentative
        tool.confirm(allocation_id)
        yield
    tool.withdraw(world.cast.allocations[-1])
    yield
    person = world.cast.people[0]
    raised = {"2024-01-01": person.cost_rate, "2026-09-28": Decimal("99.75")}
    tool.change_cost(person.id, raised)
    yield
    yield from _change_hours(world)
    yield from _take_leave(world)
    yield from part_timer(world)


def _change_hours(world: World) -> Iterator[None]:
    """Somebody who worked full time works half the week from a day on."""
    weeks = {"2024-01-01": FULL_TIME, "2026-09-21": HALF_WEEK}
    world.resource_tool.change_week(world.cast.people[1].id, weeks)
    yield


def _take_leave(world: World) -> Iterator[None]:
    """A week of leave, a short day, and leave that is not approved, given to some and moved."""
    tool, people = world.resource_tool, [person.id for person in world.cast.people]
    taken = tool.take_leave(Leave(people[1:3], "2026-09-14", "2026-09-18"))
    yield
    tool.take_leave(Leave(people[2:4], "2026-09-22", "2026-09-23", Decimal("3.5")))
    yield
    tool.take_leave(Leave(people[4:5], "2026-09-28", "2026-10-02", is_approved=False))
    yield
    tool.end_leave(taken, "2026-09-16")
    yield


def send_invoices(world: World) -> Iterator[None]:
    """Finance bills the time of two projects."""
    for project in world.cast.projects:
        if project.deal is not None and project.country_code in INVOICED_COUNTRIES:
            engagement = engagement_id(project.deal.ref)
            erp = world.erp_in(project.country_code)
            erp.invoice(project_id(engagement, project.country_code))
            yield


def wind_down(world: World) -> Iterator[None]:
    """A deal is lost, a customer gets a new name, a line leaves a deal."""
    world.crm.move_deal(world.cast.deals[LOST_DEAL].id, "lost", 0)
    yield
    account = world.cast.accounts[next(iter(CUSTOMERS))]
    world.crm.rename_account(account, RENAMED)
    yield
    line = world.cast.deals[BIG_DEAL].lines["DE"][-1]
    world.crm.remove_line(line)
    yield


def early_hours_missing(world: World) -> str | None:
    """Whether the early hours have arrived; they count only once their project is known."""
    arrived = world.library.published("psa.time_entry")
    entries = world.psa.entries_are
    missing = [entry for entry in world.cast.entries if f"{entries}:{entry}" not in arrived]
    return f"{len(missing)} early time entries in psa.time_entry" if missing else None


def waiting_money(world: World) -> str:
    """Say what waits for a person, one thing a line."""
    waiting = sorted(
        f"waits for a person: {row['amount']:,.2f} {row['currency']} ({row['detail']})"
        for row in world.library.published("psa.exception").values()
        if row["status"] == "open"
    )
    return "\n".join(waiting) or "nothing waits for a person"


def margins(world: World) -> str:
    """Say how the margin stands by currency."""
    revenue: dict[str, Decimal] = {}
    margin: dict[str, Decimal] = {}
    for row in world.library.published("psa.metric.project_margin").values():
        currency = row["currency"]
        if row["revenue"] is not None:
            revenue[currency] = revenue.get(currency, Decimal(0)) + row["revenue"]
            margin[currency] = margin.get(currency, Decimal(0)) + row["margin"]
    texts = [f"{margin[c]:,.2f} {c} of {revenue[c]:,.2f} revenue" for c in sorted(margin)]
    return "\n".join(f"margin: {text}" for text in texts)


def billing(world: World) -> str:
    """Say how far the billing of hours is."""
    totals: dict[str, Decimal] = {}
    for row in world.library.published("psa.status.billing").values():
        totals[row["state"]] = totals.get(row["state"], Decimal(0)) + row["hours"]
    return ", ".join(f"{hours_:,.2f} h {state}" for state, hours_ in sorted(totals.items()))


ACTS: Final = (
    Act(
        "firm",
        "The firm opens its systems",
        "Legal entities in the ERP, people in the resource tool, customers and deals in the CRM.",
        set_up,
        lambda world: world.first_difference("psa.status.customer", "psa.metric.pipeline_health"),
    ),
    Act(
        "deal",
        "Deals close",
        "A deal delivered from three countries, two smaller ones and a fixed price are won.",
        close_deals,
        lambda world: world.first_difference("erp customers", "psa.status.customer"),
    ),
    Act(
        "refusal",
        "The ERP takes some projects and refuses others",
        "One project for each delivery country; two legal entities have no tax code.",
        wait_only,
        lambda world: world.first_difference("erp projects", "psa.status.project", "psa.exception"),
        waiting_money,
        narrations={
            "business_central": "One project for each delivery country; the number series of two"
            " companies take no numbers of others.",
            "finance_operations": "One project for each delivery country; two companies have no"
            " project groups.",
        },
    ),
    Act(
        "tax",
        "Finance fixes the French legal entity",
        "A tax code is set in the ERP; nobody touches psastream.",
        complete_entity,
        lambda world: world.first_difference(
            "erp projects",
            "psa.status.project",
            "psa.exception",
            planned(world.resource_tool.system),
        ),
        waiting_money,
        narrations={
            "business_central": "A number series is opened in the ERP, which no record shows; an"
            " administrator asks for another trial.",
            "finance_operations": "The groups are made in the ERP, which no record shows; an"
            " administrator asks for another trial.",
        },
    ),
    Act(
        "early",
        "Hours arrive before their project",
        "People book time on a project the PSA does not have yet.",
        book_early,
        early_hours_missing,
        needs=frozenset({Ability.EARLY_HOURS}),
    ),
    Act(
        "projects",
        "Delivery opens its projects",
        "The PSA's projects name what was sold; hours that came before them count now.",
        open_projects,
        lambda world: world.first_difference("psa.status.project", *HOURS_TABLES),
        billing,
    ),
    Act(
        "staffing",
        "People are planned",
        "Allocations become budgets in the ERP; rates, working hours and leave change.",
        staff,
        lambda world: world.first_difference(
            "psa.status.assignment",
            "psa.metric.utilization",
            "psa.metric.project_margin",
            "erp projects",
        ),
    ),
    Act(
        "employed",
        "HR employs everybody",
        "Jobs and pay by date; a promotion, a raise, leave, and somebody who leaves.",
        office_acts.employ,
        lambda world: world.first_difference(*office_acts.EMPLOYED_TABLES),
        role="hr",
    ),
    Act(
        "paid",
        "Payroll pays",
        "Two payrolls, one of them without somebody; what was wrong is taken back and paid anew.",
        office_acts.pay,
        lambda world: world.first_difference(*office_acts.PAID_TABLES),
        role="payroll",
    ),
    Act(
        "bought",
        "Procurement buys",
        "Hours of contractors for each project: ordered, received, billed, approved, credited.",
        office_acts.buy,
        lambda world: world.first_difference(*office_acts.BOUGHT_TABLES),
        role="procurement",
    ),
    Act(
        "hours",
        "Everybody books time",
        "Entered, approved, rejected, corrected, moved and deleted.",
        hours.timesheets,
        lambda world: world.first_difference(*HOURS_TABLES),
        margins,
    ),
    Act(
        "impossible",
        "A day has 30 hours",
        "A record that nobody can process is kept whole, with its reason; the others flow.",
        hours.impossible_day,
        lambda world: world.first_difference("psa.dlq"),
        needs=frozenset({Ability.ANY_HOURS}),
    ),
    Act(
        "timers",
        "Timers run",
        "Hours that grow while somebody works count for nothing yet.",
        timers.start,
        timers.running_missing,
        needs=frozenset({Ability.TIMERS}),
    ),
    Act(
        "stopped",
        "The timers stop",
        "What was worked is put right, approved and billed.",
        timers.stop,
        lambda world: world.first_difference(*HOURS_TABLES),
        margins,
        needs=frozenset({Ability.TIMERS}),
    ),
    Act(
        "right",
        "The integration loses a right in the ERP",
        "Time bills are refused, then held back; each is an exception.",
        rights.lose_right,
        rights.refusals_missing,
        rights.refused_hours,
    ),
    Act(
        "retry",
        "The right is given back",
        "An administrator asks for another trial; the exceptions resolve by themselves.",
        rights.give_right_back,
        lambda world: (
            rights.refusals_left(world) or world.first_difference("psa.exception", *HOURS_TABLES)
        ),
        waiting_money,
    ),
    Act(
        "corrections",
        "Approved hours are taken back",
        "Their time bills leave the ERP again; what could not be processed is put right.",
        hours.take_back,
        lambda world: world.first_difference(*HOURS_TABLES),
        margins,
    ),
    Act(
        "invoices",
        "Finance sends invoices",
        "The time of two projects is billed in the ERP.",
        send_invoices,
        lambda world: world.first_difference("psa.status.billing", BILLING_TOTALS),
        billing,
    ),
    Act(
        "part",
        "Finance bills a part",
        "Some time is invoiced in part; the rest of it stays open.",
        lambda world: billing_acts.bill_in_part(world, "DE"),
        lambda world: world.first_difference(*BILLED_TABLES),
        billing,
    ),
    Act(
        "credit",
        "Finance credits invoiced time",
        "A credit memo takes it back; what is right now is billed anew.",
        lambda world: billing_acts.credit(world, "GB"),
        lambda world: world.first_difference(*BILLED_TABLES),
        billing,
    ),
    Act(
        "changed",
        "Invoiced time is corrected, and moved to another client",
        "Nothing billed is deleted or rewritten; a person is told what is at stake.",
        lambda world: billing_acts.change_billed_time(world, "GB", "US"),
        lambda world: world.first_difference(*BILLED_TABLES),
        waiting_money,
    ),
    Act(
        "winding",
        "A deal is lost, a customer renamed, a line withdrawn",
        "What changed in the CRM reaches the ERP and the resource tool.",
        wind_down,
        lambda world: world.first_difference(
            "erp customers",
            "erp projects",
            "psa.status.customer",
            "psa.status.project",
            "psa.metric.pipeline_health",
        ),
    ),
)
