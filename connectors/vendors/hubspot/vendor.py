"""HubSpot as a system: lists by declaration, and properties of deals for what becomes of them."""

from __future__ import annotations

from typing import Final

from connectors.rest.source import RestSource, shape
from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.hubspot.sink import MERGED_DEAL, HubSpotSink
from schemas.commands import UpdateDealStatus

VENDOR: Final = Vendor(
    source=RestSource,
    shape=shape,
    sink=HubSpotSink,
    commands={UpdateDealStatus: Idempotency.CHANGE},
    remedies={
        ("PROPERTY_DOESNT_EXIST", None): (
            "create the property that the detail names for deals, as a text of one line or of"
            " several; property.* of the connector file names other properties"
        ),
        ("VALIDATION_ERROR", None): (
            "read the detail: make the property a text, so that it takes what is written"
        ),
        ("MISSING_SCOPES", None): "give the private app the scope crm.objects.deals.write",
        ("OBJECT_NOT_FOUND", None): (
            "restore the deal from the archive; once its deletion is captured, nothing is written"
            " any more"
        ),
        (MERGED_DEAL, None): (
            "nothing: once its deletion is captured, nothing is written to it any more"
        ),
    },
)
