"""Any REST API as a system's source: what its rest.yaml declares. Nothing is written to it."""

from __future__ import annotations

from typing import Final

from connectors.rest.source import RestSource, shape
from connectors.toolkit.vendor import Vendor

VENDOR: Final = Vendor(source=RestSource, shape=shape)
