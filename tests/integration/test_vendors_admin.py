"""The admin client against a running twin: each method has the effect it promises."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import httpx2
import pytest

from sandbox.vendors.client import VendorAdmin, VendorAdminError
from sandbox.vendors.faults import FaultKind
from tests.support.vendors import Vendors, running_vendors


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    with running_vendors(tmp_path_factory.mktemp("vendors")) as running:
        yield running


@pytest.fixture(scope="module")
def admin(twin: Vendors) -> VendorAdmin:
    return twin.admin


def test_rows_are_made_changed_and_deleted(admin: VendorAdmin) -> None:
    first, second = admin.create_many("float", "roles", [{"name": "a"}, {"name": "b"}])
    admin.update("float", "roles", first["id"], {"cost_rate": Decimal("55.1250")})
    admin.delete("float", "roles", second["id"])
    [row] = admin.books()["float"]["roles"]
    assert (row["name"], str(row["cost_rate"])) == ("a", "55.1250")
    assert admin.effects() == []


def test_a_refusal_says_why(admin: VendorAdmin) -> None:
    with pytest.raises(VendorAdminError, match="has no field colour"):
        admin.create("float", "roles", {"name": "a", "colour": "red"})


def test_the_recycle_bin_is_emptied(admin: VendorAdmin) -> None:
    account = admin.create("salesforce", "Account", {"Name": "a"})
    admin.delete("salesforce", "Account", account["Id"])
    admin.prune_deletion_log()
    assert admin.purge_recycle_bin() == 1
    assert admin.books()["salesforce"]["Account"] == []


def test_finance_bills_what_is_unbilled(admin: VendorAdmin) -> None:
    job = admin.create("netsuite", "job", {"externalid": "eng-1-de", "currency": "EUR"})
    bill = {"customer": job["id"], "hours": "2.5", "rate": Decimal("100.00")}
    admin.create_many("netsuite", "timebill", [{**bill, "externalid": f"tb-{n}"} for n in "12"])
    part = admin.invoice("eng-1-de", {"tb-1": Decimal(1)})
    assert part is not None
    assert part["foreigntotal"] == "120.00"  # with tax
    invoice = admin.invoice("eng-1-de")
    assert invoice is not None
    assert invoice["foreigntotal"] == "480.00"
    assert admin.invoice("eng-1-de") is None
    paid = admin.update("netsuite", "transaction", invoice["id"], {"status": "B"})
    assert paid["status"] == "B"
    memo = admin.credit(invoice["id"], [1])
    assert (memo["type"], memo["foreigntotal"]) == ("CustCred", "-180.00")
    assert admin.void(part["id"])["status"] == "V"


def test_settings_faults_fields_and_tokens(twin: Vendors, admin: VendorAdmin) -> None:
    assert admin.configure("float", page_size=1)["page_size"] == 1
    admin.lift_rate_limits()
    assert admin.configure("float")["reads_per_minute"] == 1_000_000
    admin.add_field("float", "projects", "colour", "red")
    admin.remove_field("float", "projects", "notes")
    admin.create_many("float", "projects", [{"name": "p"}, {"name": "q"}])
    admin.add_fault("float", FaultKind.SERVER_ERROR, count=1, scope="read", path="/projects")
    headers = {"authorization": f"Bearer {twin.environment['FLOAT_TOKEN']}"}
    answers = [httpx2.get(f"{twin.url}/float/v3/projects", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 200]
    [row] = answers[1].json()
    assert (row["colour"], "notes" in row) == ("red", False)
    assert admin.faults_drawn("float") == {"server_error": 1}
    admin.reset_fields("float")
    admin.expire_tokens("salesforce")
    [row] = httpx2.get(f"{twin.url}/float/v3/projects", headers=headers).json()
    assert ("colour" in row, "notes" in row) == (False, True)


def test_an_absent_twin_is_not_up(admin: VendorAdmin) -> None:
    assert admin.is_up()
    with VendorAdmin("http://127.0.0.1:9") as nobody:
        assert not nobody.is_up()
