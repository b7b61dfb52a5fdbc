"""The vendor twin over real HTTP: what needs a socket to go wrong."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from joserfc.jwk import RSAKey

from sandbox.vendors.faults import FaultKind
from tests.support.eventually import eventually
from tests.support.vendors import (
    Vendors,
    netsuite_assertion,
    netsuite_token_form,
    running_vendors,
    salesforce_assertion,
    salesforce_token_form,
)

CUSTOMER = "/services/rest/record/v1/customer/eid:cus-1"
SERVER_TIME = "/services/rest/system/v1/serverTime"
BODY = {"companyName": "Acme", "currency": {"id": "1"}}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    with running_vendors(tmp_path_factory.mktemp("vendors")) as running:
        running.admin.lift_rate_limits()
        yield running


@pytest.fixture
def erp(twin: Vendors) -> Iterator[httpx2.Client]:
    """Signed in at NetSuite; faults end with the test."""
    url = twin.environment["NETSUITE_URL"]
    with httpx2.Client(base_url=url, timeout=30) as client:
        client.headers["authorization"] = f"Bearer {netsuite_token(twin.environment)}"
        yield client
    twin.admin.clear_faults("netsuite")


@pytest.fixture
def planner(twin: Vendors) -> Iterator[httpx2.Client]:
    """Signed in at Float; faults end with the test."""
    url = twin.environment["FLOAT_URL"]
    with httpx2.Client(base_url=url, timeout=30) as client:
        client.headers["authorization"] = f"Bearer {twin.environment['FLOAT_TOKEN']}"
        yield client
    twin.admin.clear_faults("float")


def netsuite_token(environment: dict[str, str]) -> str:
    key = RSAKey.import_key(Path(environment["NETSUITE_PRIVATE_KEY_FILE"]).read_text())
    url = environment["NETSUITE_URL"]
    answer = httpx2.post(
        f"{url}/services/rest/auth/oauth2/v1/token",
        data=netsuite_token_form(netsuite_assertion(key, url)),
    )
    return str(answer.json()["access_token"])


def test_credentials_are_for_the_owner_only(twin: Vendors) -> None:
    directory = Path(twin.environment["NETSUITE_PRIVATE_KEY_FILE"]).parent
    files = {path.name: path for path in directory.iterdir() if path.name != "vendors.log"}
    assert files.keys() == {
        "environment.json", "salesforce_private_key.pem", "netsuite_private_key.pem",
        "adp_client_key.pem", "adp_client_certificate.pem", "gusto_refresh_token",
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    secret = twin.environment["FLOAT_TOKEN"]
    assert secret not in (directory / "vendors.log").read_text()


def test_the_crm_hands_out_an_instance_url_that_answers(twin: Vendors) -> None:
    environment = twin.environment
    key = RSAKey.import_key(Path(environment["SALESFORCE_PRIVATE_KEY_FILE"]).read_text())
    token = httpx2.post(
        f"{environment['SALESFORCE_URL']}/services/oauth2/token",
        data=salesforce_token_form(salesforce_assertion(key)),
    ).json()
    answer = httpx2.get(
        f"{token['instance_url']}/services/data/v62.0/limits",
        headers={"authorization": f"Bearer {token['access_token']}"},
    )
    assert answer.json()["DailyApiRequests"]["Remaining"] > 0


def test_credentials_survive_a_restart(tmp_path: Path) -> None:
    with running_vendors(tmp_path) as first:
        token = first.environment["FLOAT_TOKEN"]
    with running_vendors(tmp_path) as second:
        assert second.environment["FLOAT_TOKEN"] == token
        assert netsuite_token(second.environment)


def test_the_erp_refuses_a_sixth_request_in_flight(twin: Vendors, erp: httpx2.Client) -> None:
    twin.admin.add_fault("netsuite", FaultKind.DELAY, count=5, delay_s=60, path=SERVER_TIME)
    with ThreadPoolExecutor(5) as pool:
        hanging = [pool.submit(erp.get, SERVER_TIME) for _ in range(5)]
        eventually(
            lambda: twin.admin.faults_drawn("netsuite").get(FaultKind.DELAY, 0) >= 5, deadline_s=30
        )
        refused = erp.get(SERVER_TIME)
        twin.admin.clear_faults("netsuite")
        assert {future.result().status_code for future in hanging} == {200}
    assert refused.status_code == 429
    assert refused.json()["o:errorDetails"][0]["o:errorCode"]
    assert erp.get(SERVER_TIME).status_code == 200


def test_a_write_is_executed_although_its_answer_is_lost(twin: Vendors, erp: httpx2.Client) -> None:
    before = len(twin.admin.effects())
    twin.admin.add_fault("netsuite", FaultKind.COMMIT_THEN_TIMEOUT, count=1, delay_s=30)
    with pytest.raises(httpx2.TimeoutException):
        erp.put(CUSTOMER, json=BODY, timeout=1)
    effect = twin.admin.effects()[before]
    assert (effect.record_type, effect.external_id) == ("customer", "cus-1")
    assert erp.get(CUSTOMER).json()["companyName"] == "Acme"


def test_a_lost_answer_may_also_be_a_dropped_connection(
    twin: Vendors, planner: httpx2.Client
) -> None:
    twin.admin.add_fault("float", FaultKind.COMMIT_THEN_TIMEOUT, count=1)
    with pytest.raises(httpx2.TransportError):
        planner.post("/v3/projects", json={"name": "p", "project_code": "lost-1"})
    codes = [row["project_code"] for row in planner.get("/v3/projects").json()]
    assert codes.count("lost-1") == 1


def test_a_reset_connection_has_no_effect(twin: Vendors, planner: httpx2.Client) -> None:
    before = twin.admin.effects()
    twin.admin.add_fault("float", FaultKind.CONNECTION_RESET, count=1)
    with pytest.raises(httpx2.TransportError):
        planner.post("/v3/projects", json={"name": "p"})
    assert twin.admin.effects() == before
    log_path = Path(twin.environment["NETSUITE_PRIVATE_KEY_FILE"]).parent / "vendors.log"
    assert "ERROR" not in log_path.read_text()


def test_half_a_page_is_not_json(twin: Vendors, planner: httpx2.Client) -> None:
    twin.admin.create("float", "roles", {"name": "Consultant"})
    twin.admin.add_fault("float", FaultKind.HALF_PAGE, count=1)
    answer = planner.get("/v3/roles")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="line 1"):
        answer.json()
    assert planner.get("/v3/roles").json()[0]["name"] == "Consultant"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FaultKind.RATE_LIMITED, 429),
        (FaultKind.SERVER_ERROR, 500),
        (FaultKind.UNAVAILABLE, 503),
        (FaultKind.EXPIRED_TOKEN, 401),
    ],
)
def test_refusals_come_in_the_vendors_words(
    twin: Vendors, erp: httpx2.Client, kind: FaultKind, status: int
) -> None:
    twin.admin.add_fault("netsuite", kind, count=1)
    answer = erp.put(CUSTOMER, json=BODY)
    assert answer.status_code == status
    assert answer.json()["o:errorDetails"][0]["o:errorCode"]


def test_an_expired_token_stays_expired(twin: Vendors, erp: httpx2.Client) -> None:
    twin.admin.add_fault("netsuite", FaultKind.EXPIRED_TOKEN, count=1)
    assert [erp.get(SERVER_TIME).status_code for _ in range(2)] == [401, 401]
    erp.headers["authorization"] = f"Bearer {netsuite_token(twin.environment)}"
    assert erp.get(SERVER_TIME).status_code == 200


def test_the_books_show_every_vendor(twin: Vendors) -> None:
    account = twin.admin.create("salesforce", "Account", {"Name": "Acme"})
    twin.admin.delete("salesforce", "Account", account["Id"])
    books = twin.admin.books()
    [row] = [row for row in books["salesforce"]["Account"] if row["Id"] == account["Id"]]
    assert row["IsDeleted"] is True
    assert {"people", "roles", "projects", "tasks"} <= books["float"].keys()
    assert {"subsidiary", "job", "timebill", "transactionline"} <= books["netsuite"].keys()
