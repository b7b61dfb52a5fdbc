"""Float as a system: polled lists, and projects kept by their code."""

from __future__ import annotations

from typing import Final

from connectors.float.sink import FloatSink
from connectors.float.source import FloatSource
from connectors.vendor import Idempotency, Vendor
from schemas.commands import StaffProject

VENDOR: Final = Vendor(
    source=FloatSource, sink=FloatSink, commands={StaffProject: Idempotency.SEARCH}
)
