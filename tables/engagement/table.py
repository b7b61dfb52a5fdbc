"""Engagement table: a deal, its lines, its customer and the projects it makes.

Keyed by engagement id. One deal makes one project for each country that delivers. A project is
ordered from the ERP once the deal is handed off and its customer and legal entity are there, and
from the resource tool and the PSA that takes projects once the ERP holds it (`tables.flows`). What
becomes of them is told to the CRM that takes it.
"""

from __future__ import annotations

from typing import Final

from schemas.errors import InvalidEntityError
from schemas.identity import engagement_of, vendor_order
from schemas.landscape import Landscape, Role
from tables.engagement import status
from tables.engagement.unshown import CARRIED_OUT, UnshownOrders, tell_unshown
from tables.engagement.view import (
    DealView,
    EngagementDocument,
    LegalEntities,
    ProjectView,
    wanted_projects,
)
from tables.flows.deal_status import DEAL_STATUS
from tables.flows.erp_project import ERP_PROJECT
from tables.flows.flow import Orders
from tables.flows.opened_project import OPENED_PROJECT
from tables.flows.project_budget import PROJECT_BUDGET
from tables.flows.staffed_project import STAFFED_PROJECT
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import (
    CommandResult,
    CustomerDemand,
    CustomerStatus,
    LegalEntity,
    Opportunity,
    OpportunityLine,
    ProjectContext,
    ProjectLink,
)
from tables.foundation.ledger import LedgerEntry, lose
from tables.foundation.owners import move
from tables.foundation.told import tell_all
from tables.measures.pipeline import Deals, contribution
from tables.project.contract import agreed

DEMAND_TOPIC: Final = "psa.internal.customer_demand"
CONTEXT_TOPIC: Final = "psa.internal.project_context"
PROJECT_KINDS: Final = frozenset(each.kind for each in ERP_PROJECT.contents)
SHOWN_KINDS: Final = frozenset(
    each.upsert.kind for each in (ERP_PROJECT, PROJECT_BUDGET, DEAL_STATUS)
)
"""Kinds of commands whose effect a row of a project or of a deal shows."""


