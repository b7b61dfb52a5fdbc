"""What a vendor describes, against what is read of it: changes are told before a row shows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from connectors.systems import Systems
from connectors.toolkit.metadata import Described, Kind
from psastream.check.findings import Finding
from psastream.check.metadata import kind_of, made_of, metadata_findings
from psastream.check.sign_in import ask_vendors
from psastream.verdict import Verdict
from schemas.mapping.config import ObjectConfig
from schemas.system import SystemBundle
from tests.support.described_org import described_org, post

BILLING = "Billing_Type__c"
KINDS = {"string": Kind.TEXT, "boolean": Kind.BOOLEAN, "date": Kind.DATE, "decimal": Kind.NUMBER}


@pytest.fixture(scope="module")
def org() -> SystemBundle:
    return Systems().read("salesforce")


def described(system: SystemBundle, obj: str) -> dict[str, Described]:
    """The fields of an object as its contract reads them."""
    fields: Any = system.contract(obj).parsed["fields"]
    found = {}
    for field in fields:
        told = field["type"][1]
        kind = KINDS[told if isinstance(told, str) else told["logicalType"]]
        found[field["name"]] = Described(kind.value, kind)
    return found


def found_of(system: SystemBundle, fields: Mapping[str, Described | None]) -> list[Finding]:
    return list(metadata_findings("org", system, {"opportunity": fields}))


def test_what_is_as_it_is_read_is_told_as_such(org: SystemBundle) -> None:
    fields = described(org, "opportunity") | {"Unknown__c": Described("string", Kind.TEXT)}
    [found] = found_of(org, fields)
    assert (found.verdict, found.subject) == (Verdict.OK, "org, opportunity")


def test_a_field_that_is_gone_fails_and_names_what_is_made_of_it(org: SystemBundle) -> None:
    fields = described(org, "opportunity")
    del fields[BILLING]
    [found] = found_of(org, fields)
    assert found.verdict is Verdict.FAIL
    assert f"{BILLING} is gone, or hidden from our user" in found.detail
    assert "opportunity.billing_type is made of it" in found.detail
    assert found.remedy


def test_a_field_that_an_org_may_lack_is_not_missed(org: SystemBundle) -> None:
    fields = described(org, "opportunity") | {BILLING: None}
    assert [each.verdict for each in found_of(org, fields)] == [Verdict.OK]


def test_a_field_of_another_type_fails(org: SystemBundle) -> None:
    fields = described(org, "opportunity")
    fields |= {
        "Amount": Described("string", Kind.TEXT),
        "CloseDate": Described("datetime", Kind.TEXT),
        "Name": Described("date", Kind.DATE),  # a text in JSON, and read as one
    }
    amount, closes = found_of(org, fields)
    assert amount.detail.startswith("Amount is string now, and its contract reads a number")
    assert "opportunity.amount is made of it" in amount.detail
    assert closes.detail.startswith("CloseDate is datetime now, and its contract reads a date")
    assert {amount.verdict, closes.verdict} == {Verdict.FAIL}


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("string", Kind.TEXT),
        ({"type": "string"}, Kind.TEXT),
        (["null", "string"], Kind.TEXT),
        (["null", {"type": "bytes", "logicalType": "decimal"}], Kind.NUMBER),
        (["null", {"type": "array", "items": "string"}], None),
        (["null", "string", "long"], None),
        ("null", None),
    ],
)
def test_a_type_of_a_contract_is_read_however_it_is_said(type_: object, kind: Kind | None) -> None:
    assert kind_of(type_) is kind


def test_a_value_that_a_rule_refuses_warns_and_one_that_is_free_does_not(org: SystemBundle) -> None:
    fields = described(org, "opportunity")
    known = frozenset({"Milestone", "Retainer"})
    fields |= {
        BILLING: Described("picklist", Kind.TEXT, known | {"Subscription", "Barter"}),
        "StageName": Described("picklist", Kind.TEXT, frozenset({"On hold"})),
        "CurrencyIsoCode": Described("picklist", Kind.TEXT, frozenset({"XTS"})),
    }
    [found] = found_of(org, fields)
    assert found.verdict is Verdict.WARN
    assert found.detail.startswith(f"{BILLING} may be Barter, Subscription, of which")
    assert "opportunity.billing_type" in found.detail
    fields[BILLING] = Described("picklist", Kind.TEXT, known)
    assert [each.verdict for each in found_of(org, fields)] == [Verdict.OK]


def test_what_is_made_of_a_column_is_found_through_expressions_and_parts() -> None:
    mapped = ObjectConfig.model_validate(
        {
            "kind": "row",
            "key": "id",
            "vars": {"whole": "amount * rate", "twice": "whole + whole", "other": "x.rate"},
            "targets": [
                {
                    "entity": "expense",
                    "fields": {
                        "amount": {"sql": "twice"},
                        "name": {"first_non_null": [{"from": "title"}, {"from": "rate"}]},
                        "note": {"sql": "x.rate || other || rates"},
                    },
                },
                {"entity": "task", "when": "rate > 0", "fields": {"name": {"from": "title"}}},
            ],
        }
    )
    assert made_of(mapped, "rate") == ["expense.amount", "expense.name", "task.name"]
    assert made_of(mapped, "title") == ["expense.name", "task.name"]
    assert made_of(mapped, "nothing") == []


def ask(tmp_path: Path, change: Callable[[TestClient], object]) -> Sequence[Finding]:
    """What a check of the packaged connector file finds at the twin after a change."""

    async def run() -> Sequence[Finding]:
        async with described_org(tmp_path) as org:
            change(org.twin)
            [asked] = await ask_vendors([org.connector()], [])
            assert asked.error is None
            return asked.metadata

    return asyncio.run(run())


def test_the_twin_describes_what_is_read(tmp_path: Path) -> None:
    found = ask(tmp_path, lambda _: None)
    assert [each.verdict for each in found] == [Verdict.OK] * 3


def test_what_the_twin_takes_away_or_lets_be_chosen_is_told(tmp_path: Path) -> None:
    def change(twin: TestClient) -> None:
        account = post(twin, "rows/Account", Name="Abel")
        deal = {"Name": "Tern", "StageName": "Prospecting", "CloseDate": "2026-12-01"}
        post(twin, "rows/Opportunity", **deal, AccountId=account["Id"], **{BILLING: "Barter"})
        post(twin, "fields", object="Account", field="Tax_Number__c", change="remove")

    found = ask(tmp_path, change)
    told = {each.subject: (each.verdict, each.detail) for each in found}
    verdict, detail = told["salesforce, account"]
    assert verdict is Verdict.FAIL and "customer.tax_number is made of it" in detail
    verdict, detail = told["salesforce, opportunity"]
    assert verdict is Verdict.WARN and detail.startswith(f"{BILLING} may be Barter")
    assert told["salesforce, opportunity_line_item"][0] is Verdict.OK
