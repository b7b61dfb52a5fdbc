"""Certinia as a part of the twin: an org of its own, which the client of the CRM's signs in to."""

from __future__ import annotations

from typing import Final

from sandbox.vendors.certinia.books import CertiniaBooks, CertiniaSettings
from sandbox.vendors.salesforce.api import SalesforceApi
from sandbox.vendors.salesforce.settings import KEY_FILE
from sandbox.vendors.secret import Secret, key_of
from sandbox.vendors.twin import Twin

TWIN: Final = Twin(
    settings=CertiniaSettings,
    books=CertiniaBooks,
    api=SalesforceApi,
    secrets=(Secret("CERTINIA_PRIVATE_KEY_FILE", key_of(2048), KEY_FILE),),
    environment=lambda url, credentials: {
        "CERTINIA_URL": url,
        "CERTINIA_CLIENT_ID": credentials.client_id,
        "CERTINIA_USERNAME": credentials.username,
    },
    unlimited={"daily_requests": 10_000_000},
)
