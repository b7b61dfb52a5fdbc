"""A project of an engagement: what the deal asks for, and which row stands for it where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic import BaseModel, Field

from schemas.commands import CommandContent
from schemas.identity import correlation_id, project_id, vendor_order
from schemas.landscape import Landscape, Role
from tables.effects import Outbox
from tables.facts import (
    CommandResult,
    CustomerDemand,
    CustomerStatus,
    LegalEntity,
    Opportunity,
    OpportunityLine,
    ProjectLink,
)
from tables.hours import MONEY
from tables.ledger import (
    GONE,
    LedgerEntry,
    Order,
    content_hash,
    decide,
    fields_of,
    send,
    send_withdrawal,
    withdraw,
)
from tables.measures.pipeline import Contribution


class EngagementDocument(BaseModel):
    """State of one engagement."""

    engagement_id: str
    opportunity: Opportunity | None = None
    lines: dict[str, OpportunityLine] = Field(default_factory=dict)
    answers: dict[str, CustomerStatus] = Field(default_factory=dict)  # by customer
    links: dict[str, ProjectLink] = Field(default_factory=dict)  # source project id → link
    results: dict[str, CommandResult] = Field(
        default_factory=dict
    )  # canonical project id → what became of its order
    ledgers: dict[str, LedgerEntry] = Field(default_factory=dict)  # natural key → ledger
    kept: dict[str, str] = Field(
        default_factory=dict
    )  # natural key → id in the target of the project that dispatch keeps up
    entities: dict[str, str] = Field(
        default_factory=dict
    )  # canonical project id → legal entity it was ordered for
    asked: list[str] = Field(default_factory=list)  # canonical ids of projects asked for ever
    exceptions: dict[str, str] = Field(
        default_factory=dict
    )  # canonical project id → hash of the open exception
    unshown: dict[str, str] = Field(
        default_factory=dict
    )  # natural key → hash of the open exception
    demand: CustomerDemand | None = None  # as last published
    told: dict[str, str] = Field(
        default_factory=dict
    )  # source project id and canonical one → hash of the context last published
    published: dict[str, str] = Field(
        default_factory=dict
    )  # canonical project id → hash of the row last published
    contribution: Contribution | None = None  # to the pipeline, as last counted

    @property
    def customer(self) -> CustomerStatus | None:
        """How far the customer is that the deal names."""
        return self.answers.get(self.demand.customer_id) if self.demand else None

    def is_handed_off(self, landscape: Landscape) -> bool:
        """Whether sales has handed the deal over to delivery."""
        return self.opportunity is not None and landscape.firm.has_handed_off(
            self.opportunity.stage
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A project the engagement should have."""

    project_id: str
    country_code: str
    contract_value: Decimal
    service_lines: str | None


def wanted_countries(document: EngagementDocument, landscape: Landscape) -> dict[str, Wanted]:
    """Return the projects a handed-off engagement should have, by country."""
    if not document.is_handed_off(landscape):
        return {}
    lines: dict[str, list[OpportunityLine]] = {}
    for line in document.lines.values():
        if line.country_code:
            lines.setdefault(line.country_code, []).append(line)
    return {
        country: Wanted(
            project_id=project_id(document.engagement_id, country),
            country_code=country,
            contract_value=sum((line.amount or Decimal(0) for line in of_country), Decimal(0)),
            service_lines=",".join(
                sorted({line.service_line for line in of_country if line.service_line})
            )
            or None,
        )
        for country, of_country in sorted(lines.items())
    }


