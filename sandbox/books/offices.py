"""What HR, payroll and procurement lead to: the canonical records of their rows. Pure.

No table reads these records yet, so the topics themselves are compared. A record is named as its
row is: `<system>:<object>:<id>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from schemas.identity import is_project_id, resource_id

Row = Mapping[str, Any]
Tables = Mapping[str, Iterable[Row]]
Offices = Mapping[str, Tables]
Expected = dict[str, dict[str, Any]]

EMPLOYMENT, JOB, COMPENSATION = "psa.employment", "psa.job", "psa.compensation"
PAYROLL_COST: Final = "psa.payroll_cost"
ORDER, INVOICE, RECEIPT = "psa.purchase_order", "psa.supplier_invoice", "psa.goods_receipt"
_PER: Final = {"Hour": "hour", "Week": "week", "Month": "month", "Year": "year"}
_ORDER_STATUS: Final = {"draft": "draft", "issued": "ordered", "closed": "closed"}
_EXCHANGED: Final = {"created": "posted", "voided": "void"}


def of_bamboohr(tables: Tables) -> dict[str, Expected]:
    """People from hire to termination, and both tables by date."""
    people = {row["id"]: row for row in tables["employees"]}
    records = "bamboohr:"

    def of(employee: str) -> dict[str, Any]:
        return _person("bamboohr:employee", employee, people[employee]["workEmail"])

    return {
        EMPLOYMENT: {
            f"{records}employee:{row['id']}": of(row["id"])
            | {
                "starts_on": _day(row["hireDate"]),
                "ends_on": _day(row["terminationDate"]),
                "status": "active" if row["status"] == "Active" else "ended",
            }
            for row in people.values()
        },
        JOB: {
            f"{records}job:{row['id']}": of(row["employeeId"])
            | {
                "starts_on": _day(row["date"]),
                "title": row["jobTitle"],
                "department": row["department"],
                "location": row["location"],
            }
            for row in tables["jobInfo"]
        },
        COMPENSATION: {
            f"{records}compensation:{row['id']}": of(row["employeeId"])
            | {
                "starts_on": _day(row["startDate"]),
                "rate": _number(row["rate"]),
                "per": _PER[row["paidPer"]],
                "currency": row["currency"],
            }
            for row in tables["compensation"]
        },
    }


def of_adp(tables: Tables) -> dict[str, Expected]:
    """Workers as they are today: employment, the present job and the present pay."""
    workers = list(tables["workers"])

    def of(row: Row) -> dict[str, Any]:
        return _person("adp:worker", row["id"], row["work_email"])

    def status(row: Row) -> str:
        if row["status"] == "Terminated":
            return "ended"
        return "on_leave" if row["assignment_status"] == "L" else "active"

    return {
        EMPLOYMENT: {
            f"adp:worker:{row['id']}": of(row)
            | {
                "starts_on": _day(row["rehire_date"] or row["original_hire_date"]),
                "ends_on": _day(row["termination_date"]),
                "status": status(row),
            }
            for row in workers
        },
        JOB: {
            f"adp:worker:{row['id']}": of(row)
            | {
                "starts_on": _day(row["actual_start_date"]),
                "title": row["job_title"],
                "department": row["department"],
                "location": row["location"],
            }
            for row in workers
        },
        COMPENSATION: {
            f"adp:worker:{row['id']}": of(row)
            | {
                "starts_on": _day(row["pay_effective_date"]),
                "rate": _number(row["annual_rate"]),
                "per": "year",
                "currency": row["currency"],
            }
            for row in workers
        },
    }


def of_gusto(tables: Tables) -> dict[str, Expected]:
    """Rates by date, and what each person who was paid cost in each processed payroll."""
    people = {row["id"]: row for row in tables["employees"]}
    jobs = {row["id"]: row for row in tables["jobs"]}
    payrolls = {row["id"]: row for row in tables["payrolls"] if row["processed"]}

    def of(employee: str) -> dict[str, Any]:
        return _person("gusto:employee", employee, people[employee]["work_email"])

    return {
        COMPENSATION: {
            f"gusto:compensation:{row['id']}": of(jobs[row["job_uuid"]]["employee_uuid"])
            | {
                "starts_on": _day(row["effective_date"]),
                "rate": _number(row["rate"]),
                "per": _PER[row["payment_unit"]],
                "currency": "USD",
            }
            for row in tables["compensations"]
        },
        PAYROLL_COST: {
            f"gusto:payroll_item:{row['payroll_uuid']},{row['employee_uuid']}": of(
                row["employee_uuid"]
            )
            | _cost(row, payrolls[row["payroll_uuid"]])
            for row in tables["payroll_items"]
            if row["payroll_uuid"] in payrolls and not row["excluded"]
        },
    }


def _cost(item: Row, payroll: Row) -> dict[str, Any]:
    kind = "off_cycle" if payroll["off_cycle"] else "regular"
    return {
        "payroll_id": f"gusto:payroll:{payroll['id']}",
        "kind": "reversal" if payroll["off_cycle_reason"] == "Reversal" else kind,
        "status": "processed",
        "starts_on": _day(payroll["start_date"]),
        "ends_on": _day(payroll["end_date"]),
        "paid_on": _day(payroll["check_date"]),
        "gross": _number(item["gross_pay"]),
        "employer_taxes": _sum(each["amount"] for each in item["taxes"] if each["employer"]),
        "employer_benefits": _sum(each["company_contribution"] for each in item["benefits"]),
        "currency": "USD",
    }


def of_coupa(tables: Tables) -> dict[str, Expected]:
    """Lines of orders and of invoices, and receipts; what goes back to a supplier is negative."""
    suppliers = {row["id"]: row for row in tables["suppliers"]}
    orders = {row["id"]: row for row in tables["purchase_orders"]}
    lines = {row["id"]: row for row in tables["purchase_order_lines"]}
    invoices = {row["id"]: row for row in tables["invoices"]}

    def of(supplier: str) -> dict[str, Any]:
        return {
            "source_system": "coupa",
            "supplier_ref": f"coupa:supplier:{supplier}",
            "supplier_name": suppliers[supplier]["name"],
        }

    def ordered(row: Row) -> dict[str, Any]:
        order = orders[row["order_header_id"]]
        return of(row["supplier_id"]) | {
            "order_id": f"coupa:purchase_order:{order['id']}",
            "number": order["po_number"],
            "status": _ORDER_STATUS.get(order["status"], "cancelled"),
            "project_id": _project(row),
            "quantity": _number(row["quantity"]),
            "amount": _number(row["total"]),
            "currency": order["currency"],
        }

    def billed(row: Row) -> dict[str, Any]:
        invoice = invoices[row["invoice_id"]]
        is_credit = invoice["document_type"] == "Credit Note"
        is_paid = invoice["paid"] and invoice["status"] == "approved"
        status = {"voided": "void"}.get(invoice["status"], invoice["status"])
        return of(invoice["supplier_id"]) | {
            "invoice_id": f"coupa:invoice:{invoice['id']}",
            "number": invoice["invoice_number"],
            "kind": "credit_memo" if is_credit else "invoice",
            "status": "paid" if is_paid else status,
            "invoiced_on": _day(invoice["invoice_date"]),
            "order_line_ref": _line(row["order_line_id"]),
            "project_id": _project(row),
            "quantity": _signed(row["quantity"], is_negative=is_credit),
            "amount": _signed(row["total"], is_negative=is_credit),
            "currency": invoice["currency"],
        }

    def received(row: Row) -> dict[str, Any]:
        is_return = row["type"].endswith(("ReturnToSupplier", "Disposal"))
        order = orders[lines[row["order_line_id"]]["order_header_id"]]
        return {
            "source_system": "coupa",
            "kind": "return" if is_return else "receipt",
            "status": _EXCHANGED[row["status"]],
            "received_on": _day(row["transaction_date"]),
            "order_line_ref": _line(row["order_line_id"]),
            "quantity": _signed(row["quantity"], is_negative=is_return),
            "amount": _signed(row["total"], is_negative=is_return),
            "currency": order["currency"],
        }

    return {
        ORDER: {f"coupa:purchase_order_line:{row['id']}": ordered(row) for row in lines.values()},
        INVOICE: {
            f"coupa:invoice_line:{row['id']}": billed(row) for row in tables["invoice_lines"]
        },
        RECEIPT: {
            f"coupa:receipt:{row['id']}": received(row)
            for row in tables["receiving_transactions"]
            if not row["type"].startswith("Void")
        },
    }


READ: Final[Mapping[str, tuple[Callable[[Tables], dict[str, Expected]], Sequence[str]]]] = {
    "bamboohr": (of_bamboohr, (EMPLOYMENT, JOB, COMPENSATION)),
    "adp": (of_adp, (EMPLOYMENT, JOB, COMPENSATION)),
    "gusto": (of_gusto, (COMPENSATION, PAYROLL_COST)),
    "coupa": (of_coupa, (ORDER, INVOICE, RECEIPT)),
}
"""How each is read, and the topics that it leads to, by the name of the system."""


def topics_of(systems: Iterable[str]) -> list[str]:
    """Return the topics that these systems lead to, each once."""
    return list(dict.fromkeys(topic for system in systems for topic in READ[system][1]))


def expected_records(offices: Offices) -> dict[str, Expected]:
    """Return the records of all rows, by topic."""
    found: dict[str, Expected] = {topic: {} for topic in topics_of(offices)}
    for system, tables in offices.items():
        read, _ = READ[system]
        for topic, records in read(tables).items():
            found[topic] = found[topic] | records
    return found


def _person(record: str, row_id: str, email: str) -> dict[str, Any]:
    return {
        "source_system": record.partition(":")[0],
        "person_ref": f"{record}:{row_id}",
        "resource_id": resource_id(email),
    }


def _project(row: Row) -> str | None:
    """The project that a line's account names."""
    code = row["account_code"]
    return code if code is not None and is_project_id(code) else None


def _line(row_id: str | None) -> str | None:
    return None if row_id is None else f"coupa:purchase_order_line:{row_id}"


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _number(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _signed(value: object, *, is_negative: bool) -> Decimal | None:
    number = _number(value)
    return number if number is None or not is_negative else -abs(number)


def _sum(values: Iterable[object]) -> Decimal:
    return sum((Decimal(str(value)) for value in values), Decimal(0))
