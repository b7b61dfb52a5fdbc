"""BambooHR as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.bamboohr.api import BambooHrApi, BambooHrSettings
from sandbox.vendors.bamboohr.books import BambooHrBooks
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

FIRST_LEAVE, LAST_LEAVE = "2024-01-01", "2030-12-31"
"""Days between which leave is read."""

TWIN: Final = Twin(
    settings=BambooHrSettings,
    books=lambda site: BambooHrBooks(site.clock),
    api=BambooHrApi,
    secrets=(Secret("BAMBOOHR_KEY"),),
    environment=lambda url, credentials: {
        "BAMBOOHR_URL": url,
        "BAMBOOHR_TIME_OFF_START": FIRST_LEAVE,
        "BAMBOOHR_TIME_OFF_END": LAST_LEAVE,
    },
    unlimited={"requests_per_minute": 1_000_000},
)
