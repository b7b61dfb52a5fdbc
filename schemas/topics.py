"""The topics of psastream: those every firm has, and how those of a system are made.

One entry a topic: record, key, partitions, clean-up, retention, owner, criticality and where
personal data lies. The entries are data: creating topics and registering subjects is done by
those who read them. `schemas.system` adds the topics of a firm's systems.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from schemas.codec.record import AvroSchema
from schemas.commands import CONTENTS
from schemas.keys import row_id_of, row_key

PARTITIONS: Final = 4
"""Partitions of every stream a worker reads: one number, so that all of them are co-partitioned."""

SOURCE_PREFIX: Final = "src"
PUBLIC_PREFIX: Final = "psa."
INTERNAL_PREFIX: Final = "psa.internal."
DAY_MS: Final = 86_400_000
ROW_ID: Final = "$row"
"""For `Topic.subject`; no field of Avro has that name."""


class Cleanup(Enum):
    """What the broker keeps of a topic."""

    COMPACT = "compact"
    DELETE = "delete"


class Criticality(Enum):
    """How soon somebody must look when the topic stands still."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"


class Route(Enum):
    """How a record finds its partition."""

    CO_PARTITION = "co-partition"  # hash of a field other than the key
    KEY = "key"  # hash of the key
    BROADCAST = "broadcast"  # every partition gets a copy


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    `record` is the path of its value contract below `schemas/avro`, without suffix; `contract` is
    one that a system's folder holds. Neither: another system owns the schema, as Debezium does of
    a database's tables, or the topic is private to the engine. `route_field` is the field whose
    hash picks the partition, for `Route.CO_PARTITION`. `rows_move`: that field is no function of
    the row's id, so the key carries both (`schemas.keys.row_key`). `contents` are kinds of
    commands: for each the record has a field of that name, by the contract `command/<kind>`.
    `personal_data`: fields that tell of people, `pay_data` those of them that tell what somebody
    costs. `subject` is the field that names the person a record is about, `ROW_ID` its row's id.
    `compacted_within_ms`: so long the broker may keep what was deleted or replaced.
    """

    name: str
    record: str | None
    key: str
    owner: str
    criticality: Criticality
    route: Route = Route.KEY
    route_field: str | None = None
    cleanup: Cleanup = Cleanup.COMPACT
    retention_ms: int | None = None
    partitions: int = PARTITIONS
    is_envelope: bool = False
    personal_data: tuple[str, ...] = ()
    rows_move: bool = False
    contract: AvroSchema | None = None
    contents: tuple[str, ...] = ()
    pay_data: tuple[str, ...] = ()
    subject: str | None = None
    compacted_within_ms: int | None = None

    @property
    def is_public(self) -> bool:
        """Whether it is ours and others may read it."""
        return self.name.startswith(PUBLIC_PREFIX) and not self.name.startswith(INTERNAL_PREFIX)

    def message_key(self, co_partition_key: str, row_id: str) -> str:
        """Return the key of a row's records."""
        return row_key(co_partition_key, row_id) if self.rows_move else row_id

    def row_id(self, message_key: str) -> str:
        """Return the id of the row a record is about; a tombstone says it nowhere else."""
        return row_id_of(message_key) if self.rows_move else message_key


def source_topic(
    system: str,
    obj: str,
    *,
    contract: AvroSchema | None,
    personal_data: tuple[str, ...] = (),
    is_of_people: bool = False,
) -> Topic:
    """Return the topic of an object of a system.

    Without a `contract` the system is a database, whose connector owns the schema. `is_of_people`:
    each row is a person.
    """
    return Topic(
        name=f"{SOURCE_PREFIX}.{system}.{obj}",
        record=None,
        key="primary key" if contract is None else "native id",
        owner=f"connector {system}",
        criticality=Criticality.CRITICAL,
        cleanup=Cleanup.DELETE,
        retention_ms=30 * DAY_MS,
        is_envelope=True,
        personal_data=personal_data,
        contract=contract,
        subject=ROW_ID if is_of_people else None,
    )


def _canonical(
    entity: str,
    route_field: str | None,
    *personal_data: str,
    pay_data: tuple[str, ...] = (),
    subject: str | None = None,
) -> Topic:
    rows_move = route_field not in (None, "id")
    return Topic(
        name=f"psa.{entity}",
        record=f"canonical/{entity}",
        key=f"{route_field}|id" if rows_move else "id",
        owner="normalize",
        criticality=Criticality.CRITICAL,
        route=Route.CO_PARTITION if route_field else Route.BROADCAST,
        route_field=route_field,
        personal_data=(*pay_data, *personal_data),
        rows_move=rows_move,
        pay_data=pay_data,
        subject=subject,
    )


