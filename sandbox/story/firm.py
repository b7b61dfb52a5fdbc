"""The firm before the story begins: legal entities, people, customers and open deals."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sandbox.story.crm import Account, Deal, Offer, OfferLine
from sandbox.story.psa import Person
from sandbox.story.resource import Hire, Week
from sandbox.story.world import World

TAX_CODES: Final = {
    "DE": ("EUR", "DE-VAT-19"),
    "GB": ("GBP", "GB-VAT-20"),
    "US": ("USD", "US-SALES-0"),
    "FR": ("EUR", None),  # finance will set it in the story
    "PL": ("PLN", None),  # nobody does
}
"""Country → currency and tax code of the firm's legal entity there."""

ROLES: Final = ("Partner", "Engagement Manager", "Senior Consultant", "Consultant")
NAMES: Final = (
    ("Ada", "Adler"),
    ("Bruno", "Berg"),
    ("Chen", "Costa"),
    ("Dora", "Dahl"),
    ("Emil", "Evans"),
    ("Farah", "Frank"),
    ("Goran", "Gruber"),
    ("Hana", "Horvat"),
    ("Iris", "Ito"),
    ("Jonas", "Jansen"),
    ("Kira", "Kaya"),
    ("Liam", "Lind"),
)
PART_TIME: Final[Week] = (6, 6, 6, 6, 0, 0, 0)
FULL_TIME: Final[Week] = (8, 8, 8, 8, 8, 0, 0)
HALF_WEEK: Final[Week] = (8, 8, 4, 0, 0, 0, 0)
BENCH_FROM: Final = "2026-09-01"
BENCH: Final = (
    Hire("Mira", "Moreau", BENCH_FROM, FULL_TIME),
    Hire("Nils", "Nowak", BENCH_FROM, None),
)
"""Nobody books an hour for them, nor for the seat that is open."""
SEAT: Final = "Consultant (open)"
REGIONS: Final = (1, 2)
PSA_COST_MORE: Final = Decimal("0.1250")
"""What an hour costs in the PSA above what it costs in the resource tool."""

SERVICE_LINES: Final = ("Advisory", "Data Platform", "ERP Rollout", "Managed Services")

CUSTOMERS: Final = {
    "Nordlicht Energie": ("DE", "EUR", "DE811234567"),
    "Helio Retail": ("US", "USD", "US-45-1234567"),
    "Baltyk Logistyka": ("PL", "PLN", "PL5261040828"),
    "Albion Insurance": ("GB", "GBP", "GB123456789"),
}
"""Name → country, currency, tax number."""

BIG_DEAL: Final = "Nordlicht grid transformation"
SMALL_DEAL: Final = "Helio data platform"
STUCK_DEAL: Final = "Baltyk routing study"
LOST_DEAL: Final = "Albion claims automation"
FIXED_DEAL: Final = "Nordlicht control room"
DEALS: Final = {
    BIG_DEAL: ("Nordlicht Energie", "negotiating", 75, ("DE", "DE", "GB", "FR")),
    SMALL_DEAL: ("Helio Retail", "proposed", 50, ("US", "US")),
    STUCK_DEAL: ("Baltyk Logistyka", "proposed", 60, ("PL",)),
    FIXED_DEAL: ("Nordlicht Energie", "negotiating", 90, ("DE",)),
    LOST_DEAL: ("Albion Insurance", "negotiating", 80, ("GB", "DE")),
    "Albion actuarial portal": ("Albion Insurance", "qualified", 20, ("GB",)),
    "Nordlicht metering pilot": ("Nordlicht Energie", "prospect", 10, ()),
}
"""Name → customer, stage, probability in percent, delivery country of each line."""
BILLED: Final = {FIXED_DEAL: "fixed_fee"}
"""Billing type of deals that are not billed by the hour."""


def set_up(world: World) -> Iterator[None]:
    """Create the firm in the vendors' systems."""
    yield from _legal_entities(world)
    yield from _people(world)
    for name, (country, currency, tax_number) in CUSTOMERS.items():
        account = Account(name, country, currency, tax_number)
        world.cast.accounts[name] = world.crm.open_account(account)
        yield
    for name in DEALS:
        yield from _deal(world, name)


def _legal_entities(world: World) -> Iterator[None]:
    for country, (currency, tax_code) in TAX_CODES.items():
        entity_id = world.erp_in(country).found(country, currency, tax_code)
        world.cast.subsidiaries[country] = entity_id
        yield


def _people(world: World) -> Iterator[None]:
    tool = world.resource_tool
    tool.prepare()
    for role in ROLES:
        tool.add_role(role)
    yield
    for number, (first, last) in enumerate(NAMES):
        cost_rate = world.random.randrange(45, 110)
        bill_rate = cost_rate + world.random.randrange(40, 120)
        email = f"{first}.{last}@psastream.example".lower()
        hire = Hire(
            first_name=first,
            last_name=last,
            # People and systems spell addresses as they like.
            email=email.title() if number % 3 == 0 else email,
            role=ROLES[number % len(ROLES)],
            cost_rate=Decimal(cost_rate),
            bill_rate=Decimal(bill_rate) + Decimal("0.50"),
            week=PART_TIME if number % 4 == 3 else FULL_TIME,
            starts_on="2026-09-16" if number == 0 else "2024-01-01",
            ends_on="2026-10-09" if number == 5 else None,
            region=REGIONS[number % len(REGIONS)],
        )
        person = Person(
            id=tool.hire(hire),
            first_name=first,
            last_name=last,
            email=email,
            bill_rate=Decimal(bill_rate),
            cost_rate=Decimal(cost_rate) + PSA_COST_MORE,
        )
        world.psa.hire(person)
        world.cast.people.append(person)
        yield
    for hire in BENCH:
        tool.hire(hire)
        yield
    tool.add_seat(SEAT, BENCH_FROM)
    yield
    tool.keep_holiday("Harvest Day", "2026-09-21", REGIONS[0])
    yield
    tool.keep_holiday("Firm outing", "2026-10-02")
    yield


def _deal(world: World, name: str) -> Iterator[None]:
    customer, stage, probability, countries = DEALS[name]
    currency = CUSTOMERS[customer][1]
    account = world.cast.accounts[customer]
    deal_id = world.crm.open_deal(
        Offer(
            account_id=account,
            name=name,
            stage=stage,
            percent=probability,
            amount=25_000 if not countries else None,
            currency=currency,
            closes_on="2026-08-31",
            starts_on="2026-09-07",
            billing_type=BILLED.get(name, "time_and_materials"),
        )
    )
    deal = Deal(deal_id, f"{world.crm.deals_are}:{deal_id}", account, name, currency)
    world.cast.deals[name] = deal
    yield
    service_lines = world.random.sample(SERVICE_LINES, k=len(countries))
    for country, service_line in zip(countries, service_lines, strict=True):
        line = OfferLine(
            deal_id=deal.id,
            quantity=world.random.randrange(20, 90),
            unit_price=Decimal(world.random.randrange(70_000, 180_000)) / 100,
            service_line=service_line,
            country_code=country,
        )
        deal.lines.setdefault(country, []).append(world.crm.add_line(line))
        yield
