"""Runn as a system: lists by declaration, and projects kept by a reference."""

from __future__ import annotations

from typing import Final

from connectors.rest.source import RestSource, shape
from connectors.toolkit.vendor import Idempotency, Vendor
from connectors.vendors.runn.sink import DUPLICATE_REFERENCE, RunnSink
from schemas.commands import UpsertProject

VENDOR: Final = Vendor(
    source=RestSource,
    shape=shape,
    sink=RunnSink,
    commands={UpsertProject: Idempotency.SEARCH},
    remedies={
        (DUPLICATE_REFERENCE, None): (
            "archive the younger projects with this reference, or delete it there; psastream keeps"
            " up the oldest"
        ),
        ("Bad Request", None): (
            "read the detail: a project needs a name, and a client that is there (client.id of the"
            " connector file, or a client with the customer's id as its reference psastream)"
        ),
        ("Forbidden", None): "give the sink a token with the scope to write",
        ("Not Found", None): (
            "read the detail: the project, its milestone or the client of client.id was deleted"
        ),
    },
)
