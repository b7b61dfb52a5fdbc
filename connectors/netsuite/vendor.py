"""NetSuite as a system: SuiteQL, and records kept by external ids."""

from __future__ import annotations

from typing import Final

from connectors.netsuite.sink import NetSuiteSink
from connectors.netsuite.source import NetSuiteSource
from connectors.vendor import Idempotency, Vendor
from schemas.commands import (
    DeleteProject,
    DeleteTimeBill,
    UpdateProjectBudget,
    UpsertCustomer,
    UpsertProject,
    UpsertTimeBill,
)

VENDOR: Final = Vendor(
    source=NetSuiteSource,
    sink=NetSuiteSink,
    commands={
        UpsertCustomer: Idempotency.UPSERT,
        UpsertProject: Idempotency.UPSERT,
        DeleteProject: Idempotency.CHANGE,
        UpdateProjectBudget: Idempotency.CHANGE,
        UpsertTimeBill: Idempotency.UPSERT,
        DeleteTimeBill: Idempotency.CHANGE,
    },
)
