"""What finance does in the ERP: it invoices planned time, credits it and cancels invoices.

Amounts of documents are positive, of credit memos too. A posted invoice that is cancelled has the
status Canceled, and a corrective credit memo stands against it; its time can be invoiced again.
Time that an ordinary credit memo gives back stays invoiced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sandbox.vendors.business_central.books import BusinessCentralBooks, Row, total
from sandbox.vendors.site import InvalidRowError, UnknownRowError

INVOICES: Final = "salesInvoices"
MEMOS: Final = "salesCreditMemos"
LINES: Final = {INVOICES: "postedSalesInvoiceLines", MEMOS: "postedSalesCreditMemoLines"}
_PREFIX: Final = {INVOICES: "PS-INV", MEMOS: "PS-CR"}
_CENT: Final = Decimal("0.01")
_TAX_RATE: Final = Decimal("0.2")
_COPIED: Final = (
    "billToCustomerNumber",
    "jobNumber",
    "psaTimeEntryId",
    "psaProjectRef",
    "_planning_line",
)


def invoice_job(
    books: BusinessCentralBooks, number: str, hours: Mapping[str, Decimal] | None = None
) -> Row | None:
    """Post one invoice over the planned time of a project; None where nothing is left of it.

    `hours` says, by document number, how much of which line; without it all. Raises
    UnknownRowError, and InvalidRowError for lines in several currencies or more than is left.
    """
    job = _job(books, number)
    planned = books.select("jobPlanningLines", company=job["company"], jobNumber=job["number"])
    wanted = None if hours is None else {name.upper(): part for name, part in hours.items()}
    lines = []
    for planning in planned:
        left = planning["quantity"] - planning["quantityInvoiced"]
        part = left if wanted is None else wanted.get(planning["documentNumber"], Decimal(0))
        if part > left:
            raise InvalidRowError(f"{planning['documentNumber']} has {left} hours left, not {part}")
        if part > 0:
            lines.append((planning, part))
    if not lines:
        return None
    if len({planning["currencyCode"] for planning, _ in lines}) > 1:
        raise InvalidRowError("time in several currencies")
    document = _post(
        books,
        INVOICES,
        job,
        currency=lines[0][0]["currencyCode"],
        sales=[_sale(job, planning, part) for planning, part in lines],
    )
    for planning, part in lines:
        _invoiced(books, planning["id"], part)
    return document


def credit_invoice(
    books: BusinessCentralBooks, invoice_id: str, line_ids: Collection[str] | None = None
) -> Row:
    """Post a credit memo over lines of an invoice, or over all; its time stays invoiced.

    Raises UnknownRowError where there is no such invoice or line.
    """
    invoice = books.row(INVOICES, invoice_id)
    lines = [line for line in _lines(books, invoice) if line_ids is None or line["id"] in line_ids]
    if not lines or (line_ids is not None and len(lines) != len(set(line_ids))):
        raise UnknownRowError(f"invoice {invoice_id} has no such line")
    memo = _credit(books, invoice, lines, "Open")
    books.update(INVOICES, invoice["id"], {})  # applied to it
    return memo


def cancel_invoice(books: BusinessCentralBooks, invoice_id: str) -> Row:
    """Cancel a posted invoice; returns the corrective credit memo. Raises UnknownRowError."""
    invoice = books.row(INVOICES, invoice_id)
    lines = _lines(books, invoice)
    for line in lines:
        _invoiced(books, line["_planning_line"], -line["quantity"])
    books.update(INVOICES, invoice["id"], {"status": "Canceled", "remainingAmount": Decimal(0)})
    return _credit(books, invoice, lines, "Corrective")


def _job(books: BusinessCentralBooks, number: str) -> Row:
    job = books.find("jobs", number=number.upper())
    if job is None:
        raise UnknownRowError(f"no project {number}")
    return job


def _lines(books: BusinessCentralBooks, invoice: Row) -> list[Row]:
    return books.select(LINES[INVOICES], documentId=invoice["id"])


def _invoiced(books: BusinessCentralBooks, planning_id: str, part: Decimal) -> None:
    planning = books.row("jobPlanningLines", planning_id)
    invoiced = {"quantityInvoiced": planning["quantityInvoiced"] + part}
    books.update("jobPlanningLines", planning_id, invoiced)


def _sale(job: Row, planning: Row, part: Decimal) -> dict[str, Any]:
    amount = (part * planning["unitPrice"]).quantize(_CENT, rounding=ROUND_HALF_UP)
    return {
        "quantity": part,
        "amount": amount,
        "billToCustomerNumber": job["billToCustomerNumber"],
        "jobNumber": job["number"],
        "psaTimeEntryId": planning["psaTimeEntryId"],
        "psaProjectRef": planning["psaProjectRef"],
        "_planning_line": planning["id"],
    }


def _credit(books: BusinessCentralBooks, invoice: Row, lines: Sequence[Row], status: str) -> Row:
    sales = [{name: line[name] for name in ("quantity", "amount", *_COPIED)} for line in lines]
    memo = _post(
        books, MEMOS, invoice, currency=invoice["currencyCode"], sales=sales, status=status
    )
    return books.update(MEMOS, memo["id"], {"_invoice": invoice["id"]})


def _post(
    books: BusinessCentralBooks,
    kind: str,
    of: Row,
    *,
    currency: str,
    sales: Sequence[Mapping[str, Any]],
    status: str = "Open",
) -> Row:
    """Write a document of the company of a record, and its lines."""
    net = total([dict(sale) for sale in sales], "amount")
    tax = (net * _TAX_RATE).quantize(_CENT, rounding=ROUND_HALF_UP)
    day = books.clock.now().date().isoformat()
    number = f"{_PREFIX[kind]}{len(books.select(kind)) + 103_001}"
    document: dict[str, Any] = {
        "company": of["company"],
        "number": number,
        "status": status,
        "postingDate": day,
        "customerNumber": of.get("billToCustomerNumber") or of["customerNumber"],
        "currencyCode": currency,
        "totalAmountExcludingTax": net,
        "totalTaxAmount": tax,
        "totalAmountIncludingTax": net + tax,
        **(
            {"invoiceDate": day, "remainingAmount": net + tax}
            if kind == INVOICES
            else {"creditMemoDate": day}
        ),
    }
    made = books.create(kind, document)
    for position, sale in enumerate(sales, 1):
        line = {
            "company": of["company"],
            "documentId": made["id"],
            "documentNumber": number,
            "lineNumber": position * 10_000,
            "postingDate": day,
            "lineType": "Resource",
            **sale,
        }
        books.create(LINES[kind], line)
    return made
