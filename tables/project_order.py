"""Which projects an engagement should have, what is ordered for them, and their status rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pydantic import BaseModel, Field

from schemas.identity import correlation_id, project_id, vendor_order
from tables.effects import Outbox, instant
from tables.facts import (
    CommandResult,
    CustomerDemand,
    CustomerStatus,
    LegalEntity,
    Opportunity,
    OpportunityLine,
    ProjectLink,
)
from tables.ledger import (
    LedgerEntry,
    Order,
    Payload,
    content_hash,
    decide,
    forget,
    send,
    send_withdrawal,
    withdraw,
)
from tables.pipeline import MONEY, Contribution

HANDED_OFF_STAGE: Final = "won"
TABLE_TOPIC: Final = "psa.status.project"


class EngagementDocument(BaseModel):
    """State of one engagement."""

    engagement_id: str
    opportunity: Opportunity | None = None
    lines: dict[str, OpportunityLine] = Field(default_factory=dict)
    customer: CustomerStatus | None = None
    links: dict[str, ProjectLink] = Field(default_factory=dict)  # source project id → link
    results: dict[str, CommandResult] = Field(
        default_factory=dict
    )  # canonical project id → what became of its order
    ledgers: dict[str, LedgerEntry] = Field(default_factory=dict)  # natural key → ledger
    demand: CustomerDemand | None = None  # as last published
    told: dict[str, str] = Field(
        default_factory=dict
    )  # source project id and canonical one → hash of the context last published
    published: dict[str, str] = Field(
        default_factory=dict
    )  # canonical project id → hash of the row last published
    contribution: Contribution | None = None  # to the pipeline, as last counted

    @property
    def is_handed_off(self) -> bool:
        """Whether sales has handed the deal over to delivery."""
        return self.opportunity is not None and self.opportunity.stage == HANDED_OFF_STAGE


@dataclass(frozen=True, slots=True)
class Wanted:
    """A project the engagement should have."""

    project_id: str
    country_code: str
    contract_value: Decimal
    service_lines: str | None


def wanted_countries(document: EngagementDocument) -> dict[str, Wanted]:
    """Return the projects a handed-off engagement should have, by country."""
    if not document.is_handed_off:
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


def settle_projects(
    document: EngagementDocument,
    legal_entities: Mapping[str, Sequence[LegalEntity]],
    outbox: Outbox,
    timestamp_ms: int,
) -> None:
    """Order what the systems lack, and publish the status of every project."""
    wanted = {project.project_id: project for project in wanted_countries(document).values()}
    linked = {link.project_id for link in document.links.values() if link.project_id}
    for identity in sorted(wanted.keys() | linked | document.published.keys()):
        view = ProjectView(document, identity, wanted.get(identity))
        entity = view.legal_entity(legal_entities)
        _order_erp_project(view, entity, outbox, timestamp_ms)
        _order_rm_project(view, outbox, timestamp_ms)
        _order_budget(view, outbox, timestamp_ms)
        _publish(view, entity, outbox, timestamp_ms)


class ProjectView:
    """One project of an engagement with the rows that belong to it."""

    def __init__(self, document: EngagementDocument, identity: str, wanted: Wanted | None) -> None:
        self.document = document
        self.project_id = identity
        self.wanted = wanted
        links = sorted(
            (link for link in document.links.values() if link.project_id == identity),
            key=lambda link: vendor_order(link.id),
        )
        self.erp = next((link for link in links if link.is_erp), None)
        self.rm = next((link for link in links if link.is_rm), None)
        self.psa = next((link for link in links if link.is_psa), None)

    def legal_entity(self, of_country: Mapping[str, Sequence[LegalEntity]]) -> LegalEntity | None:
        """Return the legal entity that delivers: the ERP's choice while it is active there.

        Otherwise the oldest active one of the country, so that one founded later moves nothing.
        """
        if self.wanted is None:
            return None
        active = of_country.get(self.wanted.country_code, ())
        held = self.erp.legal_entity_id if self.erp else None
        return next((each for each in active if each.native_id == held), next(iter(active), None))

    @property
    def name(self) -> str | None:
        """Name in every system: the deal's, with the country that delivers."""
        deal = self.document.opportunity
        if deal is None or self.wanted is None:
            return None
        return f"{deal.name} ({self.wanted.country_code})"

    def order(self, target: str, kind: str, noun: str, amount: Decimal | None = None) -> Order:
        """Return who is asked for what."""
        deal = self.document.opportunity
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
        desired: Payload | None,
        observed: Payload | None,
        timestamp_ms: int,
    ) -> None:
        """Send the command if what is desired is neither there nor ordered."""
        known = self.document.ledgers.get(order.natural_key)
        if known is None and desired is None:
            return
        entry, is_due = decide(
            known or LedgerEntry(),
            None if desired is None else content_hash(desired),
            "" if observed is None else content_hash(observed),
            timestamp_ms,
        )
        is_open = False
        if desired is None:
            entry, is_open = withdraw(entry)
        self.document.ledgers[order.natural_key] = entry
        if is_open:
            send_withdrawal(outbox, order.target, order.natural_key)
        if is_due and desired is not None:
            identity = {"project_id": self.project_id, "correlation_id": order.correlation_id}
            # The resource tool is searched by a code that people type: the table has found it.
            is_seen = order.target == "float" and self.rm is not None
            seen = {"seen_id": self.rm.native_id} if is_seen and self.rm else {}
            send(
                outbox,
                order,
                {**desired, **identity, **seen},
                revision=entry.revision,
                timestamp_ms=timestamp_ms,
            )