class ProjectView:
    """One project of an engagement with the rows that belong to it."""

    def __init__(
        self,
        document: EngagementDocument,
        landscape: Landscape,
        identity: str,
        wanted: Wanted | None,
    ) -> None:
        self.document = document
        self.landscape = landscape
        self.project_id = identity
        self.wanted = wanted
        links = sorted(
            (link for link in document.links.values() if link.project_id == identity),
            key=lambda link: vendor_order(link.id),
        )
        self.erp = self._standing(Role.ERP, links)
        self.rm = self._standing(Role.RESOURCE, links)
        self.psa = self._standing(Role.PSA, links)

    def _standing(self, role: Role, links: Sequence[ProjectLink]) -> ProjectLink | None:
        """Return the row that stands for the project in a role: the one dispatch keeps up.

        Otherwise the oldest, which is the one dispatch would find.
        """
        playing = [link for link in links if self.landscape.plays(link.source_system, role)]
        kept = self.document.kept
        ours = (
            link for link in playing if kept.get(self.name_in(link.source_system)) == link.native_id
        )
        return next(ours, next(iter(playing), None))

    def name_in(self, system: str) -> str:
        """Return the natural key of the project in a system."""
        return f"{system}:project:{self.project_id}"

    def legal_entity(self, of_country: Mapping[str, Sequence[LegalEntity]]) -> LegalEntity | None:
        """Return the legal entity that delivers: the ERP's choice while it is active there.

        Otherwise the one it was ordered for, and at first the oldest active one of the country:
        what is founded or activated later moves nothing.
        """
        if self.wanted is None:
            return None
        active = of_country.get(self.wanted.country_code, ())
        held = self.erp.legal_entity_id if self.erp else None
        ordered = self.document.entities.get(self.project_id)
        chosen = (each for native in (held, ordered) for each in active if each.native_id == native)
        return next(chosen, next(iter(active), None))

    @property
    def is_unsettled(self) -> bool:
        """Whether the ERP holds a project that no handed-off deal asks for, with money on it.

        What the ERP has shown may be booked on: only people take it back.
        """
        return self.wanted is None and self.erp is not None and self.erp.contract_value != 0

    @property
    def name(self) -> str | None:
        """Name in every system: the deal's, with the country that delivers."""
        deal = self.document.opportunity
        if deal is None or self.wanted is None:
            return None
        return f"{deal.name} ({self.wanted.country_code})"

    def order(self, role: Role, kind: str, noun: str, amount: Decimal | None = None) -> Order:
        """Return who is asked for what."""
        deal, target = self.document.opportunity, self.landscape.only(role)
        return Order(
            target=target,
            kind=kind,
            natural_key=f"{target}:{noun}:{self.project_id}",
            origin_key=self.document.engagement_id,
            correlation_id=self.correlation_id,
            amount=None if amount is None else amount.quantize(MONEY),
            currency=None if amount is None or deal is None else deal.currency,
        )

    @property
    def correlation_id(self) -> str | None:
        """Correlation id of the deal."""
        deal = self.document.opportunity
        return None if deal is None else deal.correlation_id or correlation_id(deal.id)

    def decide(
        self,
        outbox: Outbox,
        order: Order,
        wanted: CommandContent | None,
        held: ProjectLink | None,
        kept_equal: Sequence[str],
        *,
        timestamp_ms: int,
    ) -> bool:
        """Send the command if what is wanted is neither there nor ordered; return whether it is.

        `kept_equal` names the fields that are compared: none of a command that deletes.
        """
        known = self.document.ledgers.get(order.natural_key)
        if known is None and (wanted is None or not kept_equal):
            return False
        wish = None
        if wanted is not None:
            wish = content_hash(fields_of(wanted, kept_equal)) if kept_equal else GONE
        entry, is_due = decide(
            known or LedgerEntry(),
            wish,
            "" if held is None else content_hash(fields_of(held, kept_equal)),
            timestamp_ms,
        )
        is_open = False
        if wanted is None:
            entry, is_open = withdraw(entry, timestamp_ms)
        self.document.ledgers[order.natural_key] = entry
        if is_open:
            send_withdrawal(outbox, order, revision=entry.revision, timestamp_ms=timestamp_ms)
        if not is_due or wanted is None:
            return False
        send(outbox, order, wanted, revision=entry.revision, timestamp_ms=timestamp_ms)
        return True
