"""Float as a system: polled lists, and projects kept by their code."""

from __future__ import annotations

from typing import Final

from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.float.sink import FloatSink
from connectors.vendors.float.source import FloatSource
from schemas.commands import StaffProject

VENDOR: Final = Vendor(
    source=FloatSource,
    sink=FloatSink,
    commands={StaffProject: Idempotency.SEARCH},
    remedies={
        ("DUPLICATE_PROJECT_CODE", None): (
            "archive or merge the younger projects with this code; psastream keeps the oldest"
        ),
        ("422", "project_code"): (
            "the code is in use or too long: free it in the resource manager"
        ),
    },
)
