"""Customer table: one customer as CRM and ERP know it, and the ERP customer it asks for.

Keyed by canonical customer id. An ERP customer is ordered once an engagement that names the
customer has been handed off, in each ERP that bills a project of such; engagements are told how
far their customer is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, Field

from schemas.commands import UpsertCustomer
from schemas.identity import correlation_id, vendor_order
from schemas.landscape import Landscape, Role
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox, instant
from tables.foundation.facts import Customer, CustomerDemand, CustomerStatus
from tables.foundation.ledger import (
    LedgerEntry,
    Order,
    Payload,
    content_hash,
    decide,
    fields_of,
    send,
    send_withdrawal,
    withdraw,
)

STATUS_TOPIC: Final = "psa.internal.customer_status"
TABLE_TOPIC: Final = "psa.status.customer"
KEPT_EQUAL: Final = ("name", "country_code", "currency", "tax_number")
"""Fields of a customer that psastream keeps equal in the ERP."""


class CustomerDocument(BaseModel):
    """State of one customer."""

    rows: dict[str, Customer] = Field(default_factory=dict)  # source id → row of a system
    demands: dict[str, tuple[str, ...]] = Field(
        default_factory=dict
    )  # engagement id → ERPs that need the customer
    ledgers: dict[str, LedgerEntry] = Field(default_factory=dict)  # ERP → ledger
    told: dict[str, str] = Field(
        default_factory=dict
    )  # engagement id → hash of the status last sent
    published: str = ""  # hash of the row last published


class CustomerView:
    """One customer with the rows that stand for the customer in the CRM and in each ERP."""

    def __init__(self, customer_id: str, document: CustomerDocument, landscape: Landscape) -> None:
        self.customer_id = customer_id
        self.document = document
        rows = document.rows.values()
        self.crm = _standing(row for row in rows if landscape.plays(row.source_system, Role.CRM))
        self.held = {
            erp: _standing(row for row in rows if row.source_system == erp)
            for erp in landscape.erps
        }
        self.erp = next((row for row in self.held.values() if row is not None), None)
        self.needing = {erp for erps in document.demands.values() for erp in erps}
        """ERPs that bill projects of the customer's engagements."""

    @property
    def status(self) -> str:
        """How far the customer is: `requested` while an ERP that needs it does not hold it."""
        if any(self.held.get(erp) is None for erp in self.needing):
            return "requested"
        return "prospect" if self.erp is None else "active"


def _standing(rows: Iterable[Customer]) -> Customer | None:
    """Return the row that speaks for a customer: an active one before others, then the oldest.

    After a merge a system may hold several; which of them was written last says nothing. A row
    that does not say whether it is active is taken for active.
    """
    return min(rows, key=lambda row: (row.is_active is False, vendor_order(row.id)), default=None)


class Owner(BaseModel):
    """Which customer a source row belongs to; rows are named by source id in tombstones."""

    customer_id: str


class CustomerTable:
    """The customer table over the documents of one partition, for one chunk."""

    def __init__(self, documents: Documents, outbox: Outbox, landscape: Landscape) -> None:
        self._documents = documents
        self._outbox = outbox
        self._landscape = landscape
        self._asked: dict[str, tuple[CustomerDocument, int]] = {}
        """Customers that engagements of the chunk are about, and when the last one came."""

    def settle(self) -> None:
        """Answer the engagements of the chunk, once a customer: each answer looks at all of his."""
        for customer_id, (document, timestamp_ms) in self._asked.items():
            self._settle(customer_id, document, timestamp_ms)
        self._asked.clear()

    def apply_customer(self, key: str, fact: Customer | None, timestamp_ms: int) -> None:
        """Take in a customer row of one system, or its deletion. Raises UnknownSystemError."""
        if fact is not None:
            self._landscape.role_of(fact.source_system)
        for customer_id, document in self._touched(f"k:{key}", fact.customer_id if fact else None):
            document.rows.pop(key, None)
            if fact is not None and fact.customer_id == customer_id:
                document.rows[key] = fact
            self._settle(customer_id, document, timestamp_ms)

    def apply_demand(self, key: str, fact: CustomerDemand | None, timestamp_ms: int) -> None:
        """Take in what an engagement (the key) needs, or that it needs no customer any more."""
        for customer_id, document in self._touched(f"d:{key}", fact.customer_id if fact else None):
            if fact is not None and fact.customer_id == customer_id:
                document.demands[key] = self._needing(fact)
            else:
                document.demands.pop(key, None)
            self._asked[customer_id] = document, timestamp_ms

    def _needing(self, fact: CustomerDemand) -> tuple[str, ...]:
        """Return the ERPs that an engagement needs its customer in."""
        if fact.erps is not None:
            return fact.erps
        # Told before there could be several.
        erps = self._landscape.erps
        return tuple(erps) if fact.is_handed_off and len(erps) == 1 else ()

    def _touched(self, name: str, customer_id: str | None) -> list[tuple[str, CustomerDocument]]:
        """Return the customers a row touches, the former owner first; remember the new owner."""
        owner = self._documents.get(Owner, name)
        touched = []
        if owner is not None and owner.customer_id != customer_id:
            touched.append(owner.customer_id)
            self._documents.delete(name)
        if customer_id is not None:
            touched.append(customer_id)
            self._documents.put(name, Owner(customer_id=customer_id))
        return [(each, self._load(each)) for each in touched]

    def _load(self, customer_id: str) -> CustomerDocument:
        if customer_id in self._asked:
            return self._asked[customer_id][0]
        return self._documents.get(CustomerDocument, f"c:{customer_id}") or CustomerDocument()

    def _settle(self, customer_id: str, document: CustomerDocument, timestamp_ms: int) -> None:
        """Derive the command, the answers to engagements and the row, and store the document."""
        view = CustomerView(customer_id, document, self._landscape)
        for erp in view.held:
            _order(self._outbox, view, erp, timestamp_ms)
        _tell(self._outbox, view)
        _publish(self._outbox, view, timestamp_ms)
        if document == CustomerDocument():
            self._documents.delete(f"c:{customer_id}")
        else:
            self._documents.put(f"c:{customer_id}", document)


