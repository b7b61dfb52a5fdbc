"""A project of an engagement: what the deal asks for, and which row stands for it where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pydantic import BaseModel, Field

from schemas.commands import UpsertProject
from schemas.identity import correlation_id, project_id, vendor_order
from schemas.landscape import Landscape, Role
from tables.foundation.facts import (
    CommandResult,
    CustomerDemand,
    CustomerStatus,
    LegalEntity,
    Opportunity,
    OpportunityLine,
    ProjectLink,
)
from tables.foundation.ledger import LedgerEntry
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
    )  # natural key → what became of the order of a project
    ledgers: dict[str, LedgerEntry] = Field(default_factory=dict)  # natural key → ledger
    kept: dict[str, str] = Field(
        default_factory=dict
    )  # natural key → id in the target of the project that dispatch keeps up
    entities: dict[str, str] = Field(
        default_factory=dict
    )  # canonical project id → legal entity it was ordered for, as `<ERP>:<id there>`
    asked: list[str] = Field(default_factory=list)  # canonical ids of projects asked for ever
    exceptions: dict[str, str] = Field(
        default_factory=dict
    )  # exception id → hash of the open exception of a project
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

    def system(self, landscape: Landscape) -> str:
        """Return the CRM that the deal comes from; of a deal that is gone, the first one."""
        system = self.opportunity.id.partition(":")[0] if self.opportunity else ""
        return system if landscape.plays(system, Role.CRM) else landscape.named_for(Role.CRM)

    @property
    def correlation_id(self) -> str | None:
        """Correlation id of the deal."""
        deal = self.opportunity
        return None if deal is None else deal.correlation_id or correlation_id(deal.id)

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


def wanted_projects(document: EngagementDocument, landscape: Landscape) -> dict[str, Wanted]:
    """Return the projects a handed-off engagement should have, by canonical id."""
    if not document.is_handed_off(landscape):
        return {}
    lines: dict[str, list[OpportunityLine]] = {}
    for line in document.lines.values():
        if line.country_code:
            lines.setdefault(line.country_code, []).append(line)
    projects = [
        Wanted(
            project_id=project_id(document.engagement_id, country),
            country_code=country,
            contract_value=sum((line.amount or Decimal(0) for line in of_country), Decimal(0)),
            service_lines=",".join(
                sorted({line.service_line for line in of_country if line.service_line})
            )
            or None,
        )
        for country, of_country in sorted(lines.items())
    ]
    return {project.project_id: project for project in projects}


LegalEntities = Mapping[str, Sequence[LegalEntity]]
"""The active legal entities of each country, the oldest first."""


class ProjectView:
    """One project of an engagement with the rows that belong to it.

    `held` is the row in each ERP, `opened` that in each PSA which takes projects. `biller` is the
    ERP of the project: the one its legal entity comes from, or while nobody knows that one, the one
    that holds it. `erp` is its row there.
    """

    def __init__(
        self,
        document: EngagementDocument,
        landscape: Landscape,
        identity: str,
        wanted: Wanted | None,
        legal_entities: LegalEntities,
    ) -> None:
        self.document = document
        self.landscape = landscape
        self.project_id = self.identity = identity
        self.origin_key = document.engagement_id
        self.wanted = wanted
        links = sorted(
            (link for link in document.links.values() if link.project_id == identity),
            key=lambda link: vendor_order(link.id),
        )
        self.has_several_billers = False
        self.held = {erp: self._standing([erp], links) for erp in landscape.erps}
        self.entity = self._legal_entity(legal_entities)
        self.biller = self._biller()
        self.erp = self.held[self.biller] if self.biller else None
        self.rm = self._standing(landscape.of(Role.RESOURCE), links)
        self.psa = self._standing(landscape.of(Role.PSA), links)
        self.opened = {psa: self._standing([psa], links) for psa in landscape.takers(Role.PSA)}

    def _standing(self, systems: Sequence[str], links: Sequence[ProjectLink]) -> ProjectLink | None:
        """Return the row that stands for the project in systems: the one dispatch keeps up.

        Otherwise the oldest, which is the one dispatch would find.
        """
        playing = [link for link in links if link.source_system in systems]
        kept = self.document.kept
        ours = (
            link for link in playing if kept.get(self.name_in(link.source_system)) == link.native_id
        )
        return next(ours, next(iter(playing), None))

    def name_in(self, system: str) -> str:
        """Return the natural key of the project in a system."""
        return f"{system}:project:{self.project_id}"

    def _legal_entity(self, of_country: LegalEntities) -> LegalEntity | None:
        """Return the legal entity that delivers: an ERP's choice while it is active there.

        Otherwise the one it was ordered for, and at first the oldest active one of the country:
        what is founded or activated later moves nothing. None at first where several ERPs have
        active ones: which of them bills is not guessed.
        """
        if self.wanted is None:
            return None
        active = of_country.get(self.wanted.country_code, ())
        ordered = self.document.entities.get(self.project_id, "")
        held = [
            f"{erp}:{row.legal_entity_id}"
            for erp, row in self.held.items()
            if row is not None and row.legal_entity_id is not None
        ]
        held.sort(key=lambda name: name != ordered)
        named = {self.name_of(each): each for each in reversed(active)}
        chosen = (named[name] for name in (*held, ordered) if name in named)
        self.has_several_billers = len({self._erp_of(each) for each in active}) > 1
        return next(chosen, active[0] if active and not self.has_several_billers else None)

    def name_of(self, entity: LegalEntity) -> str:
        """Return a legal entity as the document names it: `<ERP>:<id there>`."""
        return f"{self._erp_of(entity)}:{entity.native_id}"

    def _erp_of(self, entity: LegalEntity) -> str | None:
        return self.landscape.erp_of(entity.source_system)

    def _biller(self) -> str | None:
        """Return the ERP of the project; None while nobody can know it."""
        if len(self.held) == 1:
            return next(iter(self.held))
        if self.entity is not None:
            return self._erp_of(self.entity)
        ordered = self.document.entities.get(self.project_id, "").partition(":")[0]
        holders = [erp for erp, row in self.held.items() if row is not None]
        return ordered if ordered in holders else next(iter(holders), None)

    @property
    def is_ready_for_work(self) -> bool:
        """Whether the ERP that bills the project holds it, or the firm has none."""
        return self.erp is not None or not self.landscape.erps

    @property
    def unsettled(self) -> ProjectLink | None:
        """The row of an ERP in which no handed-off deal asks for the project, with money on it.

        What an ERP has shown may be booked on: only people take it back. One at a time, that of
        the ERP which the landscape names first. None where no CRM tells of deals.
        """
        if not self.landscape.of(Role.CRM):
            return None
        rows = (
            row
            for erp, row in self.held.items()
            if row is not None and row.contract_value != 0 and not self.is_asked_in(erp)
        )
        return next(rows, None)

    def is_asked_in(self, erp: str) -> bool:
        """Whether the engagement asks for the project, and asks it of this ERP."""
        return self.wanted is not None and self.biller == erp

    @property
    def name(self) -> str | None:
        """Name in every system: the deal's, with the country that delivers."""
        deal = self.document.opportunity
        if deal is None or self.wanted is None:
            return None
        return f"{deal.name} ({self.wanted.country_code})"

    @property
    def correlation_id(self) -> str | None:
        """Correlation id of the deal."""
        return self.document.correlation_id

    def as_sold(
        self, entity: LegalEntity | None = None, *, seen_id: str | None = None
    ) -> UpsertProject | None:
        """Return the project as it was sold; `entity` is who delivers, where the target knows it.

        `seen_id` is the id of the row that stands for it in the target. None: nobody asks for it.
        """
        deal = self.document.opportunity
        if self.wanted is None or deal is None:
            return None
        return UpsertProject(
            project_id=self.project_id,
            correlation_id=self.correlation_id,
            seen_id=seen_id,
            customer_id=deal.customer_id,
            name=self.name,
            legal_entity_id=entity.native_id if entity else None,
            currency=deal.currency,
            starts_on=deal.starts_on,
            billing_type=deal.billing_type,
            tax_code=entity.tax_code if entity else None,
            service_lines=self.wanted.service_lines,
            contract_value=self.wanted.contract_value,
        )


FIRST_TOLD: Final = (
    "needs_finance",
    "rejected",
    "waiting_legal_entity",
    "waiting_customer",
    "requested",
    "active",
    "withdrawn",
    "cancelled",
)
"""Statuses of projects: of several, the first that one has is that of the deal."""


class DealView:
    """A deal with what has become of its projects: canonical id → status."""

    def __init__(self, document: EngagementDocument, statuses: Mapping[str, str]) -> None:
        self.identity = self.origin_key = document.engagement_id
        self.correlation_id = document.correlation_id
        self._deal = document.opportunity
        self._statuses = statuses

    def in_crm(self, crm: str) -> Opportunity | None:
        """Return the deal, if it is in a CRM."""
        deal = self._deal
        return deal if deal is not None and deal.id.partition(":")[0] == crm else None

    @property
    def project_ids(self) -> str | None:
        """The projects that are in a system or are to be, by id."""
        there = sorted(each for each, status in self._statuses.items() if status != "cancelled")
        return ",".join(there) or None

    @property
    def delivery_status(self) -> str | None:
        """The status that is told of the deal; None: it has had no project yet."""
        return min(self._statuses.values(), key=FIRST_TOLD.index, default=None)
