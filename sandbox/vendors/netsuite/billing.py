"""Billing inside the ERP: finance turns time into invoices, credits them and voids them.

A transaction has a main line with its total, a line for each time bill and one with the tax. Lines
are signed as the ledger is: what is sold is a credit, so it is negative on an invoice and positive
on a credit memo; the header's total is the other way round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sandbox.vendors.netsuite.tables import DbRow, NetSuiteBooks
from sandbox.vendors.site import InvalidRowError, UnknownRowError

OPEN: Final = "A"
PAID: Final = "B"
VOIDED: Final = "V"
INVOICE: Final = "CustInvc"
CREDIT_MEMO: Final = "CustCred"

_APPROVED: Final = 2
_CENT: Final = Decimal("0.01")
_TAX_RATE: Final = Decimal("0.2")
_EXCHANGE_RATE: Final = Decimal("1.25")
"""Base currency for one of the transaction's, where they differ: amounts must not look alike."""

# Columns of an invoice line that its credit memo line takes over.
_COPIED: Final = (
    "itemtype",
    "entity",
    "rate",
    "timebill",
    "custcol_psa_time_entry",
    "custcol_psa_project",
)


@dataclass(frozen=True, slots=True)
class _Sale:
    """A line to write. `hours` and `amount` are what the customer owes for it."""

    hours: Decimal
    amount: Decimal
    columns: Mapping[str, Any]


def bill_job(
    books: NetSuiteBooks, job_external_id: str, hours: Mapping[str, Decimal] | None = None
) -> dict[str, Any] | None:
    """One invoice over the time of a job that is on none yet; None where there is none.

    `hours` names, by the external id of the time bill, how much of it to bill; without it all.
    Raises UnknownRowError for an unknown job and InvalidRowError when the time bills are in more
    than one currency, since an invoice has one, or `hours` asks for more than is left.
    """
    job = books.find("job", externalid=job_external_id)
    if job is None:
        raise UnknownRowError(f"no job {job_external_id}")
    sales = list(_sales(books, job, hours))
    if not sales:
        return None
    currencies = {sale.columns["currency"] for sale in sales}
    if len(currencies) > 1:
        raise InvalidRowError("time bills in several currencies")
    currency = currencies.pop()
    rate = _exchange_rate(books, job, currency)
    invoice = _write(books, INVOICE, job["parent"], currency, sales, rate=rate)
    for sale in sales:
        books.update("timebill", sale.columns["timebill"], {"invoice": invoice["id"]})
    return invoice


def credit_invoice(
    books: NetSuiteBooks, invoice_id: str, line_ids: Collection[int] | None = None
) -> dict[str, Any]:
    """A credit memo made from an invoice, over the lines named by their `id`, or over all.

    Its lines carry the columns of the invoice's lines; the time stays billed. Raises
    UnknownRowError where there is no such invoice or line.
    """
    invoice = _transaction(books, invoice_id, INVOICE)
    lines = [
        line for line in _sale_lines(books, invoice) if line_ids is None or line["id"] in line_ids
    ]
    if not lines or (line_ids is not None and len(lines) != len(set(line_ids))):
        raise UnknownRowError(f"invoice {invoice_id} has no such line")
    sales = [
        _Sale(
            -Decimal(line["quantity"] or 0),
            -Decimal(line["foreignamount"]),
            {name: line[name] for name in _COPIED},
        )
        for line in lines
    ]
    memo = _write(
        books,
        CREDIT_MEMO,
        invoice["entity"],
        invoice["currency"],
        sales,
        rate=Decimal(invoice["exchangerate"]),
        created_from=invoice["id"],
    )
    books.update("transaction", invoice["id"], {})  # applied to it, which changes it
    return memo


def void_transaction(books: NetSuiteBooks, transaction_id: str) -> dict[str, Any]:
    """Void an invoice or a credit memo: it stays, its amounts become zero, its time is free.

    Raises UnknownRowError.
    """
    transaction = _transaction(books, transaction_id)
    for line in books.select("transactionline", transaction=transaction["id"]):
        zero = {"foreignamount": Decimal(0), "netamount": Decimal(0)}
        books.update("transactionline", line["uniquekey"], zero)
    for bill in books.select("timebill", invoice=transaction["id"]):
        books.update("timebill", bill["id"], {"invoice": None})
    changes = {"status": VOIDED, "voided": True, "foreigntotal": Decimal(0)}
    return books.update("transaction", transaction["id"], changes)