def _order(outbox: Outbox, view: CustomerView, erp: str, timestamp_ms: int) -> None:
    document, customer_id, held = view.document, view.customer_id, view.held[erp]
    wanted = view.crm if erp in view.needing else None
    before = document.ledgers.get(erp, LedgerEntry())
    entry, is_due = decide(
        before,
        content_hash(fields_of(wanted, KEPT_EQUAL)) if wanted else None,
        content_hash(fields_of(held, KEPT_EQUAL)) if held else "",
        timestamp_ms,
    )
    correlation = (wanted.correlation_id or correlation_id(wanted.id)) if wanted else None
    order = Order(
        target=erp,
        kind=UpsertCustomer.kind,
        natural_key=f"{erp}:customer:{customer_id}",
        origin_key=customer_id,
        correlation_id=correlation,
    )
    if wanted is None:
        entry, is_open = withdraw(entry, timestamp_ms)
        if is_open:
            send_withdrawal(outbox, order, revision=entry.revision, timestamp_ms=timestamp_ms)
    if entry != before:
        document.ledgers[erp] = entry
    if not is_due or wanted is None:
        return
    send(
        outbox,
        order,
        UpsertCustomer(
            customer_id=customer_id,
            correlation_id=correlation,
            name=wanted.name,
            country_code=wanted.country_code,
            currency=wanted.currency,
            tax_number=wanted.tax_number,
        ),
        revision=entry.revision,
        timestamp_ms=timestamp_ms,
    )


def _tell(outbox: Outbox, view: CustomerView) -> None:
    """Answer each engagement under a key of its own for each customer it has ever named.

    Two customers may answer one engagement from different partitions; with one key between them
    compaction could keep the former customer's answer.
    """
    document, customer_id = view.document, view.customer_id
    for engagement_id in sorted(document.told.keys() - document.demands.keys()):
        del document.told[engagement_id]
        outbox.add(STATUS_TOPIC, f"{engagement_id}|{customer_id}", None, route=engagement_id)
    known = view.crm or view.erp
    for engagement_id in sorted(document.demands):
        status = CustomerStatus(
            engagement_id=engagement_id,
            customer_id=customer_id,
            name=known.name if known else None,
            country_code=known.country_code if known else None,
            currency=known.currency if known else None,
            tax_number=known.tax_number if known else None,
            is_in_erp=view.erp is not None,
            erps=tuple(erp for erp, row in view.held.items() if row is not None),
        )
        content = status.model_dump(mode="json")
        sent = content_hash(content)
        if document.told.get(engagement_id) != sent:
            document.told[engagement_id] = sent
            name = f"{engagement_id}|{customer_id}"
            outbox.add(STATUS_TOPIC, name, content, route=engagement_id)


def _publish(outbox: Outbox, view: CustomerView, timestamp_ms: int) -> None:
    document, customer_id = view.document, view.customer_id
    known = view.crm or view.erp
    if known is None:
        if document.published:
            document.published = ""
            outbox.add(TABLE_TOPIC, customer_id, None)
        return
    row: Payload = {
        "customer_id": customer_id,
        "name": known.name,
        "status": view.status,
        "crm_id": view.crm.id if view.crm else None,
        "erp_id": view.erp.id if view.erp else None,
        "engagements": len(document.demands),
    }
    published = content_hash(row)
    if published != document.published:
        document.published = published
        outbox.add(TABLE_TOPIC, customer_id, {**row, "as_of": instant(timestamp_ms)})
