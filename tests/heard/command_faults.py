"""Faults of the systems that are written to, and of what they are to be told."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sandbox.story.crm import Offer, OfferLine
from tests.support.heard import Watched, fault

WRITTEN: Final = ("worker", "dispatcher", "poller", "vendors", "registry")


@fault(
    "PsastreamCommandsRejected",
    "PsastreamMoneyBlocked",
    done="a deal is won, and the legal entity of its project lacks its tax code in the ERP",
    mended="finance sets it",
    labels={"system": "netsuite"},
    breaks=["netsuite orders"],
    needs=[*WRITTEN, "salesforce"],
    faster=120,
)
def tax_code_is_missing(it: Watched) -> Iterator[None]:
    world = it.system.world
    entity = world.cast.subsidiaries["PL"]
    it.system.admin.update("netsuite", "subsidiary", entity, {"custrecord_psa_tax_code": None})
    deal = world.crm.open_deal(
        Offer(
            account_id=world.cast.accounts["Baltyk Logistyka"],
            name="Baltyk depot",
            stage="negotiating",
            percent=90,
            amount=None,
            currency="PLN",
            closes_on="2026-08-31",
            starts_on="2026-09-07",
            billing_type="time_and_materials",
        )
    )
    world.crm.add_line(OfferLine(deal, 20, Decimal(900), "Advisory", "PL"))
    world.crm.move_deal(deal, "won", 100)
    yield
    world.erp_in("PL").complete(entity, "PL-VAT-23")
