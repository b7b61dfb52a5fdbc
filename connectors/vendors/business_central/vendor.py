"""Business Central as a system: lists by declaration, and records kept by their numbers."""

from __future__ import annotations

from typing import Final

from connectors.dispatch.numbered import NO_PROJECT
from connectors.rest.source import RestSource, shape
from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.business_central.sink import (
    DUPLICATE_LINE,
    BusinessCentralSink,
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
    sink=BusinessCentralSink,
    commands={
        UpsertCustomer: Idempotency.SEARCH,
        UpsertProject: Idempotency.SEARCH,
        DeleteProject: Idempotency.CHANGE,
        UpdateProjectBudget: Idempotency.CHANGE,
        UpsertTimeBill: Idempotency.SEARCH,
        DeleteTimeBill: Idempotency.CHANGE,
    },
    remedies={
        ("Application_DialogException", None): (
            "read the detail: a rule of the company stands against it; numbers of ours need a"
            " number series that allows manual numbers"
        ),
        ("Application_FieldValidationException", None): (
            "read the detail: a field of a record or of the company's setup has no value"
        ),
        ("Application_StringExceededLength", None): (
            "shorten the text at its source: names have 100 characters, others fewer"
        ),
        ("BadRequest_ResourceNotFound", None): (
            "install the extension that brings the pages of psastream, or correct pages in the"
            " connector file"
        ),
        ("BadRequest_NotFound", None): (
            "install the extension that brings the pages of psastream, or correct pages in the"
            " connector file"
        ),
        ("Internal_InvalidTableRelation", None): (
            "the record refers to one that the company does not hold, such as a currency, a"
            " country, a resource or a customer: make it there"
        ),
        ("Internal_EntityWithSameKeyExists", None): (
            "another record has this number: rename it, or merge the two"
        ),
        (NO_PROJECT, None): (
            "no company holds the project: check that it was not deleted or renamed there"
        ),
        (DUPLICATE_LINE, None): (
            "delete the younger planning line with this document number; psastream keeps up the"
            " first"
        ),
    },
)
