"""Any Singer tap as a system's source: what its singer.yaml declares. Nothing is written to it."""

from __future__ import annotations

from typing import Final

from connectors.singer.source import SingerSource, shape
from connectors.toolkit.vendor import Vendor

VENDOR: Final = Vendor(source=SingerSource, shape=shape)
