"""What finance does in the ERP: it posts journals, invoices hours of a project and credits them.

Lines of invoices are those of the firm's own entity; credit notes are negative. A journal that is
posted is not changed any more, so the next one is opened first. Hours that a credit note gives back
can be invoiced again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sandbox.vendors.finance_operations.books import FinanceOperationsBooks, Row, noon
from sandbox.vendors.site import InvalidRowError, UnknownRowError

LINES: Final = "PsaProjectInvoiceLines"
_CENT: Final = Decimal("0.01")


def open_journal(books: FinanceOperationsBooks, company: str, name: str) -> Row:
    """Open a journal of hours."""
    return books.create("JournalTables", {"dataAreaId": company, "JournalName": name})


def post_journal(books: FinanceOperationsBooks, journal_id: str) -> None:
    """Post a journal, and open the next of its name. Raises UnknownRowError."""
    journal = books.row("JournalTables", journal_id)
    if journal["Posted"] == "Yes":
        return
    open_journal(books, journal["dataAreaId"], journal["JournalName"])
    books.update("JournalTables", journal_id, {"Posted": "Yes"})


def invoice_project(
    books: FinanceOperationsBooks, number: str, hours: Mapping[str, Decimal] | None = None
) -> str | None:
    """Invoice hours of a project, whose journals are posted; the invoice, None for nothing.

    `hours` says, by time bill, how much of which line; without it all that is left. Raises
    UnknownRowError, and InvalidRowError for lines in several currencies or more than is left.
    """
    project = books.find("Projects", ProjectID=number)
    if project is None:
        raise UnknownRowError(f"no project {number}")
    company = project["dataAreaId"]
    wanted = None if hours is None else {name.upper(): part for name, part in hours.items()}
    parts = []
    for line in books.select("JournalTrans", dataAreaId=company, ProjectID=number):
        left = line["Hours"] - line["_invoiced"]
        part = left if wanted is None else wanted.get(line["PsaStreamTimeBillId"], Decimal(0))
        if part > left:
            raise InvalidRowError(
                f"{line['PsaStreamTimeBillId']} has {left} hours left, not {part}"
            )
        if part > 0:
            parts.append((line, part))
    if not parts:
        return None
    if len({line["CurrencyId"] for line, _ in parts}) > 1:
        raise InvalidRowError("hours in several currencies")
    for line, _ in parts:
        journal = books.find(
            "JournalTables", dataAreaId=company, JournalBatchNumber=line["JournalId"]
        )
        if journal is not None:
            post_journal(books, journal["id"])
    invoice = _number(books, "PI")
    for line, part in parts:
        _invoiced(books, line["id"], part)
        _line(books, invoice, _sale(project, line, part))
    return invoice


def credit_invoice(
    books: FinanceOperationsBooks, invoice: str, line_ids: Collection[str] | None = None
) -> str:
    """Credit lines of an invoice, or all; return the credit note.

    Raises UnknownRowError where there is no such invoice or line.
    """
    lines = [
        line
        for line in books.select(LINES, ProjInvoiceId=invoice)
        if line_ids is None or line["id"] in line_ids
    ]
    if not lines or (line_ids is not None and len(lines) != len(set(line_ids))):
        raise UnknownRowError(f"invoice {invoice} has no such line")
    note = _number(books, "PC")
    for line in lines:
        _invoiced(books, line["_line"], -line["Qty"])
        turned = {"Qty": -line["Qty"], "LineAmount": -line["LineAmount"]}
        _line(books, note, {name: line[name] for name in _COPIED} | turned)
    return note


_COPIED: Final = (
    "dataAreaId", "InvoiceAccount", "ProjId", "CurrencyId", "PsaStreamTimeEntryId",
    "PsaStreamProjectRef", "_line",
)  # fmt: skip


def _sale(project: Row, line: Row, part: Decimal) -> dict[str, Any]:
    amount = (part * line["SalesPrice"]).quantize(_CENT, rounding=ROUND_HALF_UP)
    return {
        "dataAreaId": project["dataAreaId"],
        "InvoiceAccount": project["CustomerAccount"],
        "ProjId": project["ProjectID"],
        "Qty": part,
        "LineAmount": amount,
        "CurrencyId": line["CurrencyId"],
        "PsaStreamTimeEntryId": line["PsaStreamTimeEntryId"],
        "PsaStreamProjectRef": line["PsaStreamProjectRef"],
        "_line": line["id"],
    }


def _line(books: FinanceOperationsBooks, invoice: str, values: Mapping[str, Any]) -> None:
    trans = f"PRT-{len(books.select(LINES)) + 1:06d}"
    day = noon(books.clock.now().date())
    books.create(LINES, {**values, "ProjInvoiceId": invoice, "TransId": trans, "InvoiceDate": day})


def _invoiced(books: FinanceOperationsBooks, line_id: str, part: Decimal) -> None:
    line = books.row("JournalTrans", line_id)
    books.update("JournalTrans", line_id, {"_invoiced": line["_invoiced"] + part})


def _number(books: FinanceOperationsBooks, prefix: str) -> str:
    made = {row["ProjInvoiceId"] for row in books.select(LINES)}
    return f"{prefix}-{len(made) + 1:06d}"
