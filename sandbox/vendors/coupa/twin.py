"""Coupa as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.coupa.api import CoupaApi, CoupaSettings
from sandbox.vendors.coupa.books import CoupaBooks
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

TWIN: Final = Twin(
    settings=CoupaSettings,
    books=lambda site: CoupaBooks(site.clock),
    api=CoupaApi,
    secrets=(Secret("COUPA_CLIENT_SECRET"),),
    environment=lambda url, credentials: {
        "COUPA_URL": url,
        "COUPA_CLIENT_ID": credentials.client_id,
    },
    unlimited={"requests_per_second": 1_000_000},
)
