"""How what APIs describe differs from what was accepted, as the command line tells it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connectors.polled.fingerprint import ACCEPTED, DESCRIBED, Fields, Fingerprint
from connectors.polled.order_log import Told, told_by
from connectors.polled.orders import NOTE_MAX, Action, Order
from connectors.toolkit.metadata import Described, Kind
from psastream.cli import app
from psastream.drift import Asked, Compared, compared, seen_last, seen_now
from psastream.landscape import ANY_ADDRESSES
from tests.support.catalogue import FIRM
from tests.support.described_org import DescribedOrg, described_org, post

AT = datetime(2026, 11, 29, 9, tzinfo=UTC)
STAGES = Described("picklist", Kind.TEXT, frozenset({"Prospecting"}), "Stage")
BILLING = "Billing_Type__c"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["connectors", "drift", *arguments], env=dict(ANY_ADDRESSES))


def printed(fields: Fields, obj: str = "opportunity", after_s: int = 0) -> Fingerprint:
    return Fingerprint(
        "salesforce", obj, AT + timedelta(seconds=after_s), "ada@desk", "as agreed", fields
    )


def told(*kept: tuple[str, Fingerprint]) -> Told:
    return told_by((each.key(of).encode(), each.to_bytes()) for of, each in kept)


def test_what_is_accepted_and_described_is_kept_beside_the_orders_and_goes_with_its_tombstone() -> (
    None
):
    accepted, described = printed({"StageName": STAGES}), printed({"StageName": None}, after_s=1)
    order = Order("1", "salesforce", "opportunity", Action.SWEEP, AT, "ada@desk")
    records = [
        (accepted.key(ACCEPTED).encode(), accepted.to_bytes()),
        (order.key.encode(), order.to_bytes()),
        (described.key(DESCRIBED).encode(), described.to_bytes()),
    ]
    found = told_by(records)
    assert found.fingerprint(ACCEPTED, "salesforce", "opportunity") == accepted
    assert found.fingerprint(DESCRIBED, "salesforce", "opportunity") == described
    assert list(found.orders.values()) == [order]
    for cut in range(len(records) + 1):
        assert told_by(records[cut:], told_by(records[:cut])) == found
    gone = told_by([(described.key(DESCRIBED).encode(), None)], found)
    assert gone.fingerprint(DESCRIBED, "salesforce", "opportunity") is None


def test_the_last_that_anybody_saw_counts() -> None:
    accepted, described = printed({"StageName": STAGES}), printed({"StageName": None}, after_s=1)
    other = printed({}, obj="account")
    seen = seen_last(told((ACCEPTED, accepted), (DESCRIBED, described), (ACCEPTED, other)))
    assert {each.obj: each for each in seen} == {"opportunity": described, "account": other}
    again = printed({"StageName": STAGES}, after_s=2)
    assert seen_last(told((DESCRIBED, described), (ACCEPTED, again))) == [again]


def test_what_differs_is_told_with_what_hangs_on_it() -> None:
    stages = STAGES.values or frozenset()
    new = Described("picklist", Kind.TEXT, stages | {"On hold"}, "Stage")
    found = compared(
        FIRM,
        [printed({"StageName": new}, after_s=1), printed({}, obj="account")],
        told((ACCEPTED, printed({"StageName": STAGES}))),
        Asked(),
    )
    account, deal = found
    assert (account.accepted, account.differences) == (None, [])
    (record,) = deal.as_records()
    hanging = record.pop("touched")
    assert record == {
        "system": "salesforce",
        "object": "opportunity",
        "field": "StageName",
        "kind": "new_value",
        "was": None,
        "now": "On hold",
        "accepted_at": "2026-11-29T09:00:00Z",
        "accepted_by": "ada@desk",
    }
    assert "opportunity.stage" in hanging["fields"]
    assert "psa.metric.pipeline_health" in hanging["measures"]


def test_only_what_is_asked_for_is_compared_and_of_the_firm_s_systems() -> None:
    seen = [
        printed({}),
        printed({}, obj="account"),
        printed({}, obj="colour"),
        Fingerprint("sold_off", "account", AT, "ada@desk"),
    ]

    def objects(asked: Asked) -> list[str]:
        return [each.now.obj for each in compared(FIRM, seen, Told(), asked)]

    assert objects(Asked()) == ["account", "opportunity"]
    assert objects(Asked("salesforce", ["account"])) == ["account"]
    assert objects(Asked("netsuite")) == []


def test_it_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    seen = [printed({}, after_s=1), printed({}, "account"), printed({}, "opportunity_line_item")]
    before = told(
        (ACCEPTED, printed({BILLING: STAGES})), (ACCEPTED, printed({}, "opportunity_line_item"))
    )
    for each in compared(FIRM, seen, before, Asked()):
        each.say()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "salesforce account: nothing was accepted yet",
        f"salesforce opportunity: vanished: {BILLING} is gone, or hidden from our user",
        "  fields opportunity.billing_type",
    ]
    assert lines[-1] == (
        "salesforce opportunity_line_item: as accepted 2026-11-29T09:00:00Z by ada@desk"
    )
    assert "  measures psa.metric.pipeline_health" in lines


def at_the_twin(tmp_path: Path, *steps: str) -> list[list[Compared]]:
    """What is found at the twin after each step, against what it described at first."""

    async def look(org: DescribedOrg) -> list[Fingerprint]:
        found, failures = await seen_now([org.connector()], Asked())
        assert failures == []
        return found

    async def all_steps() -> list[list[Compared]]:
        async with described_org(tmp_path) as org:
            account = post(org.twin, "rows/Account", Name="Abel")
            deal = {"Name": "Tern", "StageName": "Prospecting", "CloseDate": "2026-12-01"}
            post(org.twin, "rows/Opportunity", **deal, AccountId=account["Id"])
            accepted = told(*((ACCEPTED, each) for each in await look(org)))
            found = []
            for step in steps:
                if step == "add":
                    post(org.twin, "fields", object="Account", field="Tier__c", change="add")
                elif step == "remove":
                    post(
                        org.twin, "fields", object="Account", field="Tax_Number__c", change="remove"
                    )
                elif step == "value":
                    more = {**deal, "AccountId": account["Id"], BILLING: "Barter"}
                    post(org.twin, "rows/Opportunity", **more)
                found.append(compared(FIRM, await look(org), accepted, Asked()))
            return found

    return asyncio.run(all_steps())


def test_what_a_vendor_describes_now_is_asked_for(tmp_path: Path) -> None:
    first, added, removed, chosen = (
        {
            (each.now.obj, difference.kind.value, difference.field, difference.now)
            for each in found
            for difference, _ in each.differences
        }
        for found in at_the_twin(tmp_path, "", "add", "remove", "value")
    )
    assert first == set()
    assert added == {("account", "new_field", "Tier__c", "string")}
    assert removed == added | {("account", "vanished", "Tax_Number__c", None)}
    assert chosen == removed | {("opportunity", "new_value", BILLING, "Barter")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("flot",), "not a polled system: flot"),
        (("float", "rolle"), "float has no rolle"),
        (("--accept", "--note", "x" * (NOTE_MAX + 1)), "the note is too long"),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: tuple[str, ...], said: str) -> None:
    shown = run(*arguments)
    assert shown.exit_code == 2
    assert said in shown.stderr


def test_a_broker_that_does_not_answer_is_said() -> None:
    shown = run("salesforce")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("psastream: no Kafka broker answers at any:0")
