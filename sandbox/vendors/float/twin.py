"""Float as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.float.api import FloatApi, FloatSettings
from sandbox.vendors.float.tables import FloatBooks
from sandbox.vendors.secret import Secret
from sandbox.vendors.twin import Twin

_LIMITS: Final = ("reads_per_minute", "reads_per_second", "writes_per_minute", "writes_per_second")

TWIN: Final = Twin(
    settings=FloatSettings,
    books=lambda site: FloatBooks(site.clock),
    api=FloatApi,
    secrets=(Secret("FLOAT_TOKEN"),),
    environment=lambda url, credentials: {
        "FLOAT_URL": url,
    },
    unlimited=dict.fromkeys(_LIMITS, 1_000_000),
)
