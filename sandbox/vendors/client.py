"""Client of the admin API: what the story and the tests do in the vendors' own screens.

Synchronous on purpose: a story is read from top to bottom. Money goes in and comes back as Decimal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode

import httpx2

from sandbox.vendors import wire
from sandbox.vendors.effects import Effect
from sandbox.vendors.faults import FaultKind, FaultRule

Vendor = str
"""Name of a simulated vendor, as its folder bears it."""
Row = dict[str, Any]


class VendorAdminError(Exception):
    """The admin API refused a request; the text says why."""


class VendorAdmin:
    """Creates, changes and deletes rows of any vendor, sets behaviour, reads books and effects.

    Object names: Salesforce's API names; NetSuite's SuiteQL tables; collections of the others. Row
    fields are the vendor's own (`sandbox/vendors/<vendor>/`). Every method raises VendorAdminError.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 30.0) -> None:
        """`base_url` is the twin's root, e.g. `http://127.0.0.1:8090`."""
        self._http = httpx2.Client(base_url=f"{base_url}/admin", timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def is_up(self) -> bool:
        """Whether the twin answers."""
        try:
            return self._http.get("/health").is_success
        except httpx2.TransportError:
            return False

    def create(self, vendor: Vendor, record_type: str, row: Mapping[str, Any]) -> Row:
        """Add a row; the row as stored, id included.

        An explicit `SystemModstamp` or `lastmodifieddate` makes a row that shows up late.
        """
        created: Row = self._send("POST", f"/{vendor}/rows/{record_type}", row)
        return created

    def create_many(
        self, vendor: Vendor, record_type: str, rows: Sequence[Mapping[str, Any]]
    ) -> list[Row]:
        """Add rows in one request, in order."""
        created: list[Row] = self._send("POST", f"/{vendor}/rows/{record_type}", list(rows))
        return created

    def update(
        self, vendor: Vendor, record_type: str, row_id: str | int, changes: Mapping[str, Any]
    ) -> Row:
        """Change fields of a row; the row as stored."""
        updated: Row = self._send("PATCH", f"/{vendor}/rows/{record_type}/{row_id}", changes)
        return updated

    def delete(self, vendor: Vendor, record_type: str, row_id: str | int) -> None:
        """Delete a row the way the vendor does: recycle bin, deletion log, or without a trace."""
        self._send("DELETE", f"/{vendor}/rows/{record_type}/{row_id}")

    def purge_recycle_bin(self) -> int:
        """Salesforce forgets its deleted rows; how many."""
        return int(self._send("DELETE", "/salesforce/recycle-bin")["purged"])

    def prune_deletion_log(self) -> None:
        """Salesforce forgets which rows were deleted; `earliestDateAvailable` moves to now."""
        self._send("DELETE", "/salesforce/deletion-log")

    def invoice(
        self, job_external_id: str, hours: Mapping[str, Decimal] | None = None
    ) -> Row | None:
        """NetSuite's finance bills unbilled time of a project; None where there was none.

        `hours`: how much of which time bill (external id), else all.
        """
        order: dict[str, Any] = {"job_externalid": job_external_id}
        if hours is not None:
            order["hours"] = {bill: str(amount) for bill, amount in hours.items()}
        invoice: Row | None = self._send("POST", "/netsuite/invoices", order)
        return invoice

    def credit(self, invoice_id: str | int, lines: Sequence[int] | None = None) -> Row:
        """NetSuite's finance makes a credit memo of an invoice, or of its lines with these ids."""
        order = {} if lines is None else {"lines": list(lines)}
        memo: Row = self._send("POST", f"/netsuite/invoices/{invoice_id}/credits", order)
        return memo

    def void(self, transaction_id: str | int) -> Row:
        """NetSuite's finance voids an invoice or a credit memo."""
        voided: Row = self._send("POST", f"/netsuite/transactions/{transaction_id}/void", {})
        return voided

    def invoice_job(self, number: str, hours: Mapping[str, Decimal] | None = None) -> Row | None:
        """Business Central's finance invoices planned time of a project; None where none is left.

        `hours`: how much of which planning line (document number), else all.
        """
        order: dict[str, Any] = {"number": number}
        if hours is not None:
            order["hours"] = {line: str(amount) for line, amount in hours.items()}
        invoice: Row | None = self._send("POST", "/business_central/invoices", order)
        return invoice

    def credit_lines(self, invoice_id: str, lines: Sequence[str] | None = None) -> Row:
        """Business Central's finance credits an invoice, or its lines with these ids."""
        order = {} if lines is None else {"lines": list(lines)}
        path = f"/business_central/invoices/{invoice_id}/credits"
        memo: Row = self._send("POST", path, order)
        return memo

    def cancel_invoice(self, invoice_id: str) -> Row:
        """Business Central's finance cancels a posted invoice; its corrective credit memo."""
        memo: Row = self._send("POST", f"/business_central/invoices/{invoice_id}/cancel", {})
        return memo

    def invoice_hours(self, project: str, hours: Mapping[str, Decimal] | None = None) -> str | None:
        """Finance of Finance & Operations invoices hours of a project; None where none are left.

        `hours`: how much of which line (time bill), else all.
        """
        order: dict[str, Any] = {"project": project}
        if hours is not None:
            order["hours"] = {bill: str(amount) for bill, amount in hours.items()}
        invoice: str | None = self._send("POST", "/finance_operations/invoices", order)
        return invoice

    def credit_hours(self, invoice: str, lines: Sequence[str] | None = None) -> str:
        """Finance of Finance & Operations credits an invoice, or its lines with these ids."""
        order = {} if lines is None else {"lines": list(lines)}
        note: str = self._send("POST", f"/finance_operations/invoices/{invoice}/credits", order)
        return note

    def books(self) -> dict[str, dict[str, list[Row]]]:
        """All rows: vendor → object → rows. Salesforce's deleted rows are flagged `IsDeleted`."""
        books: dict[str, dict[str, list[Row]]] = self._send("GET", "/books")
        return books

    def effects(self) -> list[Effect]:
        """Every write executed through the vendors' APIs, in order."""
        return [Effect(**entry) for entry in self._send("GET", "/effects")]

    def configure(self, vendor: Vendor, **settings: object) -> dict[str, Any]:
        """Change settings (`<Vendor>Settings`); all settings of the vendor."""
        current: dict[str, Any] = self._send("PATCH", f"/{vendor}/settings", settings)
        return current

    def lift_rate_limits(self) -> None:
        """Raise every limit that counts requests over time; concurrency stays limited."""
        self._send("DELETE", "/limits")

    def add_fault(
        self,
        vendor: Vendor,
        kind: FaultKind,
        *,
        count: int | None = None,
        probability: float = 1.0,
        scope: Literal["read", "write", "any"] = "any",
        path: str = "",
        delay_s: float = 0.0,
    ) -> None:
        """Let matching requests fail: the next `count` of them, each with `probability`."""
        rule = FaultRule(
            kind=kind, count=count, probability=probability, scope=scope, path=path, delay_s=delay_s
        )
        self._send("POST", f"/{vendor}/faults", rule.model_dump())

    def clear_faults(self, vendor: Vendor, path: str | None = None) -> None:
        """Let the vendor behave again, or end the faults that were added with a path.

        Requests that they delay go on.
        """
        query = "" if path is None else f"?{urlencode({'path': path})}"
        self._send("DELETE", f"/{vendor}/faults{query}")

    def faults_drawn(self, vendor: Vendor) -> dict[str, int]:
        """How many requests met which kind of fault so far."""
        drawn: dict[str, int] = self._send("GET", f"/{vendor}/faults")["drawn"]
        return drawn

    def add_field(self, vendor: Vendor, record_type: str, field: str, value: object) -> None:
        """Every record returned shows a new field; NetSuite's query rows are type `suiteql`."""
        change = {"change": "add", "object": record_type, "field": field, "value": value}
        self._send("POST", f"/{vendor}/fields", change)

    def remove_field(self, vendor: Vendor, record_type: str, field: str) -> None:
        """The API does not know a field any more."""
        change = {"change": "remove", "object": record_type, "field": field}
        self._send("POST", f"/{vendor}/fields", change)

    def reset_fields(self, vendor: Vendor) -> None:
        """Show the normal fields again."""
        self._send("DELETE", f"/{vendor}/fields")

    def expire_tokens(self, vendor: Vendor) -> None:
        """End every session of the vendor."""
        self._send("DELETE", f"/{vendor}/tokens")

    def _send(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else wire.dumps(body)
        answer = self._http.request(method, path, content=content)
        if not answer.is_success:
            raise VendorAdminError(f"{method} {path}: {answer.status_code} {answer.text}")
        return wire.loads(answer.content) if answer.content else None
