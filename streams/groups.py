"""Which agent reads which topic: the wiring of tables to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from schemas.exact import FEW
from schemas.landscape import Landscape
from schemas.mapping.compiled import ObjectMapping
from schemas.topics import NORMALIZE, PARTITIONS, state_topic
from streams.agents.dead_letters import poison_letters
from streams.agents.lookups import PROJECTIONS, WAITING, Seeking, make_projections
from streams.agents.normalize import make_normalizer
from streams.agents.open_exceptions import PREFIX
from streams.agents.own_measures import GROUP as OWN
from streams.agents.own_measures import own_handlers
from streams.agents.records import RecordHandlers
from streams.agents.registry import SchemaSource
from streams.agents.time_entries import TimeEntryHandler
from streams.engine import AgentSpec, ChunkHandler, GroupSpec
from tables.customer.table import CustomerTable
from tables.engagement.table import EngagementTable
from tables.foundation import facts
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.measures.own import OwnMeasure
from tables.project.table import ProjectTable
from tables.rollup import RollupTable


def make_groups(
    mappings: Sequence[ObjectMapping],
    registry: SchemaSource,
    landscape: Landscape,
    measures: Sequence[OwnMeasure] = (),
    *,
    few: int = FEW,
) -> list[GroupSpec]:
    """Return every agent group of the product, for the systems and the measures of a firm.

    Up to `few` rows of a chunk are worked on one after the other, more as columns: the effects
    are the same.
    """
    groups = [
        _group(NORMALIZE, _normalize(mappings, registry, few), registry, layout=2, counted=WAITING),
        _group("customer", _customer(registry, landscape, few), registry, layout=3),
        _group("engagement", _engagement(registry, landscape, few), registry, layout=6),
        _group("project", _project(registry, landscape, few), registry, layout=5),
        _group("rollup", _rollup(registry, few), registry, layout=2),
    ]
    if measures:
        handlers = own_handlers(measures, registry)
        groups.append(_group(OWN, handlers, registry, layout=_layout_of(measures)))
    return groups


def _layout_of(measures: Sequence[OwnMeasure]) -> int:
    """Return a layout of its own for each set of definitions: others count other rows."""
    return crc32("|".join(sorted(each.definition for each in measures)).encode())


def _group(
    name: str,
    handlers: dict[str, ChunkHandler],
    registry: SchemaSource,
    layout: int = 1,
    counted: bytes = PREFIX,
) -> GroupSpec:
    return GroupSpec(
        name=name,
        partitions=PARTITIONS,
        agents=tuple(AgentSpec(topic, handler) for topic, handler in handlers.items()),
        state_topic=state_topic(name),
        dead_letters=poison_letters(name, registry),
        layout=layout,
        counted=counted,
    )


def _normalize(
    mappings: Sequence[ObjectMapping], registry: SchemaSource, few: int
) -> dict[str, ChunkHandler]:
    normalizers = {
        mapping.topic: make_normalizer(mapping, registry, few=few) for mapping in mappings
    }
    seeking = [Seeking(each, normalizers[each.topic]) for each in mappings if each.lookups]
    if not seeking:
        return {**normalizers}
    return {**normalizers, PROJECTIONS.name: make_projections(seeking, registry)}


def _customer(registry: SchemaSource, landscape: Landscape, few: int) -> dict[str, ChunkHandler]:
    table = CustomerTable
    handle = RecordHandlers(
        "customer",
        registry,
        lambda docs, outbox, _: table(docs, outbox, landscape),
        lambda opened, _: opened.settle(),
        few=few,
    )
    return {
        "psa.customer": handle(facts.Customer, table.apply_customer),
        "psa.internal.customer_demand": handle(facts.CustomerDemand, table.apply_demand),
    }


def _engagement(registry: SchemaSource, landscape: Landscape, few: int) -> dict[str, ChunkHandler]:
    table = EngagementTable
    handle = RecordHandlers(
        "engagement",
        registry,
        lambda docs, outbox, partition: table(docs, outbox, partition, landscape),
        table.settle,
        few=few,
    )
    return {
        "psa.opportunity": handle(facts.Opportunity, table.apply_opportunity),
        "psa.opportunity_line": handle(facts.OpportunityLine, table.apply_line),
        "psa.legal_entity": handle(facts.LegalEntity, table.apply_legal_entity),
        "psa.internal.customer_status": handle(facts.CustomerStatus, table.apply_customer_status),
        "psa.internal.project_link": handle(facts.ProjectLink, table.apply_link),
        "psa.command_result": handle(facts.CommandResult, table.apply_result),
    }


def _project(registry: SchemaSource, landscape: Landscape, few: int) -> dict[str, ChunkHandler]:
    time_entries = TimeEntryHandler(registry, landscape, few=few)

    def open_table(documents: Documents, outbox: Outbox, partition: int) -> ProjectTable:
        return ProjectTable(documents, outbox, partition, time_entries.stored_rows, landscape)

    table = ProjectTable
    handle = RecordHandlers("project", registry, open_table, table.settle, few=few)
    return {
        "psa.project": handle(facts.Project, table.apply_project),
        "psa.internal.project_context": handle(facts.ProjectContext, table.apply_context),
        "psa.resource": handle(facts.Resource, table.apply_resource),
        "psa.rate_card": handle(facts.RateCard, table.apply_rate_card),
        "psa.absence": handle(facts.Absence, table.apply_absence),
        "psa.assignment": handle(facts.Assignment, table.apply_assignment),
        "psa.time_entry": time_entries,
        "psa.expense": handle(facts.Expense, table.apply_expense),
        "psa.time_bill": handle(facts.TimeBill, table.apply_time_bill),
        "psa.invoice": handle(facts.InvoiceLine, table.apply_invoice_line),
    }


def _rollup(registry: SchemaSource, few: int) -> dict[str, ChunkHandler]:
    table = RollupTable
    handle = RecordHandlers(
        "rollup", registry, lambda docs, outbox, _: table(docs, outbox), table.settle, few=few
    )
    return {
        "psa.internal.partial": handle(facts.Partial, table.apply_partial),
        "psa.internal.calendar": handle(facts.Calendar, table.apply_calendar),
    }
