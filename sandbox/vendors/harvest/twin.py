"""Harvest as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.harvest.api import ACCOUNT, HarvestApi, HarvestSettings
from sandbox.vendors.harvest.tables import HarvestBooks
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

TWIN: Final = Twin(
    settings=HarvestSettings,
    books=lambda site: HarvestBooks(site.clock),
    api=HarvestApi,
    secrets=(Secret("HARVEST_TOKEN"),),
    environment=lambda url, credentials: {
        "HARVEST_URL": url,
        "HARVEST_ACCOUNT_ID": ACCOUNT,
    },
    unlimited={"requests_per_15_seconds": 1_000_000},
)
