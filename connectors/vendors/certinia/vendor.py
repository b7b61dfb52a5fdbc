"""Certinia PSA as a system: objects of an org, and projects kept by their external id."""

from __future__ import annotations

from typing import Final

from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.certinia.sink import (
    DUPLICATE_PROJECT_ID,
    TEMPLATE_WITH_PROJECT_ID,
    CertiniaSink,
)
from connectors.vendors.salesforce.source import SalesforceSource
from schemas.commands import UpsertProject

VENDOR: Final = Vendor(
    source=SalesforceSource,
    sink=CertiniaSink,
    commands={UpsertProject: Idempotency.UPSERT},
    remedies={
        (DUPLICATE_PROJECT_ID, None): (
            "empty the external id of the other projects, and make its field unique; psastream"
            " keeps up the one it knows, else the oldest"
        ),
        (TEMPLATE_WITH_PROJECT_ID, None): "empty the external id of the template",
        ("NOT_FOUND", None): (
            "make the field of external.id.field on the project, as an External ID that is unique,"
            " and let the integration user read and edit it"
        ),
        ("INVALID_FIELD", None): (
            "read the detail: the org lacks a field, or hides it from the integration user; without"
            " several currencies set multi.currency to false, and correct starting.values"
        ),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", None): (
            "let the integration user edit the field that the detail names"
        ),
        ("REQUIRED_FIELD_MISSING", None): (
            "correct the field at its source, or give what the org requires of each project a value"
            " in starting.values"
        ),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", None): (
            "read the detail: a validation rule of the org stands against it; give what it asks for"
            " in starting.values, or except the integration user from the rule"
        ),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", None): (
            "correct the value in starting.values, or add it to the picklist"
        ),
        ("STRING_TOO_LONG", None): "shorten the name at its source: a project's has 80 characters",
        ("DUPLICATE_VALUE", None): (
            "let the integration user see the project that the detail names, or empty its external"
            " id"
        ),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", None): (
            "read the detail: code of the org or of the package refuses it"
        ),
    },
)
