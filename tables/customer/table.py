"""Customer table: one customer as CRM and ERP know it, and the ERP customer it asks for.

Keyed by canonical customer id. An ERP customer is ordered once an engagement that names the
customer has been handed off, in each ERP that bills a project of such; engagements are told how
far their customer is.
"""

from __future__ import annotations

from typing import Final

from schemas.canonical_json import Payload
from schemas.landscape import Landscape
from tables.customer.view import CustomerDocument, CustomerView
from tables.flows.erp_customer import ERP_CUSTOMER
from tables.flows.flow import Orders
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import Customer, CustomerDemand, CustomerStatus
from tables.foundation.owners import move
from tables.foundation.told import tell, tell_all

STATUS_TOPIC: Final = "psa.internal.customer_status"
TABLE_TOPIC: Final = "psa.status.customer"


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
        return [(each, self._load(each)) for each in move(self._documents, name, customer_id)]

    def _load(self, customer_id: str) -> CustomerDocument:
        if customer_id in self._asked:
            return self._asked[customer_id][0]
        return self._documents.get(CustomerDocument, f"c:{customer_id}") or CustomerDocument()

    def _settle(self, customer_id: str, document: CustomerDocument, timestamp_ms: int) -> None:
        """Derive the command, the answers to engagements and the row, and store the document."""
        view = CustomerView(customer_id, document, self._landscape)
        orders = Orders(document.ledgers, self._outbox, timestamp_ms)
        for erp in view.held:
            orders.keep(ERP_CUSTOMER, view, erp, name=erp)
        _tell(self._outbox, view)
        document.published = tell(
            self._outbox,
            TABLE_TOPIC,
            customer_id,
            _row(view),
            document.published,
            as_of_ms=timestamp_ms,
        )
        self._documents.keep(f"c:{customer_id}", document, CustomerDocument())


def _tell(outbox: Outbox, view: CustomerView) -> None:
    """Answer each engagement under a key of its own for each customer it has ever named.

    Two customers may answer one engagement from different partitions; with one key between them
    compaction could keep the former customer's answer.
    """
    document, customer_id = view.document, view.customer_id
    known = view.crm or view.erp
    answers = {
        engagement_id: CustomerStatus(
            engagement_id=engagement_id,
            customer_id=customer_id,
            name=known.name if known else None,
            country_code=known.country_code if known else None,
            currency=known.currency if known else None,
            tax_number=known.tax_number if known else None,
            is_in_erp=view.erp is not None,
            erps=tuple(erp for erp, row in view.held.items() if row is not None),
        ).model_dump(mode="json")
        for engagement_id in sorted(document.demands)
    }

    tell_all(
        outbox,
        STATUS_TOPIC,
        answers,
        document.told,
        key=lambda engagement_id: f"{engagement_id}|{customer_id}",
        route=str,
    )


def _row(view: CustomerView) -> Payload | None:
    """Return the customer's row; None where no system holds it."""
    known = view.crm or view.erp
    if known is None:
        return None
    return {
        "customer_id": view.customer_id,
        "name": known.name,
        "status": view.status,
        "crm_id": view.crm.id if view.crm else None,
        "erp_id": view.erp.id if view.erp else None,
        "erp_ids": [row.id for row in view.held.values() if row is not None],
        "engagements": len(view.document.demands),
    }
