"""The flows of the product, and what follows from them."""

from __future__ import annotations

from dataclasses import fields

import pytest

from schemas.commands import with_amounts
from schemas.landscape import Role
from tables.flows.catalogue import FLOWS, ORDERED_FROM, kinds_of, shown_by
from tables.flows.flow import Flow

[NO_WORTH] = [field.default for field in fields(Flow) if field.name == "worth"]


def test_commands_and_what_shows_their_effect_follow_from_the_flows() -> None:
    assert kinds_of(Role.ERP) == (
        "upsert_customer",
        "upsert_project",
        "delete_project",
        "update_project_budget",
        "upsert_time_bill",
        "delete_time_bill",
    )
    assert kinds_of(Role.RESOURCE) == ("upsert_project",)
    assert kinds_of(Role.CRM) == ("update_deal_status",)
    assert shown_by(Role.CRM) == {"opportunity": ("project_ids", "delivery_status")}
    erp = shown_by(Role.ERP)
    assert list(erp) == ["customer", "project", "time_bill", "invoice"]
    assert erp["customer"] == ("name", "country_code", "currency", "tax_number")
    assert {"tax_code", "budget_hours"} <= set(erp["project"]), "of two flows"
    assert erp["invoice"] == (), "a bill is looked for in it, and not compared with it"
    assert shown_by(Role.RESOURCE) == {"project": ("name", "starts_on")}
    assert kinds_of(Role.PSA) == ("upsert_project",)
    assert shown_by(Role.PSA) == {"project": ("name", "starts_on")}
    assert ORDERED_FROM == (Role.ERP, Role.RESOURCE, Role.PSA, Role.CRM)


@pytest.mark.parametrize("role", ORDERED_FROM)
def test_an_amount_is_borne_by_what_the_flows_of_a_role_give_a_worth(role: Role) -> None:
    worthy = [f.upsert.kind for f in FLOWS if f.role is role and f.worth is not NO_WORTH]
    assert worthy == with_amounts(kinds_of(role))


def test_no_two_flows_keep_one_thing_of_a_role() -> None:
    kept = [(flow.role, flow.noun) for flow in FLOWS]
    assert len(set(kept)) == len(kept)