def _internal(
    name: str,
    key: str,
    owner: str,
    route_field: str,
    *personal_data: str,
    rows_move: bool = False,
) -> Topic:
    return Topic(
        name=f"{INTERNAL_PREFIX}{name}",
        record=f"internal/{name}",
        key=key,
        owner=owner,
        criticality=Criticality.CRITICAL,
        route=Route.CO_PARTITION,
        route_field=route_field,
        personal_data=personal_data,
        rows_move=rows_move,
    )


def _output(
    name: str, record: str, key: str, owner: str, criticality: Criticality, *personal_data: str
) -> Topic:
    return Topic(
        name=name,
        record=record,
        key=key,
        owner=owner,
        criticality=criticality,
        personal_data=personal_data,
    )


CANONICAL: Final = (
    _canonical("customer", "customer_id", "name", "tax_number"),
    _canonical("legal_entity", None),
    _canonical("opportunity", "engagement_id"),
    _canonical("opportunity_line", "engagement_id"),
    _canonical("project", "id"),
    _canonical("task", "project_ref"),
    _canonical("role", None),
    _canonical("resource", None, "name", subject="id"),
    _canonical("rate_card", None, pay_data=("cost_rate", "cost_rates")),
    _canonical("absence", None, "resource_refs"),
    _canonical("assignment", "project_ref"),
    _canonical(
        "time_entry", "project_ref", "notes", pay_data=("cost_rate",), subject="resource_id"
    ),
    _canonical("expense", "project_ref"),
    # An entry that moves must find its lock, and what is left of its bills, where it arrives.
    _canonical("time_bill", None),
    _canonical("invoice", None),
    # No table reads these: whoever does finds all of them, whatever it is keyed by.
    _canonical("employment", None, "status"),
    _canonical("job", None, "title", "department", "location", subject="resource_id"),
    _canonical("compensation", None, pay_data=("rate",)),
    _canonical("payroll_cost", None, pay_data=("gross", "employer_taxes", "employer_benefits")),
    _canonical("purchase_order", None, "supplier_name"),
    _canonical("supplier_invoice", None, "supplier_name"),
    _canonical("goods_receipt", None),
)

INTERNAL: Final = (
    _internal(
        "customer_demand",
        "customer_id|engagement_id",
        "engagement",
        "customer_id",
        rows_move=True,
    ),
    _internal(
        "customer_status",
        "engagement_id|customer_id",
        "customer",
        "engagement_id",
        "name",
        "tax_number",
    ),
    _internal("project_link", "engagement_id|id", "project", "engagement_id", rows_move=True),
    _internal("project_context", "id|project_id", "engagement", "id"),
    _internal(
        "calendar",
        "resource_id",
        "project",
        "resource_id",
        "employments",
        "patterns",
        "days_off",
    ),
    _internal("partial", "measure|dimension|source", "project, engagement", "dimension"),
    _internal("measure_partial", "measure|dimension|source", "measures", "dimension"),
    Topic(
        name="psa.internal.projection",
        record="internal/projection",
        key="id",
        owner="normalize",
        criticality=Criticality.CRITICAL,
        route=Route.BROADCAST,
        personal_data=("texts",),
    ),
)

COMMAND_PREFIX: Final = "psa.command."


def command_topic(target: str) -> Topic:
    """Return the topic of the commands to a system."""
    return Topic(
        name=f"{COMMAND_PREFIX}{target}",
        record="command/command",
        key="natural_key",
        owner="customer, engagement, project",
        criticality=Criticality.CRITICAL,
        personal_data=("payload", "upsert_customer"),
        contents=tuple(CONTENTS),
    )


