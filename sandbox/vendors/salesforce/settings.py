"""What of an org can be adjusted."""

from __future__ import annotations

from typing import Final, TypeVar

from pydantic import Field

from sandbox.vendors.site import SiteSettings

KEY: Final = "SALESFORCE_PRIVATE_KEY_FILE"
"""Variable of the key that clients sign assertions with, in each org."""
KEY_FILE: Final = "salesforce_private_key.pem"


class SalesforceSettings(SiteSettings):
    """Adjustable behaviour of an org."""

    page_size: int = Field(default=2_000, ge=1, le=2_000)
    token_lifetime_s: float = Field(default=900, ge=0)
    cursor_lifetime_s: float = Field(default=900, ge=0)
    daily_requests: int = Field(default=100_000, ge=0)
    unique_external_ids: bool = True
    """Whether external ids are unique, as their fields say; else several rows may bear one."""
    locked_rows: tuple[str, ...] = ()
    """Ids of rows that a job of the org holds."""
    closed_objects: tuple[str, ...] = ()
    """Objects that the user may read, and not write."""


OrgSettings = TypeVar("OrgSettings", bound=SalesforceSettings)
