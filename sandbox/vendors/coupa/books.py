"""Rows of Coupa: suppliers, orders, invoices with their lines, receipts. No HTTP.

Facts and their sources: connectors/vendors/coupa/README.md. Days are kept as days: what is
entered on a screen is shown as midnight in the company's offset (compass.coupa.com, Querying
Options). A row that is deleted is gone without a trace.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError
from sandbox.vendors.tables import Kind, Row, Tables, day

SUPPLIERS, ORDERS, ORDER_LINES = "suppliers", "purchase_orders", "purchase_order_lines"
INVOICES, INVOICE_LINES, RECEIPTS = "invoices", "invoice_lines", "receiving_transactions"
ORDER_STATES: Final = (
    "draft", "buyer_hold", "currency_hold", "supplier_hold", "supplier_window_hold", "error",
    "issued", "exported", "expensed", "soft_closed", "closed", "cancelled", "canceled",
)  # fmt: skip
INVOICE_STATES: Final = (
    "new", "draft", "invalid", "processing", "ap_hold", "on_hold", "booking_hold",
    "pending_action", "pending_approval", "pending_receipt", "payable_adjustment", "disputed",
    "approved", "rejected", "abandoned", "voided",
)  # fmt: skip
_KINDS_OF_RECEIPT: Final = (
    "InventoryReceipt", "ReceivingQuantityConsumption", "ReceivingAmountConsumption",
    "ReceivingQuantityDisposal", "ReceivingAmountDisposal", "ReceivingQuantityReturnToSupplier",
    "ReceivingAmountReturnToSupplier",
)  # fmt: skip
"""compass.coupa.com, Receiving Transactions API; each has another that voids it."""
RECEIPT_TYPES: Final = _KINDS_OF_RECEIPT + tuple(f"Void{each}" for each in _KINDS_OF_RECEIPT)

KINDS: Final = {
    SUPPLIERS: Kind({"name": None}, required=("name",), first_id=11),
    ORDERS: Kind(
        {"po_number": None, "status": "draft", "currency": "USD"},
        required=("status", "currency"), first_id=330_101,
    ),
    ORDER_LINES: Kind(
        {
            "order_header_id": None, "supplier_id": None, "quantity": None, "total": None,
            "account_code": None,
        },
        required=("order_header_id", "supplier_id", "total"),
        parents={"order_header_id": ORDERS, "supplier_id": SUPPLIERS}, first_id=710_101,
    ),
    INVOICES: Kind(
        {
            "invoice_number": None, "document_type": "Invoice", "status": "draft", "paid": False,
            "invoice_date": None, "supplier_id": None, "currency": "USD",
        },
        required=("invoice_number", "status", "invoice_date", "supplier_id", "currency"),
        parents={"supplier_id": SUPPLIERS}, first_id=880_101,
    ),
    INVOICE_LINES: Kind(
        {
            "invoice_id": None, "order_line_id": None, "quantity": None, "total": None,
            "account_code": None, "original_date_of_supply": None,
        },
        required=("invoice_id", "total"),
        parents={"invoice_id": INVOICES, "order_line_id": ORDER_LINES}, first_id=950_101,
    ),
    RECEIPTS: Kind(
        {
            "type": "ReceivingQuantityConsumption", "status": "created", "order_line_id": None,
            "quantity": None, "total": None, "transaction_date": None,
        },
        required=("type", "status", "order_line_id", "transaction_date"),
        parents={"order_line_id": ORDER_LINES}, first_id=290_101,
    ),
}  # fmt: skip
_DAYS: Final = ("invoice_date", "original_date_of_supply", "transaction_date")
_WORDS: Final = {
    (ORDERS, "status"): ORDER_STATES,
    (INVOICES, "status"): INVOICE_STATES,
    (INVOICES, "document_type"): ("Invoice", "Credit Note"),
    (RECEIPTS, "type"): RECEIPT_TYPES,
    (RECEIPTS, "status"): ("created", "voided"),
}


class CoupaBooks(Tables):
    """All rows of an instance. `lines_move_invoices`: a line that changes moves its invoice."""

    def __init__(self, clock: VendorClock) -> None:
        super().__init__(clock, KINDS)
        self.lines_move_invoices = True

    def settle(self, record_type: str, row: Row) -> None:
        """Check days and words; an order that is issued has a number."""
        for name in _DAYS:
            if row.get(name) is not None:
                row[name] = day(row[name], name)
        for name in ("quantity", "total"):
            if row.get(name) is not None:
                row[name] = Decimal(str(row[name]))
        for (kind, name), words in _WORDS.items():
            if kind == record_type and row[name] not in words:
                raise InvalidRowError(f"{name} is one of {', '.join(words)}")
        if record_type == ORDERS and row["po_number"] is None and row["status"] != "draft":
            row["po_number"] = f"PO-{row['id']}"

    def changed(self, record_type: str, row: Row) -> None:
        """Stamp a row, and the invoice of a line."""
        now = self._clock.stamp()
        row["updated_at"] = now
        row.setdefault("created_at", now)
        if record_type == INVOICE_LINES:
            self._move(row)

    def deleted(self, record_type: str, row: Row) -> None:
        """A line that goes changes its invoice."""
        if record_type == INVOICE_LINES:
            self._move(row)

    def _move(self, line: Row) -> None:
        if self.lines_move_invoices:
            self.get(INVOICES, line["invoice_id"])["updated_at"] = self._clock.stamp()
