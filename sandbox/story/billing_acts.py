"""Acts about time that is billed: a part of it, credited again, and changed after its invoice."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sandbox.books.rows import Row
from sandbox.story.psa import PsaProject, Time
from sandbox.story.world import World
from schemas.identity import engagement_id, project_id

PART: Final = Decimal("0.1")
"""Hours billed of each time record in a part invoice: less than the shortest entry has."""

BILLED_IN_PART: Final = 3
CREDITED: Final = 2
LONGER: Final = Time(Decimal("9.25"))
SHORTER: Final = Time(Decimal("0.08"), minutes=5)
"""More and less than any entry of the story has."""


def bill_in_part(world: World, country: str) -> Iterator[None]:
    """Finance bills a part of some time of a project, and leaves the rest for later."""
    ledger = world.ledger()
    project = _erp_id(_project(world, country))
    job = next(row for row in ledger.jobs if row["externalid"] == project)
    bills = sorted(row["externalid"] for row in ledger.time_bills if row["customer"] == job["id"])
    chosen = world.random.sample(bills, k=min(BILLED_IN_PART, len(bills)))
    world.erp_in(country).invoice(project, dict.fromkeys(chosen, PART))
    yield


def credit(world: World, country: str) -> Iterator[None]:
    """Finance credits some lines of a project's invoice."""
    lines = _invoiced(world, _project(world, country))
    if lines:
        chosen = world.random.sample(lines, k=min(CREDITED, len(lines)))
        lines_of = [line["id"] for line in chosen]
        world.erp_in(country).credit(chosen[0]["transaction"], lines_of)
        yield


def change_billed_time(world: World, country: str, other_country: str) -> Iterator[None]:
    """People correct time that is invoiced, and move some to another client's project."""
    lines = _invoiced(world, _project(world, country))
    changes: tuple[Time | PsaProject, ...] = (LONGER, SHORTER, _project(world, other_country))
    chosen = world.random.sample(lines, k=min(len(changes), len(lines)))
    for line, change in zip(chosen, changes, strict=False):
        entry = line["custcol_psa_time_entry"].removeprefix(f"{world.psa.entries_are}:")
        if isinstance(change, Time):
            world.psa.correct(entry, change)
        else:
            world.psa.move(entry, change)
        yield


def _invoiced(world: World, project: PsaProject) -> list[Row]:
    """Return the invoice lines of a project's time that no credit memo names, by time entry.

    Their own order is that in which the time came to the ERP.
    """
    ledger = world.ledger()
    kinds = {row["id"]: row["type"] for row in ledger.invoices}
    reference = f"{world.psa.system}:project:{project.id}"
    lines = [row for row in ledger.invoice_lines if row["custcol_psa_project"] == reference]
    credited = {
        line["custcol_psa_time_entry"] for line in lines if kinds[line["transaction"]] == "CustCred"
    }
    open_lines = [line for line in lines if line["custcol_psa_time_entry"] not in credited]
    return sorted(open_lines, key=lambda line: line["custcol_psa_time_entry"])


def _project(world: World, country: str) -> PsaProject:
    return next(each for each in world.cast.projects if each.country_code == country)


def _erp_id(project: PsaProject) -> str:
    assert project.deal is not None
    assert project.country_code is not None
    engagement = engagement_id(project.deal.ref)
    return project_id(engagement, project.country_code)