def _sales(
    books: NetSuiteBooks, job: DbRow, wanted: Mapping[str, Decimal] | None
) -> Iterator[_Sale]:
    bills = {bill["externalid"]: bill for bill in books.select("timebill", customer=job["id"])}
    if wanted is not None and (unknown := wanted.keys() - bills.keys()):
        raise UnknownRowError(f"job {job['externalid']} has no time {', '.join(sorted(unknown))}")
    for external_id, bill in bills.items():
        left = Decimal(bill["hours"]) - _billed(books, bill)
        hours = left if wanted is None else wanted.get(external_id, Decimal(0))
        if hours > left:
            raise InvalidRowError(f"{external_id} has {left} hours left, not {hours}")
        if hours <= 0:
            continue
        symbol = bill["custcol_psa_currency"]
        yield _Sale(
            hours,
            (hours * Decimal(bill["rate"] or 0)).quantize(_CENT, rounding=ROUND_HALF_UP),
            {
                "itemtype": "Service",
                "entity": job["id"],
                "rate": bill["rate"],
                "timebill": bill["id"],
                "custcol_psa_time_entry": bill["custcol_psa_time_entry"],
                "custcol_psa_project": bill["custcol_psa_project"],
                "currency": books.currency_id(symbol) if symbol else job["currency"],
            },
        )


def _billed(books: NetSuiteBooks, bill: DbRow) -> Decimal:
    """Hours of a time bill on invoices that stand."""
    lines = books.select("transactionline", timebill=bill["id"])
    standing = {
        row["id"] for row in books.select("transaction", type=INVOICE) if row["status"] != VOIDED
    }
    on_invoices = [-Decimal(line["quantity"]) for line in lines if line["transaction"] in standing]
    return sum(on_invoices, Decimal(0))


def _exchange_rate(books: NetSuiteBooks, job: DbRow, currency: int) -> Decimal:
    entity = books.find("subsidiary", id=job["subsidiary"])
    is_base = entity is None or entity["currency"] in (None, currency)
    return Decimal(1) if is_base else _EXCHANGE_RATE


def _write(
    books: NetSuiteBooks,
    kind: str,
    customer: int | None,
    currency: int,
    sales: Sequence[_Sale],
    *,
    rate: Decimal,
    created_from: int | None = None,
) -> DbRow:
    """Write a transaction with its lines; the row of its header."""
    sign = -1 if kind == INVOICE else 1
    net = sum((sale.amount for sale in sales), Decimal(0))
    tax = (net * _TAX_RATE).quantize(_CENT, rounding=ROUND_HALF_UP)
    header = books.create(
        "transaction",
        {
            "type": kind,
            "trandate": books.stamp()[:10],
            "entity": customer,
            "currency": currency,
            "exchangerate": rate,
            "foreigntotal": -sign * (net + tax),
            "status": OPEN,
            "approvalstatus": _APPROVED,
        },
    )
    main = {"mainline": True, "createdfrom": created_from, "entity": customer}
    lines: list[tuple[Decimal, dict[str, Any]]] = [(-sign * (net + tax), main)]
    for sale in sales:
        columns = {name: value for name, value in sale.columns.items() if name != "currency"}
        lines.append((sign * sale.amount, {**columns, "quantity": sign * sale.hours}))
    lines.append((sign * tax, {"taxline": True, "itemtype": "TaxItem", "entity": customer}))
    for number, (amount, columns) in enumerate(lines):
        books.create(
            "transactionline",
            {
                "transaction": header["id"],
                "id": number,
                "linesequencenumber": number,
                "foreignamount": amount,
                "netamount": (amount * rate).quantize(_CENT, rounding=ROUND_HALF_UP),
                **columns,
            },
        )
    return header


def _sale_lines(books: NetSuiteBooks, transaction: DbRow) -> list[DbRow]:
    lines = books.select("transactionline", transaction=transaction["id"])
    return [line for line in lines if line["mainline"] == "F" and line["taxline"] == "F"]


def _transaction(books: NetSuiteBooks, row_id: str, kind: str | None = None) -> DbRow:
    row = books.find("transaction", id=int(row_id)) if str(row_id).isdigit() else None
    if row is None or kind not in (None, row["type"]):
        raise UnknownRowError(f"no {kind or 'transaction'} {row_id}")
    return row
