"""Gusto as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.gusto.api import GustoApi, GustoSettings
from sandbox.vendors.gusto.books import COMPANY, GustoBooks
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

FIRST_PAYROLL: Final = "2026-01-01"
"""Day from which on payrolls are read."""

TWIN: Final = Twin(
    settings=GustoSettings,
    books=lambda site: GustoBooks(site.clock),
    api=GustoApi,
    secrets=(
        Secret("GUSTO_CLIENT_SECRET"),
        Secret("GUSTO_REFRESH_TOKEN_PATH", file="gusto_refresh_token"),
    ),
    environment=lambda url, credentials: {
        "GUSTO_URL": url,
        "GUSTO_CLIENT_ID": credentials.client_id,
        "GUSTO_COMPANY": COMPANY,
        "GUSTO_PAYROLLS_FROM": FIRST_PAYROLL,
    },
    unlimited={"requests_per_minute": 1_000_000},
)
