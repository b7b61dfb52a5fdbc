"""The flows of the product, and what follows from them for the systems of a role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.landscape import Role
from tables.flows.deal_status import DEAL_STATUS
from tables.flows.erp_customer import ERP_CUSTOMER
from tables.flows.erp_project import ERP_PROJECT
from tables.flows.flow import Flow
from tables.flows.opened_project import OPENED_PROJECT
from tables.flows.project_budget import PROJECT_BUDGET
from tables.flows.staffed_project import STAFFED_PROJECT
from tables.flows.time_bill import TIME_BILL

FLOWS: Final[tuple[Flow[Any], ...]] = (
    ERP_CUSTOMER,
    ERP_PROJECT,
    STAFFED_PROJECT,
    OPENED_PROJECT,
    PROJECT_BUDGET,
    TIME_BILL,
    DEAL_STATUS,
)
ORDERED_FROM: Final = tuple(dict.fromkeys(flow.role for flow in FLOWS))
"""Roles whose systems are kept right by commands."""


def kinds_of(role: Role) -> tuple[str, ...]:
    """Return the kinds of commands that a system of a role is sent."""
    contents = (each for flow in FLOWS if flow.role is role for each in flow.contents)
    return tuple(dict.fromkeys(each.kind for each in contents))


def shown_by(role: Role) -> Mapping[str, tuple[str, ...]]:
    """Return the canonical entities that show what a system of a role holds, with their fields.

    The fields are those that are compared with what was ordered. Without them what was ordered
    would never show, and be ordered anew; without the entities billed time be changed.
    """
    found: dict[str, tuple[str, ...]] = {}
    for flow in FLOWS:
        if flow.role is role:
            for entity in flow.shown_by:
                fields = flow.kept_equal if entity == flow.shown_by[0] else ()
                found[entity] = (*found.get(entity, ()), *fields)
    return found
