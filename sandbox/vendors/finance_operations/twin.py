"""Finance & Operations as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.finance_operations.api import FinanceOperationsApi, FinanceOperationsSettings
from sandbox.vendors.finance_operations.books import FinanceOperationsBooks
from sandbox.vendors.finance_operations.screens import screens
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

COMPANIES: Final = "DEMF,USMF"
"""Companies, which are founded by these ids."""

TWIN: Final = Twin(
    settings=FinanceOperationsSettings,
    books=lambda site: FinanceOperationsBooks(site.clock),
    api=FinanceOperationsApi,
    secrets=(Secret("FINANCE_OPERATIONS_CLIENT_SECRET"),),
    environment=lambda url, credentials: {
        "FINANCE_OPERATIONS_URL": url,
        "FINANCE_OPERATIONS_AUTH_URL": f"{url}/login",
        "FINANCE_OPERATIONS_CLIENT_ID": credentials.client_id,
        "FINANCE_OPERATIONS_COMPANIES": COMPANIES,
    },
    unlimited={"requests_per_five_minutes": 10_000_000},
    screens=screens,
)
