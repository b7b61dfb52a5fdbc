"""HR employs, payroll pays, procurement buys: acts of firms that have systems for it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sandbox.story.firm import ROLES
from sandbox.story.offices import Contract
from sandbox.story.psa import PsaProject
from sandbox.story.world import World
from schemas.identity import engagement_id, project_id

EMPLOYED_TABLES: Final = ("psa.employment", "psa.job", "psa.compensation")
PAID_TABLES: Final = ("psa.compensation", "psa.payroll_cost")
BOUGHT_TABLES: Final = ("psa.purchase_order", "psa.supplier_invoice", "psa.goods_receipt")
SUPPLIERS: Final = ("Quay Contracting", "Tern Freelance", "Harbour Cloud")
FIRST_HALF: Final = ("2026-09-01", "2026-09-15", "2026-09-20")
SECOND_HALF: Final = ("2026-09-16", "2026-09-30", "2026-10-05")
CORRECTED: Final = ("2026-09-01", "2026-09-15", "2026-10-12")


def employ(world: World) -> Iterator[None]:
    """Employ everybody; then a promotion, a raise, leave, and somebody who leaves."""
    assert world.hr is not None
    people = world.cast.people
    for number, person in enumerate(people):
        world.hr.hire(person, _contract(number, "EUR"))
        yield
    world.hr.promote(people[0], "Managing Partner", "2026-09-16")
    yield
    world.hr.pay_more(people[1], Decimal("91250.50"), "2026-10-01")
    yield
    world.hr.grant_leave(people[2], "2026-09-14", "2026-09-16")
    yield
    world.hr.let_go(people[5], "2026-10-09")
    yield


def pay(world: World) -> Iterator[None]:
    """Run two payrolls; one person is excluded, and what another got is taken back."""
    assert world.payroll is not None
    people = world.cast.people
    for number, person in enumerate(people):
        world.payroll.hire(person, _contract(number, "USD"))
        yield
    gross = {
        person.email: Decimal(world.random.randrange(200_000, 450_000)) / 100 for person in people
    }
    world.payroll.run(FIRST_HALF, gross)
    yield
    world.payroll.run(SECOND_HALF, gross, excluded=[people[3].email])
    yield
    wrong = {people[4].email: -gross[people[4].email]}
    world.payroll.run(CORRECTED, wrong, reason="Reversal")
    yield
    world.payroll.run(CORRECTED, {people[4].email: Decimal("2750.25")}, reason="Correction")
    yield


def buy(world: World) -> Iterator[None]:
    """Buy hours for each project: received, billed, approved, paid; some of it is taken back."""
    assert world.procurement is not None
    coupa, bought = world.procurement, []
    for number, project in enumerate(world.cast.projects):
        supplier = SUPPLIERS[number % len(SUPPLIERS)]
        hours = Decimal(world.random.randrange(16, 160)) / 2
        price = Decimal(world.random.randrange(7_000, 12_000)) / 100
        made = coupa.order(supplier, _account(project), hours, price, project.currency)
        bought.append(made)
        yield
        coupa.receive(made, "2026-09-18")
        yield
        invoice = coupa.bill(made, "2026-09-21")
        yield
        coupa.decide(invoice, "approved", is_paid=number % 2 == 0)
        yield
    coupa.receive(bought[0], "2026-09-22", is_return=True)
    yield
    coupa.decide(coupa.bill(bought[0], "2026-09-23", is_credit=True), "approved")
    yield
    coupa.void_receipt(coupa.receive(bought[1], "2026-09-24"))
    yield
    coupa.decide(coupa.bill(bought[1], "2026-09-24"), "voided")
    yield
    coupa.close(bought[0], "closed")
    yield
    coupa.close(bought[2], "cancelled")
    yield


def _contract(number: int, currency: str) -> Contract:
    return Contract(
        title=ROLES[number % len(ROLES)],
        department="Delivery",
        location="Berlin" if number % 2 else "Bergen",
        starts_on="2024-01-01",
        yearly=Decimal(60_000 + 1_250 * number),
        currency=currency,
    )


def _account(project: PsaProject) -> str | None:
    """The code of an account: the canonical id of a customer's project."""
    if project.deal is None or project.country_code is None:
        return "internal-training"
    return project_id(engagement_id(project.deal.ref), project.country_code)