class EngagementTable:
    """The engagement table over the documents of one partition, for one chunk."""

    def __init__(
        self, documents: Documents, outbox: Outbox, partition: int, landscape: Landscape
    ) -> None:
        self._documents = documents
        self._outbox = outbox
        self._deals = Deals(documents)
        self._source = f"engagement-{partition}"
        self._landscape = landscape
        self._entities: dict[str, list[LegalEntity]] | None = None  # as they are now
        self._have_entities_changed = False
        self._unshown = UnshownOrders(documents)

    def settle(self, timestamp_ms: int) -> None:
        """Order anew what was lost, derive every engagement again if the chunk changed legal
        entities, and publish what deals add up to; call once, last.

        There may be thousands, and a chunk may hold every legal entity of a firm.
        """
        for natural_key, revision in self._unshown.take_overdue():
            document = self._load(_engagement_of(natural_key))
            entry = document.ledgers.get(natural_key)
            if entry is not None and (lost := lose(entry, revision)) != entry:
                document.ledgers[natural_key] = lost
                self._settle(document, timestamp_ms)
        if self._have_entities_changed:
            for name in self._documents.keys("e:"):
                self._settle(self._load(name.removeprefix("e:")), timestamp_ms)
        self._deals.publish(self._outbox, self._source)

    def apply_opportunity(self, key: str, fact: Opportunity | None, timestamp_ms: int) -> None:
        """Take in a deal, or its deletion."""
        self._unshown.shown(key, timestamp_ms)
        for document, owned in self._documents_of(key, fact.engagement_id if fact else None):
            document.opportunity = fact if owned else None
            self._settle(document, timestamp_ms)

    def apply_line(self, key: str, fact: OpportunityLine | None, timestamp_ms: int) -> None:
        """Take in a line of a deal, or its deletion."""
        for document, owned in self._documents_of(key, fact.engagement_id if fact else None):
            document.lines.pop(key, None)
            if fact is not None and owned:
                document.lines[key] = fact
            self._settle(document, timestamp_ms)

    def apply_link(self, key: str, fact: ProjectLink | None, timestamp_ms: int) -> None:
        """Take in what a source project is and plans, or that it is no longer linked here.

        Raises UnknownSystemError.
        """
        if fact is not None:
            self._landscape.role_of(fact.source_system)
        self._unshown.shown(key, timestamp_ms)
        for document, owned in self._documents_of(key, fact.engagement_id if fact else None):
            document.links.pop(key, None)
            if fact is not None and owned:
                document.links[key] = fact
            self._settle(document, timestamp_ms)

    def apply_customer_status(
        self, key: str, fact: CustomerStatus | None, timestamp_ms: int
    ) -> None:
        """Take in how far a customer of an engagement is; the key names both, engagement first.

        Answers of others are kept: a rebuild may read one before the deal that asks for it.
        """
        engagement_id, _, customer_id = key.partition("|")
        document = self._load(engagement_id)
        document.answers.pop(customer_id, None)
        if fact is not None:
            document.answers[customer_id] = fact
        self._settle(document, timestamp_ms)

    def apply_legal_entity(self, key: str, fact: LegalEntity | None, _: int) -> None:
        """Take in a legal entity; every engagement of the partition is derived again.

        Raises UnknownSystemError, and InvalidEntityError of one that none of several ERPs has.
        """
        if fact is not None and self._landscape.erp_of(fact.source_system) is None:
            self._landscape.role_of(fact.source_system or "")
            raise InvalidEntityError(
                "a legal entity is of a system that is no ERP: nobody knows which of them bills",
                hint="map legal entities of ERPs only, or make the system one in landscape.yaml",
                context={"system": fact.source_system},
            )
        if fact is None:
            self._documents.delete(f"l:{key}")
        else:
            self._documents.put(f"l:{key}", fact)
        self._entities, self._have_entities_changed = None, True

    def apply_result(self, key: str, fact: CommandResult | None, timestamp_ms: int) -> None:
        """Take in what became of a project command; results of other kinds change nothing."""
        if fact is None:
            return
        if fact.kind in SHOWN_KINDS and fact.status in CARRIED_OUT:
            entry = self._load(_engagement_of(key)).ledgers.get(key, LedgerEntry())
            self._unshown.carried_out(key, fact.revision, timestamp_ms, losses=entry.losses)
        if fact.kind not in PROJECT_KINDS:
            return
        document = self._load(_engagement_of(key))
        is_erp = self._landscape.plays(key.partition(":")[0], Role.ERP)
        if is_erp and fact.kind == ERP_PROJECT.upsert.kind:
            document.results[key] = fact
        document.kept.pop(key, None)
        if fact.target_id is not None:
            document.kept[key] = fact.target_id
        self._settle(document, timestamp_ms)

    def _documents_of(
        self, key: str, engagement_id: str | None
    ) -> list[tuple[EngagementDocument, bool]]:
        """Return the documents a source row touches: the former owner's and the owner's.

        The flag says whether the row belongs to the document now.
        """
        touched = move(self._documents, f"k:{key}", engagement_id)
        return [(self._load(each), each == engagement_id) for each in touched]

    def _load(self, engagement_id: str) -> EngagementDocument:
        stored = self._documents.get(EngagementDocument, f"e:{engagement_id}")
        return stored or EngagementDocument(engagement_id=engagement_id)

    def _settle(self, document: EngagementDocument, timestamp_ms: int) -> None:
        """Derive everything an engagement publishes, and store it."""
        legal_entities = self._legal_entities(document)
        self._demand(document, legal_entities)
        self._settle_projects(document, legal_entities, timestamp_ms)
        tell_unshown(
            document.ledgers,
            document.unshown,
            document.system(self._landscape),
            self._outbox,
            timestamp_ms,
        )
        self._tell(document, legal_entities)
        contributed = contribution(document.opportunity)
        self._deals.replace(document.contribution, contributed)
        document.contribution = contributed
        nothing = EngagementDocument(engagement_id=document.engagement_id)
        self._documents.keep(f"e:{document.engagement_id}", document, nothing)

    def _settle_projects(
        self, document: EngagementDocument, legal_entities: LegalEntities, timestamp_ms: int
    ) -> None:
        """Order what the systems lack, and publish the status of every project and of the deal."""
        wanted = wanted_projects(document, self._landscape)
        linked = {link.project_id for link in document.links.values() if link.project_id}
        document.asked = sorted({*document.asked, *wanted})
        statuses: dict[str, str] = {}
        for identity in sorted({*document.asked, *linked, *document.published}):
            view = ProjectView(
                document, self._landscape, identity, wanted.get(identity), legal_entities
            )
            self._order(view, timestamp_ms)
            status.tell_finance(view, self._outbox, timestamp_ms)
            status.tell_unclear_entity(view, self._outbox, timestamp_ms)
            if (told := status.publish(view, self._outbox, timestamp_ms)) is not None:
                statuses[identity] = told
        orders = Orders(document.ledgers, self._outbox, timestamp_ms)
        for crm in self._landscape.takers(DEAL_STATUS.role):
            orders.keep(DEAL_STATUS, DealView(document, statuses), crm)

    def _order(self, view: ProjectView, timestamp_ms: int) -> None:
        orders = Orders(view.document.ledgers, self._outbox, timestamp_ms)
        entities = view.document.entities
        for erp in view.held:
            ordered = orders.keep(ERP_PROJECT, view, erp)
            if ERP_PROJECT.deletes(ordered):
                if entities.get(view.project_id, "").startswith(f"{erp}:"):
                    del entities[view.project_id]
            elif ordered is not None and view.entity is not None:
                entities[view.project_id] = view.name_of(view.entity)
        for tool in self._landscape.of(STAFFED_PROJECT.role):
            orders.keep(STAFFED_PROJECT, view, tool)
        for psa in view.opened:
            orders.keep(OPENED_PROJECT, view, psa)
        for erp in view.held:
            orders.keep(PROJECT_BUDGET, view, erp)

    def _legal_entities(self, document: EngagementDocument) -> LegalEntities:
        """Return the active legal entities of each country that an ERP bills for."""
        if not wanted_projects(document, self._landscape):
            return {}
        if self._entities is not None:
            return self._entities
        found = (self._documents.get(LegalEntity, key) for key in self._documents.keys("l:"))
        active = [each for each in found if each and each.is_active and self._is_billed_for(each)]
        entities: dict[str, list[LegalEntity]] = {}
        for entity in sorted(active, key=lambda entity: vendor_order(entity.id)):
            if entity.country_code:
                entities.setdefault(entity.country_code, []).append(entity)
        self._entities = entities
        return entities

    def _is_billed_for(self, entity: LegalEntity) -> bool:
        erp = self._landscape.erp_of(entity.source_system)
        return erp is not None and self._landscape.bills_for(erp, entity.native_id)

    def _demand(self, document: EngagementDocument, legal_entities: LegalEntities) -> None:
        """Tell the customer table which customer is needed; take it back from a former one."""
        deal = document.opportunity
        demand = None
        if deal is not None and deal.customer_id is not None:
            demand = CustomerDemand(
                engagement_id=document.engagement_id,
                customer_id=deal.customer_id,
                is_handed_off=document.is_handed_off(self._landscape),
                erps=self._billers(document, legal_entities),
            )
        if demand == document.demand:
            return
        former = document.demand
        if former is not None and (demand is None or former.customer_id != demand.customer_id):
            self._outbox.add(DEMAND_TOPIC, document.engagement_id, None, route=former.customer_id)
        if demand is not None:
            self._outbox.add(
                DEMAND_TOPIC,
                document.engagement_id,
                demand.model_dump(mode="json"),
                route=demand.customer_id,
            )
        document.demand = demand

    def _billers(
        self, document: EngagementDocument, legal_entities: LegalEntities
    ) -> tuple[str, ...]:
        """Return the ERPs that must know the customer of a deal that is handed off.

        A firm's only ERP at once, of several those that bill its projects.
        """
        if not document.is_handed_off(self._landscape):
            return ()
        if len(self._landscape.erps) == 1:
            return tuple(self._landscape.erps)
        billers = {
            ProjectView(document, self._landscape, wanted.project_id, wanted, legal_entities).biller
            for wanted in wanted_projects(document, self._landscape).values()
        }
        return tuple(sorted(erp for erp in billers if erp is not None))

    def _tell(self, document: EngagementDocument, legal_entities: LegalEntities) -> None:
        """Tell each source project of its contract, and whether the ERP holds its project.

        The project is part of the key: a source project that is linked to another one hears of
        both, from engagements that do not wait for each other.
        """
        wanted = wanted_projects(document, self._landscape)
        contexts = {
            f"{key}|{link.project_id}": _context(
                key,
                ProjectView(
                    document,
                    self._landscape,
                    link.project_id,
                    wanted.get(link.project_id),
                    legal_entities,
                ),
            ).model_dump()
            for key, link in sorted(document.links.items())
            if link.project_id is not None
        }
        tell_all(
            self._outbox,
            CONTEXT_TOPIC,
            contexts,
            document.told,
            route=lambda name: name.rpartition("|")[0],
        )


def _engagement_of(natural_key: str) -> str:
    _, noun, identity = natural_key.split(":", 2)
    return identity if noun == DEAL_STATUS.noun else engagement_of(identity)


def _context(key: str, view: ProjectView) -> ProjectContext:
    """Return what a source project is told of the project it belongs to."""
    value = view.wanted.contract_value if view.wanted else None
    contract = agreed(view.document.opportunity, value, view.erp, view.rm)
    return ProjectContext(
        id=key,
        project_id=view.project_id,
        is_in_erp=view.erp is not None,
        erp=view.biller if view.erp is not None else None,
        billing_type=contract.billing_type,
        contract_value=contract.value,
        currency=contract.currency,
        budget_hours=contract.budget_hours,
    )
