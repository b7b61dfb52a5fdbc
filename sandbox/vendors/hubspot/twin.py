"""HubSpot as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.hubspot.api import HubSpotApi, HubSpotSettings
from sandbox.vendors.hubspot.objects import HubSpotBooks
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

TWIN: Final = Twin(
    settings=HubSpotSettings,
    books=lambda site: HubSpotBooks(site.clock),
    api=HubSpotApi,
    secrets=(Secret("HUBSPOT_TOKEN"),),
    environment=lambda url, credentials: {
        "HUBSPOT_URL": url,
    },
    unlimited={"requests_per_ten_seconds": 1_000_000},
)
