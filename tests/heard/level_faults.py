"""Faults that break what is promised of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sandbox.vendors.client import Vendor
from sandbox.vendors.faults import FaultKind
from tests.heard.orders import customers, send
from tests.support.heard import Watched, fault

LATE_BY: Final = timedelta(minutes=10)
LATE: Final = 2
IN_TIME: Final = 400
"""So many that those who were late are less than one in a hundred."""


@fault(
    "PsastreamFlowLate",
    "PsastreamFlowSlow",
    done=f"{LATE} customers whose deals changed ten minutes ago meet an ERP that cuts the line",
    mended=f"it answers, and {IN_TIME} more are there in time",
    labels={"target": "business_central", "kind": "upsert_customer"},
    breaks=["business central"],
    needs=["dispatcher", "vendors", "registry"],
    faster=120,
)
def customers_are_late(it: Watched) -> Iterator[None]:
    erp: Vendor = "business_central"
    path = "/customers"
    late = [
        order | {"issued_at": datetime.now(UTC) - LATE_BY} for order in customers(erp, "late", LATE)
    ]
    it.system.admin.add_fault(erp, FaultKind.CONNECTION_RESET, scope="write", path=path)
    send(it.system, late)
    yield
    it.system.admin.clear_faults(erp, path)
    send(it.system, customers(erp, "in-time", IN_TIME))


@fault(
    "PsastreamInvoicesStale",
    done="the ERP answers no query, so that its invoices are not read",
    mended="it answers",
    labels={"system": "netsuite"},
    breaks=["netsuite queries"],
    needs=["poller", "vendors"],
)
def invoices_are_not_read(it: Watched) -> Iterator[None]:
    path = "/suiteql"
    it.system.admin.add_fault("netsuite", FaultKind.UNAVAILABLE, path=path)
    yield
    it.system.admin.clear_faults("netsuite", path)
