"""Business Central as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.business_central.api import BusinessCentralApi, BusinessCentralSettings
from sandbox.vendors.business_central.books import BusinessCentralBooks, companies_filter
from sandbox.vendors.business_central.screens import screens
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

TWIN: Final = Twin(
    settings=BusinessCentralSettings,
    books=lambda site: BusinessCentralBooks(site.clock),
    api=BusinessCentralApi,
    secrets=(Secret("BUSINESS_CENTRAL_CLIENT_SECRET"),),
    environment=lambda url, credentials: {
        "BUSINESS_CENTRAL_URL": f"{url}/api",
        "BUSINESS_CENTRAL_AUTH_URL": f"{url}/login",
        "BUSINESS_CENTRAL_CLIENT_ID": credentials.client_id,
        "BUSINESS_CENTRAL_COMPANIES": companies_filter(1),
    },
    unlimited={"requests_per_five_minutes": 10_000_000},
    screens=screens,
)
