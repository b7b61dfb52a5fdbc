"""One customer: which rows stand for it in which system, and who needs it where."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, Field

from schemas.identity import correlation_id, vendor_order
from schemas.landscape import Landscape, Role
from tables.foundation.facts import Customer
from tables.foundation.ledger import LedgerEntry


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
        self.customer_id = self.identity = self.origin_key = customer_id
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
    def correlation_id(self) -> str | None:
        """Correlation id of the CRM's row."""
        crm = self.crm
        return None if crm is None else crm.correlation_id or correlation_id(crm.id)

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