def _order_erp_project(
    view: ProjectView, entity: LegalEntity | None, outbox: Outbox, timestamp_ms: int
) -> None:
    deal, customer = view.document.opportunity, view.document.customer
    desired: Payload | None = None
    is_possible = customer is not None and customer.is_in_erp and entity is not None
    if is_possible and view.wanted and deal and customer and entity:
        desired = {
            "customer_id": customer.customer_id,
            "name": view.name,
            "legal_entity_id": entity.native_id,
            "currency": deal.currency,
            "starts_on": deal.starts_on,
            "billing_type": deal.billing_type,
            "tax_code": entity.tax_code,
            "service_lines": view.wanted.service_lines,
            "contract_value": view.wanted.contract_value,
        }
    observed: Payload | None = None
    if view.erp is not None:
        observed = {
            "customer_id": view.erp.customer_id,
            "name": view.erp.name,
            "legal_entity_id": view.erp.legal_entity_id,
            "currency": view.erp.currency,
            "starts_on": view.erp.starts_on,
            "billing_type": view.erp.billing_type,
            "tax_code": view.erp.tax_code,
            "service_lines": view.erp.service_lines,
            "contract_value": view.erp.contract_value,
        }
    amount = view.wanted.contract_value if view.wanted else None
    order = view.order("netsuite", "upsert_project", "project", amount)
    view.decide(outbox, order, desired, observed, timestamp_ms)


def _order_rm_project(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> None:
    deal = view.document.opportunity
    desired: Payload | None = None
    if view.wanted and deal and view.erp is not None:
        desired = {"name": view.name, "starts_on": deal.starts_on}
    observed: Payload | None = None
    if view.rm is not None:
        observed = {"name": view.rm.name, "starts_on": view.rm.starts_on}
    order = view.order("float", "upsert_project", "project")
    view.decide(outbox, order, desired, observed, timestamp_ms)


def _order_budget(view: ProjectView, outbox: Outbox, timestamp_ms: int) -> None:
    """The budget follows the approved assignments, once there have been any."""
    desired: Payload | None = None
    if view.erp and view.rm and view.rm.assigned_hours is not None:
        desired = {
            "budget_hours": view.rm.assigned_hours,
            "budget_cost": view.rm.assigned_cost,
            "budget_revenue": view.rm.assigned_revenue,
            "budget_currency": view.rm.assigned_currency,
        }
    observed: Payload | None = None
    if view.erp is not None and view.erp.budget_hours is not None:
        observed = {
            "budget_hours": view.erp.budget_hours,
            "budget_cost": view.erp.budget_cost,
            "budget_revenue": view.erp.budget_revenue,
            "budget_currency": view.erp.budget_currency,
        }
    order = view.order("netsuite", "update_project_budget", "project_budget")
    if view.erp is None:
        # The budget lives in the ERP's project row: one made anew starts without it.
        known = view.document.ledgers.get(order.natural_key)
        if known is not None:
            _, is_open = withdraw(known)
            if is_open:
                send_withdrawal(outbox, order.target, order.natural_key)
            view.document.ledgers[order.natural_key] = forget(known)
        return
    view.decide(outbox, order, desired, observed, timestamp_ms)


def _status(view: ProjectView, entity: LegalEntity | None) -> tuple[str, str | None]:
    """Return the status of a project and why it waits."""
    customer = view.document.customer
    result = view.document.results.get(view.project_id)
    entry = view.document.ledgers.get(f"netsuite:project:{view.project_id}")
    if view.wanted is None:
        return "withdrawn", "the deal no longer asks for it"
    if view.erp is not None:
        return "active", None
    if customer is None or not customer.is_in_erp:
        return "waiting_customer", "the ERP does not hold the customer yet"
    if entity is None:
        return "waiting_legal_entity", f"no active legal entity in {view.wanted.country_code}"
    if result and entry and result.status == "rejected" and result.revision == entry.revision:
        return "rejected", result.error_detail
    return "requested", None


def _publish(
    view: ProjectView, entity: LegalEntity | None, outbox: Outbox, timestamp_ms: int
) -> None:
    document = view.document
    is_known = view.wanted is not None or view.erp or view.rm or view.psa
    if not is_known:
        if document.published.pop(view.project_id, None):
            outbox.add(TABLE_TOPIC, view.project_id, None)
        return
    status, reason = _status(view, entity)
    deal, rm = document.opportunity, view.rm
    row: Payload = {
        "project_id": view.project_id,
        "engagement_id": document.engagement_id,
        "customer_id": deal.customer_id if deal else None,
        "country_code": view.project_id.rpartition("-")[2].upper(),
        "name": view.name,
        "status": status,
        "reason": reason,
        "erp_ref": view.erp.id if view.erp else None,
        "rm_ref": view.rm.id if view.rm else None,
        "psa_ref": view.psa.id if view.psa else None,
        "currency": deal.currency if deal else None,
        "contract_value": view.wanted.contract_value if view.wanted else None,
        "budget_hours": rm.assigned_hours if rm else None,
        "budget_cost": rm.assigned_cost if rm else None,
        "budget_revenue": rm.assigned_revenue if rm else None,
        "budget_currency": rm.assigned_currency if rm else None,
    }
    published = content_hash(row)
    if published != document.published.get(view.project_id):
        document.published[view.project_id] = published
        outbox.add(TABLE_TOPIC, view.project_id, {**row, "as_of": instant(timestamp_ms)})
