"""ADP as a part of the twin."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.adp.api import AdpApi, AdpSettings
from sandbox.vendors.adp.books import AdpBooks
from sandbox.vendors.secret import Secret, certificate_of, key_of
from sandbox.vendors.twin import Twin

TWIN: Final = Twin(
    settings=AdpSettings,
    books=lambda site: AdpBooks(site.clock),
    api=AdpApi,
    secrets=(
        Secret("ADP_CLIENT_SECRET"),
        Secret("ADP_CERTIFICATE_KEY_PATH", key_of(2048), "adp_client_key.pem"),
        Secret(
            "ADP_CERTIFICATE_PATH",
            certificate_of("ADP_CERTIFICATE_KEY_PATH"),
            "adp_client_certificate.pem",
        ),
    ),
    environment=lambda url, credentials: {
        "ADP_URL": url,
        "ADP_AUTH_URL": url,
        "ADP_CLIENT_ID": credentials.client_id,
    },
    unlimited={"requests_per_minute": 1_000_000},
)
