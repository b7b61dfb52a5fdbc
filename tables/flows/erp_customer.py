"""Customers in each ERP that bills a project of theirs, as the CRM knows them."""

from __future__ import annotations

from typing import Final

from schemas.commands import UpsertCustomer
from schemas.landscape import Role
from tables.customer.view import CustomerView
from tables.flows.flow import Flow
from tables.foundation.facts import Customer


def _wanted(view: CustomerView, erp: str) -> UpsertCustomer | None:
    crm = view.crm
    if crm is None or erp not in view.needing:
        return None
    return UpsertCustomer(
        customer_id=view.customer_id,
        correlation_id=view.correlation_id,
        name=crm.name,
        country_code=crm.country_code,
        currency=crm.currency,
        tax_number=crm.tax_number,
    )


def _held(view: CustomerView, erp: str) -> Customer | None:
    return view.held[erp]


ERP_CUSTOMER: Final = Flow(
    role=Role.ERP,
    noun="customer",
    upsert=UpsertCustomer,
    kept_equal=("name", "country_code", "currency", "tax_number"),
    shown_by=("customer",),
    wanted=_wanted,
    held=_held,
)
