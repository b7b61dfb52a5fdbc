"""Kantata OX as a system: lists by declaration, and projects kept by their reference."""

from __future__ import annotations

from typing import Final

from connectors.rest.source import RestSource, shape
from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.kantata.sink import DUPLICATE_REFERENCE, UNSEEN_PROJECT, KantataSink
from schemas.commands import UpsertProject

VENDOR: Final = Vendor(
    source=RestSource,
    shape=shape,
    sink=KantataSink,
    commands={UpsertProject: Idempotency.SEARCH},
    remedies={
        (DUPLICATE_REFERENCE, None): (
            "archive the other projects, or take their reference of the service psastream away;"
            " psastream keeps up the one it knows, else the oldest"
        ),
        (UNSEEN_PROJECT, None): (
            "give the token's user the right to see the project, or delete its reference of the"
            " service psastream where the project is gone: another one is made then"
        ),
        ("validation", None): (
            "read the detail: Kantata refuses a value, or an account requires one; correct it at"
            " its source, or in the account's settings"
        ),
        ("syntax", None): "read the detail: Kantata does not take the request as it is",
        ("oauth", None): "let the token be one of an account administrator who may make projects",
        ("system", None): "read the detail: the token's user may lack the right to make projects",
    },
)
