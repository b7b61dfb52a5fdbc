"""Runn as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.runn.api import RunnApi, RunnSettings
from sandbox.vendors.runn.tables import RunnBooks
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

FIRST_CLIENT: Final = "1"
"""Id of the client that is made first."""

TWIN: Final = Twin(
    settings=RunnSettings,
    books=lambda site: RunnBooks(site.clock),
    api=RunnApi,
    secrets=(Secret("RUNN_TOKEN"),),
    environment=lambda url, credentials: {
        "RUNN_URL": url,
        "RUNN_CLIENT_ID": FIRST_CLIENT,
    },
    unlimited={"requests_per_minute": 1_000_000},
)
