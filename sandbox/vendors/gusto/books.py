"""Rows of Gusto: people, jobs, rates, payrolls and what is paid in them. No HTTP.

Facts and their sources: connectors/vendors/gusto/README.md. Nothing tells of a change: a `version`
covers only what clients may set (docs.gusto.com, idempotency). A payroll that was processed is not
changed any more; what was wrong in it is taken back by a payroll of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from hashlib import md5
from typing import Any, Final
from uuid import UUID

from sandbox.vendors import wire
from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError
from sandbox.vendors.tables import Kind, Row, Tables, day

COMPANY: Final = "00000001-0000-4000-8000-000000006057"
"""Id of the company whose payrolls it runs."""

EMPLOYEES, JOBS, COMPENSATIONS = "employees", "jobs", "compensations"
PAYROLLS, ITEMS = "payrolls", "payroll_items"
REASONS: Final = (
    "Adhoc", "Benefit reversal", "Bonus", "Correction", "Dismissed employee", "Hired employee",
    "Wage correction", "Tax reconciliation", "Reversal", "Disability insurance distribution",
    "Transition from old pay schedule",
)  # fmt: skip
"""Of off-cycle payrolls: Gusto/gusto-typescript-client, `offcyclereasontype`."""
UNITS: Final = ("Hour", "Week", "Month", "Year", "Paycheck")
_MONEY: Final = ("rate", "gross_pay", "net_pay")

KINDS: Final = {
    EMPLOYEES: Kind(
        {
            "first_name": None, "last_name": None, "work_email": None, "email": None,
            "department": None, "terminated": False, "onboarded": True,
        },
        required=("first_name", "last_name"),
    ),
    JOBS: Kind(
        {"employee_uuid": None, "title": None, "hire_date": None, "primary": True},
        required=("employee_uuid", "hire_date"), parents={"employee_uuid": EMPLOYEES},
    ),
    COMPENSATIONS: Kind(
        {
            "job_uuid": None, "rate": None, "payment_unit": "Year", "flsa_status": "Exempt",
            "effective_date": None,
        },
        required=("job_uuid", "rate", "effective_date"), parents={"job_uuid": JOBS},
    ),
    PAYROLLS: Kind(
        {
            "start_date": None, "end_date": None, "check_date": None, "off_cycle": False,
            "off_cycle_reason": None, "processed": False, "external": False,
        },
        required=("start_date", "end_date", "check_date"),
    ),
    ITEMS: Kind(
        {
            "payroll_uuid": None, "employee_uuid": None, "excluded": False, "gross_pay": None,
            "net_pay": None, "payment_method": "Direct Deposit", "taxes": (), "benefits": (),
        },
        required=("payroll_uuid", "employee_uuid"),
        parents={"payroll_uuid": PAYROLLS, "employee_uuid": EMPLOYEES},
    ),
}  # fmt: skip
_DAYS: Final = ("hire_date", "effective_date", "start_date", "end_date", "check_date")


class GustoBooks(Tables):
    """All rows of a company; ids are uuids."""

    def __init__(self, clock: VendorClock) -> None:
        super().__init__(clock, KINDS)

    def next_id(self, record_type: str) -> str:
        """A uuid that tells the kind and the number of a row."""
        number = int(super().next_id(record_type))
        return str(UUID(int=(list(KINDS).index(record_type) + 1 << 96) + number, version=4))

    def delete(self, record_type: str, row_id: str) -> None:
        """Take a row away. Raises InvalidRowError for people who were paid, and what was."""
        row = self.get(record_type, row_id)
        self._require_open(record_type, row)
        was_paid = any(each["employee_uuid"] == row["id"] for each in self.table(ITEMS))
        if record_type == EMPLOYEES and was_paid:
            raise InvalidRowError("the person is in a payroll")
        super().delete(record_type, row_id)

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """Change fields of a row. Raises InvalidRowError for what was processed."""
        self._require_open(record_type, self.get(record_type, row_id))
        return super().update(record_type, row_id, values)

    def settle(self, record_type: str, row: Row) -> None:
        """Check days, words and who is paid; keep money exact."""
        for name in _DAYS:
            if row.get(name) is not None:
                row[name] = day(row[name], name)
        for name in _MONEY:
            if row.get(name) is not None:
                row[name] = Decimal(str(row[name]))
        if record_type == COMPENSATIONS and row["payment_unit"] not in UNITS:
            raise InvalidRowError(f"payment_unit is one of {', '.join(UNITS)}")
        if record_type == PAYROLLS:
            if row["end_date"] < row["start_date"]:
                raise InvalidRowError("end_date is before start_date")
            if row["off_cycle"] and row["off_cycle_reason"] not in REASONS:
                raise InvalidRowError(f"off_cycle_reason is one of {', '.join(REASONS)}")
            if row["processed"]:
                row.setdefault("processed_date", self._clock.stamp().date().isoformat())
        if record_type == ITEMS and any(
            (each["payroll_uuid"], each["employee_uuid"])
            == (row["payroll_uuid"], row["employee_uuid"])
            for each in self.table(ITEMS)
            if each["id"] != row["id"]
        ):
            raise InvalidRowError("the person is in the payroll already")

    def _require_open(self, record_type: str, row: Row) -> None:
        if record_type not in (PAYROLLS, ITEMS):
            return
        payroll = row if record_type == PAYROLLS else self.get(PAYROLLS, row["payroll_uuid"])
        if payroll["processed"]:
            raise InvalidRowError("the payroll is processed")


def version_of(row: Row) -> str:
    """What a client names to change a row: another one for other content."""
    return md5(wire.dumps(row), usedforsecurity=False).hexdigest()
