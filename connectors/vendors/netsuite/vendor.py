"""NetSuite as a system: SuiteQL, and records kept by external ids."""

from __future__ import annotations

from typing import Final

from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.netsuite.sink import NetSuiteSink
from connectors.vendors.netsuite.source import NetSuiteSource
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
    remedies={
        ("USER_ERROR", "custentity_psa_tax_code"): (
            "set the PSA tax code on the subsidiary of the project"
        ),
        ("USER_ERROR", None): (
            "read the detail: a business rule or a right of the integration role stands against it"
        ),
        ("INVALID_CONTENT", "currency"): (
            "correct the currency at the source, or activate it in the ERP"
        ),
        ("INVALID_CONTENT", None): "correct the value of the field at its source",
        ("INVALID_KEY_OR_REF", None): (
            "the record refers to one that the ERP does not hold: check that it was not deleted"
            " there"
        ),
    },
)
