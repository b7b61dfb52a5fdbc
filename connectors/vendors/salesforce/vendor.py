"""Salesforce as a system: SOQL, and nothing is written to it."""

from __future__ import annotations

from typing import Final

from connectors.toolkit.vendor import Vendor
from connectors.vendors.salesforce.source import SalesforceSource

VENDOR: Final = Vendor(source=SalesforceSource)
