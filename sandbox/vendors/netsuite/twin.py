"""NetSuite as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.netsuite.api import NetSuiteApi
from sandbox.vendors.netsuite.records import NetSuiteSettings
from sandbox.vendors.netsuite.screens import screens
from sandbox.vendors.netsuite.tables import NetSuiteBooks
from sandbox.vendors.secret import Secret, key_of
from sandbox.vendors.twin import Twin

_BITS_MIN: Final = 3072
"""The shortest key the vendor accepts."""

TWIN: Final = Twin(
    settings=NetSuiteSettings,
    books=lambda site: NetSuiteBooks(site.clock),
    api=NetSuiteApi,
    secrets=(Secret("NETSUITE_PRIVATE_KEY_FILE", key_of(_BITS_MIN), "netsuite_private_key.pem"),),
    environment=lambda url, credentials: {
        "NETSUITE_URL": url,
        "NETSUITE_CLIENT_ID": credentials.client_id,
        "NETSUITE_CERTIFICATE_ID": credentials.certificate_id,
    },
    screens=screens,
)
