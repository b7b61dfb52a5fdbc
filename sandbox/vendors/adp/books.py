"""Workers of ADP, and the messages about them that nobody has deleted yet. No HTTP.

Facts and their sources: connectors/vendors/adp/README.md. A message tells which worker it is
about; what it holds of them is in other words than a reading. One who is taken away leaves none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError
from sandbox.vendors.tables import Kind, Row, Tables, day

WORKERS: Final = "workers"
STATUSES: Final = ("Active", "Inactive", "Terminated")
ASSIGNMENT: Final = ("A", "L", "T")
KINDS: Final = {
    WORKERS: Kind(
        {
            "given_name": None, "family_name": None, "work_email": None, "status": "Active",
            "original_hire_date": None, "rehire_date": None, "termination_date": None,
            "assignment_status": "A", "actual_start_date": None, "job_code": None,
            "job_title": None, "department": None, "location": None, "weekly_hours": None,
            "annual_rate": None, "hourly_rate": None, "currency": "USD",
            "pay_effective_date": None,
        },
        required=("given_name", "family_name", "status", "original_hire_date"), first_id=104_711,
    ),
}  # fmt: skip
_DAYS: Final = (
    "original_hire_date", "rehire_date", "termination_date", "actual_start_date",
    "pay_effective_date",
)  # fmt: skip
_MONEY: Final = ("annual_rate", "hourly_rate", "weekly_hours")
_TOLD: Final = (
    ("worker.terminate", ("termination_date",)),
    ("worker.rehire", ("rehire_date",)),
    ("worker.on-leave", ("assignment_status",)),
    ("worker.work-assignment.base-remuneration.change", ("annual_rate", "hourly_rate")),
)
"""What a change is called: the first whose fields are among those that changed."""
_OTHER: Final = "worker.work-assignment.modify"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the queue: its id, what happened, when, and to whom."""

    id: str
    event: str
    at: str
    worker: str


class AdpBooks(Tables):
    """All workers of a client, and its queue."""

    def __init__(self, clock: VendorClock) -> None:
        super().__init__(clock, KINDS)
        self.queue: deque[Message] = deque()
        self._told = 0

    def next_id(self, record_type: str) -> str:
        """The id of an associate."""
        return f"G3AB4711CD{super().next_id(record_type)}"

    def create(self, record_type: str, values: Mapping[str, Any]) -> Row:
        """Hire somebody. Raises InvalidRowError."""
        row = super().create(record_type, values)
        self.tell("worker.hire", row["id"])
        return row

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """Change a worker. Raises InvalidRowError, UnknownRowError."""
        former = dict(self.get(record_type, row_id))
        row = super().update(record_type, row_id, values)
        changed = {name for name in row if row[name] != former[name]}
        if changed:
            names = [event for event, fields in _TOLD if changed & {*fields}]
            self.tell((*names, _OTHER)[0], row["id"])
        return row

    def settle(self, record_type: str, row: Row) -> None:
        """Check days and words; keep amounts exact."""
        for name in _DAYS:
            if row[name] is not None:
                row[name] = day(row[name], name)
        for name in _MONEY:
            if row[name] is not None:
                row[name] = Decimal(str(row[name]))
        if row["status"] not in STATUSES or row["assignment_status"] not in ASSIGNMENT:
            raise InvalidRowError("there is no such status")
        row["actual_start_date"] = row["actual_start_date"] or row["original_hire_date"]
        if row["pay_effective_date"] is None and (row["annual_rate"] or row["hourly_rate"]):
            row["pay_effective_date"] = row["actual_start_date"]

    def tell(self, event: str, worker: str) -> None:
        """Put a message into the queue."""
        self._told += 1
        message = f"{self._told}:{UUID(int=self._told, version=4)}=="
        stamp = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "+0000")
        self.queue.append(Message(message, event, stamp, worker))
