"""What HR, payroll and procurement do in their systems, whichever they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from sandbox.story.psa import Person
from sandbox.vendors.client import VendorAdmin


@dataclass(frozen=True, slots=True)
class Contract:
    """What somebody is hired as."""

    title: str
    department: str
    location: str
    starts_on: str
    yearly: Decimal
    currency: str


class Hr(Protocol):
    """The screens of an HR system. Every method raises VendorAdminError."""

    def hire(self, person: Person, contract: Contract) -> None:
        """Employ a person."""

    def promote(self, person: Person, title: str, starts_on: str) -> None:
        """Give a person another job from a day on."""

    def pay_more(self, person: Person, yearly: Decimal, starts_on: str) -> None:
        """Pay a person otherwise from a day on."""

    def grant_leave(self, person: Person, first: str, last: str) -> None:
        """Approve leave."""

    def let_go(self, person: Person, last: str) -> None:
        """End an employment."""


class BambooHr:
    """Rows by date, and requests for leave."""

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin
        self._employees: dict[str, str] = {}
        self._contracts: dict[str, Contract] = {}

    def hire(self, person: Person, contract: Contract) -> None:
        row = {
            "firstName": person.first_name,
            "lastName": person.last_name,
            "workEmail": person.email,
            "hireDate": contract.starts_on,
        }
        made = self._admin.create("bamboohr", "employees", row)
        self._employees[person.email] = made["id"]
        self._contracts[person.email] = contract
        self.promote(person, contract.title, contract.starts_on)
        self.pay_more(person, contract.yearly, contract.starts_on)

    def promote(self, person: Person, title: str, starts_on: str) -> None:
        contract = self._contracts[person.email]
        row = {
            "employeeId": self._employees[person.email],
            "date": starts_on,
            "jobTitle": title,
            "department": contract.department,
            "location": contract.location,
        }
        self._admin.create("bamboohr", "jobInfo", row)

    def pay_more(self, person: Person, yearly: Decimal, starts_on: str) -> None:
        row = {
            "employeeId": self._employees[person.email],
            "startDate": starts_on,
            "rate": yearly,
            "currency": self._contracts[person.email].currency,
        }
        self._admin.create("bamboohr", "compensation", row)

    def grant_leave(self, person: Person, first: str, last: str) -> None:
        row = {"employeeId": self._employees[person.email], "start": first, "end": last}
        self._admin.create("bamboohr", "time_off", {**row, "status": "approved"})

    def let_go(self, person: Person, last: str) -> None:
        changes = {"status": "Inactive", "terminationDate": last}
        self._admin.update("bamboohr", "employees", self._employees[person.email], changes)


class Adp:
    """Workers as they are today; leave is a state of their assignment."""

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin
        self._workers: dict[str, str] = {}

    def hire(self, person: Person, contract: Contract) -> None:
        row = {
            "given_name": person.first_name,
            "family_name": person.last_name,
            "work_email": person.email,
            "original_hire_date": contract.starts_on,
            "job_title": contract.title,
            "department": contract.department,
            "location": contract.location,
            "annual_rate": contract.yearly,
            "currency": contract.currency,
        }
        self._workers[person.email] = self._admin.create("adp", "workers", row)["id"]

    def promote(self, person: Person, title: str, starts_on: str) -> None:
        self._change(person, job_title=title, actual_start_date=starts_on)

    def pay_more(self, person: Person, yearly: Decimal, starts_on: str) -> None:
        self._change(person, annual_rate=yearly, pay_effective_date=starts_on)

    def grant_leave(self, person: Person, first: str, last: str) -> None:
        self._change(person, status="Inactive", assignment_status="L")

    def let_go(self, person: Person, last: str) -> None:
        ended = {"status": "Terminated", "assignment_status": "T"}
        self._change(person, termination_date=last, **ended)

    def _change(self, person: Person, **changes: object) -> None:
        self._admin.update("adp", "workers", self._workers[person.email], changes)


class Gusto:
    """A company whose payrolls are prepared, and then processed."""

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin
        self._employees: dict[str, str] = {}

    def hire(self, person: Person, contract: Contract) -> None:
        """Put a person on the payroll."""
        row = {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "work_email": person.email,
        }
        employee = self._employees[person.email] = self._create("employees", row)
        job = {"employee_uuid": employee, "title": contract.title}
        job_id = self._create("jobs", {**job, "hire_date": contract.starts_on})
        rate = {"job_uuid": job_id, "rate": contract.yearly, "effective_date": contract.starts_on}
        self._create("compensations", rate)

    def run(
        self,
        days: tuple[str, str, str],
        gross: Mapping[str, Decimal],
        *,
        excluded: Sequence[str] = (),
        reason: str | None = None,
    ) -> None:
        """Process a payroll: first, last and pay day, gross pay by address; others are excluded."""
        first, last, paid = days
        header = {"start_date": first, "end_date": last, "check_date": paid}
        kind = {"off_cycle": reason is not None, "off_cycle_reason": reason}
        payroll = self._create("payrolls", {**header, **kind})
        for email, amount in gross.items():
            taxes = [
                {"name": "Social Security", "employer": True, "amount": _share(amount, "0.062")},
                {"name": "Medicare", "employer": True, "amount": _share(amount, "0.0145")},
                {"name": "Federal Income Tax", "employer": False, "amount": _share(amount, "0.1")},
            ]
            health = {"name": "Health", "employee_deduction": 50, "company_contribution": 120}
            item = {
                "payroll_uuid": payroll,
                "employee_uuid": self._employees[email],
                "excluded": email in excluded,
                "gross_pay": amount,
                "taxes": taxes,
                "benefits": [health] if reason is None else [],
            }
            self._create("payroll_items", item)
        self._admin.update("gusto", "payrolls", payroll, {"processed": True})

    def _create(self, record_type: str, row: Mapping[str, Any]) -> str:
        return str(self._admin.create("gusto", record_type, row)["id"])


@dataclass(frozen=True, slots=True)
class Purchase:
    """A line of an order: hours of a contractor for a project."""

    order: str
    line: str
    supplier: str
    hours: Decimal
    price: Decimal
    currency: str
    account: str | None


class Coupa:
    """An instance whose lines name projects by the code of their account."""

    def __init__(self, admin: VendorAdmin) -> None:
        self._admin = admin
        self._suppliers: dict[str, str] = {}
        self._invoices = 0

    def order(
        self, supplier: str, account: str | None, hours: Decimal, price: Decimal, currency: str
    ) -> Purchase:
        """Order hours of a supplier."""
        if supplier not in self._suppliers:
            self._suppliers[supplier] = self._create("suppliers", {"name": supplier})
        found = self._suppliers[supplier]
        order = self._create("purchase_orders", {"status": "issued", "currency": currency})
        line = {
            "order_header_id": order,
            "supplier_id": found,
            "account_code": account,
            "quantity": hours,
            "total": hours * price,
        }
        made = self._create("purchase_order_lines", line)
        return Purchase(order, made, found, hours, price, currency, account)

    def receive(self, bought: Purchase, day: str, *, is_return: bool = False) -> str:
        """Note that hours were worked, or that they are given back."""
        kind = "ReturnToSupplier" if is_return else "Consumption"
        row = {
            "type": f"ReceivingQuantity{kind}",
            "order_line_id": bought.line,
            "transaction_date": day,
            "quantity": bought.hours,
            "total": bought.hours * bought.price,
        }
        return self._create("receiving_transactions", row)

    def void_receipt(self, receipt: str) -> None:
        """Take a receipt back: another transaction says so, and it itself, too."""
        [row] = [
            each
            for each in self._admin.books()["coupa"]["receiving_transactions"]
            if each["id"] == receipt
        ]
        kept = ("order_line_id", "transaction_date", "quantity", "total")
        void = {name: row[name] for name in kept} | {"type": f"Void{row['type']}"}
        self._create("receiving_transactions", void)
        self._admin.update("coupa", "receiving_transactions", receipt, {"status": "voided"})

    def bill(self, bought: Purchase, day: str, *, is_credit: bool = False) -> str:
        """Enter a supplier's invoice or credit note for what was ordered."""
        self._invoices += 1
        header = {
            "invoice_number": f"V-{self._invoices:04}",
            "document_type": "Credit Note" if is_credit else "Invoice",
            "status": "pending_approval",
            "invoice_date": day,
            "supplier_id": bought.supplier,
            "currency": bought.currency,
        }
        invoice = self._create("invoices", header)
        line = {
            "invoice_id": invoice,
            "order_line_id": bought.line,
            "account_code": bought.account,
            "quantity": bought.hours,
            "total": bought.hours * bought.price,
        }
        self._create("invoice_lines", line)
        return invoice

    def decide(self, invoice: str, status: str, *, is_paid: bool = False) -> None:
        """Approve an invoice, void it, or pay it."""
        self._admin.update("coupa", "invoices", invoice, {"status": status, "paid": is_paid})

    def close(self, bought: Purchase, status: str) -> None:
        """Close or cancel an order."""
        self._admin.update("coupa", "purchase_orders", bought.order, {"status": status})

    def _create(self, record_type: str, row: Mapping[str, Any]) -> str:
        return str(self._admin.create("coupa", record_type, row)["id"])


HRS: Final[Mapping[str, Callable[[VendorAdmin], Hr]]] = {"bamboohr": BambooHr, "adp": Adp}
PAYROLLS: Final[Mapping[str, Callable[[VendorAdmin], Gusto]]] = {"gusto": Gusto}
PROCUREMENTS: Final[Mapping[str, Callable[[VendorAdmin], Coupa]]] = {"coupa": Coupa}
"""Those that a story can be told in, by the name of the system."""


def _share(amount: Decimal, ratio: str) -> Decimal:
    """A part of an amount, to the cent."""
    return (amount * Decimal(ratio)).quantize(Decimal("0.01"))