DISPATCH: Final = (
    _output(
        "psa.command_intent",
        "command/command_intent",
        "natural_key",
        "dispatch",
        Criticality.CRITICAL,
    ),
    Topic(
        name="psa.command_result",
        record="command/command_result",
        key="natural_key",
        owner="dispatch",
        criticality=Criticality.CRITICAL,
        route=Route.CO_PARTITION,
        route_field="origin_key",
        personal_data=("error_detail",),  # the vendor's words, which may quote the record
    ),
    Topic(
        name="psa.command_retry",
        record="command/command_retry",
        key="request_id",
        owner="psastream exceptions retry",
        criticality=Criticality.HIGH,
        cleanup=Cleanup.DELETE,
        retention_ms=7 * DAY_MS,
        partitions=1,
        personal_data=("requested_by",),
    ),
    Topic(
        name="psa.command_decision",
        record="command/command_decision",
        key="decision_id",
        owner="psastream commands",
        criticality=Criticality.CRITICAL,
        partitions=1,  # one order for all
        personal_data=("decided_by", "note"),
    ),
    _output(
        "psa.exception",
        "command/exception",
        "exception_id",
        "dispatch",
        Criticality.CRITICAL,
        "detail",
        "payload",
    ),
    Topic(
        name="psa.dlq",
        record="command/dead_letter",
        key="topic|partition|offset",
        owner="every worker",
        criticality=Criticality.CRITICAL,
        cleanup=Cleanup.DELETE,
        retention_ms=90 * DAY_MS,
        personal_data=("key", "value", "detail"),
    ),
    Topic(
        name="psa.dlq_decision",
        record="command/dlq_decision",
        key="letter",
        owner="psastream dlq",
        criticality=Criticality.MEDIUM,
        cleanup=Cleanup.DELETE,
        retention_ms=3_650 * DAY_MS,  # who let which record through: an audit trail
        partitions=1,
        personal_data=("decided_by", "note"),
    ),
)

METRICS: Final = (
    _output(
        "psa.metric.project_margin",
        "metric/project_margin",
        "project_ref|period|currency",
        "project",
        Criticality.HIGH,
    ),
    _output(
        "psa.metric.utilization",
        "metric/utilization",
        "resource_id|iso_week",
        "rollup",
        Criticality.HIGH,
    ),
    _output(
        "psa.metric.pipeline_health",
        "metric/pipeline_health",
        "stage|currency",
        "rollup",
        Criticality.HIGH,
    ),
)

STATUS: Final = (
    _output(
        "psa.status.customer",
        "status/customer",
        "customer_id",
        "customer",
        Criticality.HIGH,
        "name",
    ),
    _output("psa.status.project", "status/project", "project_id", "engagement", Criticality.HIGH),
    _output(
        "psa.status.assignment",
        "status/assignment",
        "project_ref|id",
        "project",
        Criticality.HIGH,
    ),
    _output(
        "psa.status.billing",
        "status/billing",
        "project_ref|currency|state",
        "project",
        Criticality.CRITICAL,
    ),
)

NORMALIZE: Final = "normalize"
GROUPS: Final = (NORMALIZE, "customer", "engagement", "project", "rollup", "measures")
"""Agent groups, each with one state log."""


def state_topic(group: str) -> str:
    """Name of the state log of an agent group."""
    return f"psastream-{group}-state"


STATE_LOGS: Final = tuple(
    Topic(
        name=state_topic(group),
        record=None,
        key="store prefix and key, binary",
        owner=group,
        criticality=Criticality.CRITICAL,
        personal_data=("value",),  # documents of rows as their topics hold them
    )
    for group in GROUPS
)

BOOKMARKS: Final = Topic(
    name="psastream-bookmarks",
    record=None,
    key="connector|object",
    owner="polled sources",
    criticality=Criticality.CRITICAL,
    partitions=1,
)

SOURCE_ORDERS: Final = Topic(
    name="psastream-source-orders",
    record=None,
    key="order or answer|system|object|concern, accepted or described|system|object",
    owner="psastream connectors, pollers",
    criticality=Criticality.HIGH,
    partitions=1,
    personal_data=("ordered_by", "note"),
)

KEYS: Final = Topic(
    name="psastream-keys",
    record=None,
    key="subject|key",
    owner="whoever seals records",
    criticality=Criticality.CRITICAL,
    partitions=1,
    compacted_within_ms=DAY_MS,
)
"""Data keys of sealed records, themselves encrypted. A firm that seals none has no such topic."""

PRODUCT_TOPICS: Final = (
    *CANONICAL,
    *INTERNAL,
    *DISPATCH,
    *METRICS,
    *STATUS,
    *STATE_LOGS,
    BOOKMARKS,
    SOURCE_ORDERS,
)
"""Topics that every firm has, whatever its systems."""

BY_NAME: Final = {topic.name: topic for topic in PRODUCT_TOPICS}


def topic_of(name: str) -> Topic:
    """Return a topic of the product, one of commands among them. Raises KeyError."""
    if name.startswith(COMMAND_PREFIX):
        return command_topic(name.removeprefix(COMMAND_PREFIX))
    return BY_NAME[name]
