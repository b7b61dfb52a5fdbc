"""Which role a captured system plays."""

from __future__ import annotations

from typing import Final

CRM: Final = frozenset({"salesforce"})
ERP: Final = frozenset({"netsuite"})
RESOURCE_TOOL: Final = frozenset({"float"})
PSA: Final = frozenset({"inhouse"})
