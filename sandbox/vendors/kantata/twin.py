"""Kantata as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.kantata.api import KantataApi, KantataSettings
from sandbox.vendors.kantata.books import KantataBooks
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

TWIN: Final = Twin(
    settings=KantataSettings,
    books=lambda site: KantataBooks(site.clock),
    api=KantataApi,
    secrets=(Secret("KANTATA_TOKEN"),),
    unlimited={"requests_per_minute": 1_000_000},
)
