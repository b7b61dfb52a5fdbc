"""Finance & Operations as a system: lists by declaration, and records kept by their numbers."""

from __future__ import annotations

from typing import Final

from connectors.dispatch.numbered import NO_PROJECT
from connectors.rest.source import RestSource, shape
from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.finance_operations.auth import WRITE
from connectors.vendors.finance_operations.sink import (
    DUPLICATE_LINE,
    NO_JOURNAL,
    NOT_WRITTEN,
    POSTED,
    FinanceOperationsSink,
)
from schemas.commands import (
    DeleteProject,
    DeleteTimeBill,
    UpdateProjectBudget,
    UpsertCustomer,
    UpsertProject,
    UpsertTimeBill,
)

VENDOR: Final = Vendor(
    source=RestSource,
    shape=shape,
    sink=FinanceOperationsSink,
    commands={
        UpsertCustomer: Idempotency.SEARCH,
        UpsertProject: Idempotency.SEARCH,
        DeleteProject: Idempotency.CHANGE,
        UpdateProjectBudget: Idempotency.CHANGE,
        UpsertTimeBill: Idempotency.SEARCH,
        DeleteTimeBill: Idempotency.CHANGE,
    },
    remedies={
        (WRITE, "CustomerGroupId"): (
            "make the customer group in the company, or correct customer.group in the connector"
            " file"
        ),
        (WRITE, "ProjectGroup"): (
            "make the project group in the company, or correct project.groups in the connector file"
        ),
        (WRITE, "TaxExemptNumber"): (
            "add the number to the company's tax exempt numbers, or correct it at its source"
        ),
        (WRITE, None): (
            "read the detail: a rule of the company stands against it, or a record or a setup that"
            " it refers to is not there"
        ),
        ("ODataException", None): (
            "deploy the extension that brings the fields of psastream to the entities"
        ),
        (NO_PROJECT, None): (
            "no company holds the project: check that it was not deleted or renamed there"
        ),
        (NO_JOURNAL, None): (
            "open a journal of hours with the name that journal.name of the connector file says, in"
            " the company of the project"
        ),
        (POSTED, None): (
            "the hours are in the books: adjust the transaction of the project there, or take the"
            " change back at its source"
        ),
        (NOT_WRITTEN, None): (
            "name the company in FINANCE_OPERATIONS_COMPANIES, or correct the project's legal"
            " entity at its source"
        ),
        (DUPLICATE_LINE, None): (
            "delete one of the lines of hours with this time bill; psastream keeps up the first"
        ),
    },
)
