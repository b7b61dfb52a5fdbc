"""Salesforce as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.salesforce.api import SalesforceApi
from sandbox.vendors.salesforce.objects import SalesforceBooks
from sandbox.vendors.salesforce.screens import screens
from sandbox.vendors.salesforce.settings import KEY, KEY_FILE, SalesforceSettings
from sandbox.vendors.secret import Secret, key_of
from sandbox.vendors.twin import Twin

TWIN: Final = Twin(
    settings=SalesforceSettings,
    books=lambda site: SalesforceBooks(site.clock),
    api=SalesforceApi,
    secrets=(Secret(KEY, key_of(2048), KEY_FILE),),
    environment=lambda url, credentials: {
        "SALESFORCE_URL": url,
        "SALESFORCE_CLIENT_ID": credentials.client_id,
        "SALESFORCE_USERNAME": credentials.username,
    },
    unlimited={"daily_requests": 10_000_000},
    screens=screens,
)
