"""Salesforce as a system: SOQL, and fields of opportunities for what becomes of them."""

from __future__ import annotations

from typing import Final

from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.salesforce.sink import SalesforceSink
from connectors.vendors.salesforce.source import SalesforceSource
from schemas.commands import UpdateDealStatus

VENDOR: Final = Vendor(
    source=SalesforceSource,
    sink=SalesforceSink,
    commands={UpdateDealStatus: Idempotency.CHANGE},
    remedies={
        ("INVALID_FIELD", None): (
            "create the field that the detail names on the opportunity, or give the sink's user the"
            " right to see it; field.* of the connector file names other fields"
        ),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", None): (
            "give the sink's user the right to edit the field that the detail names"
        ),
        ("NOT_FOUND", None): (
            "the opportunity is gone, or the sink's user may not see it: share it with that user"
        ),
        ("ENTITY_IS_DELETED", None): (
            "restore the opportunity from the recycle bin; once the deletion is captured, nothing"
            " is written any more"
        ),
        ("ENTITY_IS_LOCKED", None): (
            "end the approval process that locks the opportunity, or let the sink's user edit it"
        ),
        ("STRING_TOO_LONG", None): (
            "make the field a long text area: the ids of 12 projects fit into 255 characters"
        ),
    },
)
