"""Billing inside the ERP: finance turns the unbilled time of a project into an invoice."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.vendors.netsuite.tables import DbRow, NetSuiteBooks
from sandbox.vendors.site import InvalidRowError, UnknownRowError

_CENT = Decimal("0.01")


def bill_job(books: NetSuiteBooks, job_external_id: str) -> dict[str, Any] | None:
    """One invoice over all time bills of a job that are on none; None where there are none.

    Raises UnknownRowError for an unknown job and InvalidRowError when the time bills are in more
    than one currency, since an invoice has one.
    """
    job = books.find("job", externalid=job_external_id)
    if job is None:
        raise UnknownRowError(f"no job {job_external_id}")
    bills = books.select("timebill", job=job["id"], invoice=None)
    if not bills:
        return None
    currencies = {bill["currency"] or job["currency"] for bill in bills}
    if len(currencies) > 1:
        raise InvalidRowError(f"time bills in several currencies: {', '.join(sorted(currencies))}")
    invoice = books.create(
        "transaction",
        {
            "type": "CustInvc",
            "trandate": books.stamp()[:10],
            "entity": job["parent"],
            "job": job["id"],
            "currency": currencies.pop(),
            "foreigntotal": sum((_amount(bill) for bill in bills), Decimal(0)),
            "status": "open",
        },
    )
    for number, bill in enumerate(bills, start=1):
        _add_line(books, invoice, number, bill)
    return invoice


def _add_line(books: NetSuiteBooks, invoice: DbRow, number: int, bill: DbRow) -> None:
    books.create(
        "transactionline",
        {
            "transaction": invoice["id"],
            "line": number,
            "linesequencenumber": number,
            "entity": bill["job"],
            "quantity": bill["hours"],
            "rate": bill["rate"],
            "netamount": _amount(bill),
            "custcol_psa_time_entry": bill["custcol_psa_time_entry"],
            "custcol_psa_project": bill["custcol_psa_project"],
        },
    )
    books.update("timebill", bill["id"], {"invoice": invoice["id"]})


def _amount(bill: DbRow) -> Decimal:
    amount = Decimal(bill["hours"]) * Decimal(bill["rate"] or 0)
    return amount.quantize(_CENT, rounding=ROUND_HALF_UP)
