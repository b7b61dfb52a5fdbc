"""Salesforce as a system: SOQL, and nothing is written to it."""

from __future__ import annotations

from typing import Final

from connectors.salesforce.source import SalesforceSource
from connectors.vendor import Vendor

VENDOR: Final = Vendor(source=SalesforceSource)
