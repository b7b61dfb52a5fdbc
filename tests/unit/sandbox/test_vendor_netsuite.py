"""The ERP of the twin: sign-in, SuiteQL, records and their business rules, billing."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials
from tests.support.vendors import netsuite_assertion, netsuite_token_form

URL = "http://testserver"
TOKEN = "/netsuite/services/rest/auth/oauth2/v1/token"
SUITEQL = "/netsuite/services/rest/query/v1/suiteql"
RECORD = "/netsuite/services/rest/record/v1"
EURO = {"id": "1"}
CUSTOMER = {"companyName": "Acme", "country": "DE", "currency": EURO, "vatRegNumber": None}


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def http(credentials: Credentials) -> TestClient:
    """Signed in; one legal entity."""
    client = TestClient(create_app(base_url=URL, seed=1, credentials=credentials))
    assertion = netsuite_assertion(credentials.key("NETSUITE_PRIVATE_KEY_FILE"), f"{URL}/netsuite")
    answer = client.post(TOKEN, data=netsuite_token_form(assertion))
    client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    client.post("/admin/netsuite/rows/subsidiary", json={"name": "DE GmbH", "country": "DE"})
    return client


@pytest.fixture
def job(http: TestClient) -> str:
    """External id of a project with a customer."""
    assert http.put(f"{RECORD}/customer/eid:cus-1", json=CUSTOMER).status_code == 204
    assert http.put(f"{RECORD}/job/eid:eng-1-de", json=job_body()).status_code == 204
    return "eng-1-de"


def job_body(**changes: object) -> dict[str, object]:
    return {
        "companyName": "Rollout",
        "parent": {"externalId": "cus-1"},
        "subsidiary": {"id": "1"},
        "currency": EURO,
        "startDate": "2026-02-01",
        "custentity_psa_tax_code": "DE-19",
        "custentity_psa_contract_value": "1000.10",
        "projectExpenseType": {"id": "1"},
        **changes,
    }


def time_bill_body(job: str, **changes: object) -> dict[str, object]:
    return {
        "customer": {"externalId": job},
        "tranDate": "2026-02-03",
        "hours": "7.50",
        "rate": "99.99",
        "custcol_psa_currency": "EUR",
        "custcol_psa_time_entry": "inhouse:time_entry:1",
        **changes,
    }


def suiteql(http: TestClient, query: str, **parameters: int) -> Any:
    return http.post(SUITEQL, json={"q": query}, params=parameters, headers={"prefer": "transient"})


def items(http: TestClient, query: str) -> list[dict[str, Any]]:
    answer = suiteql(http, query)
    assert answer.status_code == 200, answer.text
    return [
        {name: value for name, value in item.items() if name != "links"}
        for item in answer.json()["items"]
    ]


def effects(http: TestClient) -> list[tuple[str, str, str]]:
    return [
        (effect["operation"], effect["record_type"], effect["external_id"])
        for effect in http.get("/admin/effects").json()
    ]


def problem(answer: Any) -> tuple[int, str, str | None]:
    [detail] = answer.json()["o:errorDetails"]
    return answer.status_code, detail["o:errorCode"], detail.get("o:errorPath")


@pytest.mark.parametrize(
    "claims",
    [{"iss": "x"}, {"aud": "x"}, {"exp": 1}, {"exp": 9_999_999_999}, {"scope": "restlets"}],
)
def test_a_wrong_assertion_is_refused(
    http: TestClient, credentials: Credentials, claims: dict[str, object]
) -> None:
    assertion = netsuite_assertion(
        credentials.key("NETSUITE_PRIVATE_KEY_FILE"), f"{URL}/netsuite", **claims
    )
    assert http.post(TOKEN, data=netsuite_token_form(assertion)).status_code == 400


def test_an_unmapped_certificate_is_refused(http: TestClient, credentials: Credentials) -> None:
    assertion = netsuite_assertion(
        credentials.key("NETSUITE_PRIVATE_KEY_FILE"), f"{URL}/netsuite", certificate_id="other"
    )
    answer = http.post(TOKEN, data=netsuite_token_form(assertion))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


def test_an_expired_token_is_an_invalid_login(http: TestClient) -> None:
    http.delete("/admin/netsuite/tokens")
    assert problem(http.get(f"{RECORD}/customer/eid:x"))[:2] == (401, "INVALID_LOGIN")


def test_an_upsert_creates_then_changes_and_both_are_logged(http: TestClient) -> None:
    path = f"{RECORD}/customer/eid:cus-1"
    created = http.put(path, json=CUSTOMER)
    assert created.headers["location"].endswith("/customer/1")
    assert http.put(path, json={**CUSTOMER, "companyName": "Acme SE"}).status_code == 204
    shown = http.get(path).json()
    assert (shown["companyName"], shown["externalId"]) == ("Acme SE", "cus-1")
    assert shown["currency"] == {"id": "1", "refName": "EUR"}
    assert "vatRegNumber" not in shown
    assert effects(http) == [("create", "customer", "cus-1"), ("update", "customer", "cus-1")]


def test_equal_bodies_have_equal_content(http: TestClient) -> None:
    path = f"{RECORD}/customer/eid:cus-1"
    for name in ("Acme", "Acme", "Other"):
        http.put(path, json={**CUSTOMER, "companyName": name})
    first, second, third = (effect["content"] for effect in http.get("/admin/effects").json())
    assert first == second != third


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"custentity_psa_tax_code": None}, (400, "USER_ERROR", "custentity_psa_tax_code")),
        ({"parent": {"externalId": "nobody"}}, (400, "USER_ERROR", "parent")),
        ({"subsidiary": {"id": "77"}}, (400, "USER_ERROR", "subsidiary")),
        ({"currency": "EUR"}, (400, "INVALID_CONTENT", "currency")),
        ({"currency": {"refName": "EUR"}}, (400, "INVALID_CONTENT", "currency")),
        ({"currency": {"id": "99"}}, (400, "USER_ERROR", "currency")),
        ({"startDate": "soon"}, (400, "INVALID_CONTENT", "startDate")),
        ({"custentity_psa_contract_value": "much"}, (400, "INVALID_CONTENT", None)),
        ({"nope": 1}, (400, "NONEXISTENT_FIELD", "nope")),
    ],
)
def test_a_refused_project_has_no_effect(
    http: TestClient, changes: dict[str, object], expected: tuple[int, str, str | None]
) -> None:
    http.put(f"{RECORD}/customer/eid:cus-1", json=CUSTOMER)
    answer = http.put(f"{RECORD}/job/eid:eng-1-de", json=job_body(**changes))
    status, code, path = problem(answer)
    assert (status, code) == expected[:2]
    assert path == (expected[2] or next(iter(changes)))
    assert ("create", "job", "eng-1-de") not in effects(http)


def test_the_missing_tax_code_is_worded_as_the_vendor_does(http: TestClient) -> None:
    http.put(f"{RECORD}/customer/eid:cus-1", json=CUSTOMER)
    body = job_body()
    del body["custentity_psa_tax_code"]
    [detail] = http.put(f"{RECORD}/job/eid:e", json=body).json()["o:errorDetails"]
    assert detail["detail"] == "Please enter value(s) for: Tax Code"


def test_a_patch_needs_the_record(http: TestClient, job: str) -> None:
    body = {"estimatedCost": "12.345678", "custentity_psa_budget_hours": 10}
    assert problem(http.patch(f"{RECORD}/job/eid:nope", json=body))[:2] == (404, "NONEXISTENT_ID")
    assert http.patch(f"{RECORD}/job/eid:{job}", json=body).status_code == 204
    assert '"estimatedCost":12.345678' in http.get(f"{RECORD}/job/eid:{job}").text


def test_suiteql_needs_the_transient_preference(http: TestClient) -> None:
    answer = http.post(SUITEQL, json={"q": "SELECT id FROM customer"})
    [detail] = answer.json()["o:errorDetails"]
    assert (answer.status_code, detail["o:errorHeader"]) == (400, "Prefer")


def test_suiteql_shows_text_omits_nulls_and_formats_dates(http: TestClient, job: str) -> None:
    [row] = items(
        http,
        "SELECT job.id, c.externalid AS customer_externalid, job.estimatedcost, job.isinactive,"
        " job.startdate AS raw, TO_CHAR(job.startdate, 'YYYY-MM-DD') AS startdate,"
        " custentity_psa_contract_value FROM job JOIN customer c ON c.id = job.parent",
    )
    assert row == {
        "id": "1",
        "customer_externalid": "cus-1",
        "isinactive": "F",
        "raw": "2/1/2026",
        "startdate": "2026-02-01",
        "custentity_psa_contract_value": "1000.10",
    }


def test_suiteql_keyset_finds_every_row_of_one_second(http: TestClient) -> None:
    rows = [{"companyname": f"c{n}", "lastmodifieddate": "2026-01-01 00:00:00"} for n in range(12)]
    http.post("/admin/netsuite/rows/customer", json=rows)
    found: list[int] = []
    for _ in range(5):
        page = suiteql(
            http,
            "SELECT id, TO_CHAR(lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS lastmodifieddate"
            " FROM customer WHERE lastmodifieddate > TO_TIMESTAMP('2025-12-31 16:00:00',"
            " 'YYYY-MM-DD HH24:MI:SS') OR (lastmodifieddate = TO_TIMESTAMP("
            "'2025-12-31 16:00:00', 'YYYY-MM-DD HH24:MI:SS') AND id >"
            f" {found[-1] if found else 0}) ORDER BY lastmodifieddate, id",
            limit=5,
            offset=0,
        ).json()
        found += [int(item["id"]) for item in page["items"]]
        if not page["hasMore"]:
            break
    assert found == list(range(1, 13))


def test_suiteql_shows_and_compares_date_times_in_the_users_zone(http: TestClient) -> None:
    rows = [{"companyname": "c", "lastmodifieddate": "2026-01-01 00:00:00"}]
    http.post("/admin/netsuite/rows/customer", json=rows)
    mask = "'YYYY-MM-DD HH24:MI:SS'"
    query = (
        f"SELECT TO_CHAR(c.lastmodifieddate, {mask}) AS local,"
        f" TO_CHAR(SYS_EXTRACT_UTC(c.lastmodifieddate), {mask}) AS utc FROM customer c WHERE "
    )
    shown = {"local": "2025-12-31 16:00:00", "utc": "2026-01-01 00:00:00"}
    for column, found in [
        (f"c.lastmodifieddate = TO_TIMESTAMP('{shown['local']}', {mask})", [shown]),
        (f"c.lastmodifieddate >= TO_TIMESTAMP('{shown['utc']}', {mask})", []),
        (f"SYS_EXTRACT_UTC(c.lastmodifieddate) = TO_TIMESTAMP('{shown['utc']}', {mask})", [shown]),
    ]:
        assert items(http, query + column) == found


def test_suiteql_pages_by_offset(http: TestClient) -> None:
    http.post("/admin/netsuite/rows/customer", json=[{"companyname": "c"}] * 5)
    query = "SELECT id FROM customer ORDER BY id"
    page = suiteql(http, query, limit=2, offset=4).json()
    assert (page["count"], page["hasMore"], page["totalResults"], page["offset"]) == (
        1,
        False,
        5,
        4,
    )
    for limit, offset in ((2, 3), (1001, 0), (1000, 100_000)):
        assert suiteql(http, query, limit=limit, offset=offset).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nope FROM customer",
        "SELECT id FROM nope",
        "SELECT id FROM customer LIMIT 1",
        "DELETE FROM customer",
        "SELECT id FROM customer; DELETE FROM customer",
        "SELECT name FROM sqlite_master",
        "SELECT TO_CHAR(lastmodifieddate, 'WW') FROM customer",
        "SELECT SYS_EXTRACT_UTC(TO_DATE('2026-01-31', 'YYYY-MM-DD')) FROM customer",
    ],
)
def test_suiteql_refuses(http: TestClient, query: str) -> None:
    http.put(f"{RECORD}/customer/eid:cus-1", json=CUSTOMER)
    answer = suiteql(http, query)
    assert answer.status_code == 400
    assert answer.json()["o:errorDetails"][0]["o:errorQueryParam"] == "q"


def test_a_removed_column_is_unknown(http: TestClient) -> None:
    change = {"change": "remove", "object": "customer", "field": "vatregnumber"}
    http.post("/admin/netsuite/fields", json=change)
    assert suiteql(http, "SELECT vatregnumber FROM customer").status_code == 400
    http.delete("/admin/netsuite/fields")
    assert suiteql(http, "SELECT vatregnumber FROM customer").status_code == 200


def test_a_deletion_is_in_the_deletion_log_once(http: TestClient, job: str) -> None:
    path = f"{RECORD}/timeBill/eid:tb-1"
    http.put(path, json=time_bill_body(job))
    assert http.delete(path).status_code == 204
    assert problem(http.delete(path))[:2] == (404, "NONEXISTENT_ID")
    assert items(http, "SELECT recordid, scriptid FROM deletedrecord") == [
        {"recordid": "1", "scriptid": "timebill"}
    ]


LINES = (
    "SELECT tl.id, t.type, t.status, t.voided, cur.symbol, tl.mainline, tl.taxline, tl.quantity,"
    " tl.foreignamount, tl.createdfrom, tl.custcol_psa_time_entry FROM transaction t"
    " JOIN transactionline tl ON tl.transaction = t.id JOIN currency cur ON cur.id = t.currency"
)


def lines_of(http: TestClient, transaction: int) -> list[dict[str, Any]]:
    return items(http, f"{LINES} WHERE t.id = {transaction} ORDER BY tl.id")


def test_billing_makes_one_invoice_of_what_is_unbilled(http: TestClient, job: str) -> None:
    for number in (1, 2):
        http.put(f"{RECORD}/timeBill/eid:tb-{number}", json=time_bill_body(job))
    invoices = "/admin/netsuite/invoices"
    invoice = http.post(invoices, json={"job_externalid": job}).json()
    # 7.5 x 99.99 = 749.925, rounded up by line; a fifth of tax on top
    assert (invoice["foreigntotal"], invoice["tranid"]) == ("1799.83", "INV1")
    assert http.post(invoices, json={"job_externalid": job}).json() is None
    header = {"type": "CustInvc", "status": "A", "voided": "F", "symbol": "EUR"}
    sold = {
        **header,
        "mainline": "F",
        "taxline": "F",
        "quantity": "-7.50",
        "foreignamount": "-749.93",
        "custcol_psa_time_entry": "inhouse:time_entry:1",
    }
    assert lines_of(http, invoice["id"]) == [
        {**header, "id": "0", "mainline": "T", "taxline": "F", "foreignamount": "1799.83"},
        {"id": "1", **sold},
        {"id": "2", **sold},
        {**header, "id": "3", "mainline": "F", "taxline": "T", "foreignamount": "-299.97"},
    ]


def test_a_part_of_the_time_is_billed_and_the_rest_later(http: TestClient, job: str) -> None:
    http.put(f"{RECORD}/timeBill/eid:tb-1", json=time_bill_body(job))
    order = {"job_externalid": job, "hours": {"tb-1": "5"}}
    first = http.post("/admin/netsuite/invoices", json=order).json()
    assert http.post("/admin/netsuite/invoices", json=order).status_code == 422  # 2.5 are left
    second = http.post("/admin/netsuite/invoices", json={"job_externalid": job}).json()
    quantities = [lines_of(http, each["id"])[1]["quantity"] for each in (first, second)]
    assert quantities == ["-5", "-2.50"]


def test_a_credit_memo_carries_the_columns_of_its_invoice(http: TestClient, job: str) -> None:
    for number in (1, 2):
        http.put(f"{RECORD}/timeBill/eid:tb-{number}", json=time_bill_body(job))
    invoice = http.post("/admin/netsuite/invoices", json={"job_externalid": job}).json()
    path = f"/admin/netsuite/invoices/{invoice['id']}/credits"
    memo = http.post(path, json={"lines": [2]}).json()
    assert (memo["type"], memo["foreigntotal"]) == ("CustCred", "-899.92")
    main, line, tax = lines_of(http, memo["id"])
    assert (main["createdfrom"], main["foreignamount"]) == (str(invoice["id"]), "-899.92")
    assert (line["quantity"], line["foreignamount"]) == ("7.50", "749.93")
    assert line["custcol_psa_time_entry"] == "inhouse:time_entry:1"
    assert tax["foreignamount"] == "149.99"
    assert http.post(path, json={"lines": [9]}).status_code == 404
    assert problem(http.delete(f"{RECORD}/timeBill/eid:tb-2"))[:2] == (400, "USER_ERROR")


def test_a_voided_invoice_stays_without_amounts_and_frees_its_time(
    http: TestClient, job: str
) -> None:
    http.put(f"{RECORD}/timeBill/eid:tb-1", json=time_bill_body(job))
    invoice = http.post("/admin/netsuite/invoices", json={"job_externalid": job}).json()
    http.post(f"/admin/netsuite/transactions/{invoice['id']}/void")
    lines = lines_of(http, invoice["id"])
    assert {(line["status"], line["voided"], line["foreignamount"]) for line in lines} == {
        ("V", "T", "0")
    }
    assert http.delete(f"{RECORD}/timeBill/eid:tb-1").status_code == 204


def test_a_deleted_credit_memo_is_logged_as_one(http: TestClient, job: str) -> None:
    http.put(f"{RECORD}/timeBill/eid:tb-1", json=time_bill_body(job))
    invoice = http.post("/admin/netsuite/invoices", json={"job_externalid": job}).json()
    memo = http.post(f"/admin/netsuite/invoices/{invoice['id']}/credits", json={}).json()
    http.delete(f"/admin/netsuite/rows/transaction/{memo['id']}")
    assert items(http, "SELECT recordid, scriptid FROM deletedrecord") == [
        {"recordid": str(memo["id"]), "scriptid": "creditmemo"}
    ]


@pytest.mark.parametrize("column", ["timebill.invoice", "transactionline.timebill"])
def test_what_the_account_keeps_to_itself_is_no_column(http: TestClient, column: str) -> None:
    assert suiteql(http, f"SELECT {column} FROM {column.partition('.')[0]}").status_code == 400


def test_billed_time_cannot_be_changed_until_the_invoice_is_gone(
    http: TestClient, job: str
) -> None:
    path = f"{RECORD}/timeBill/eid:tb-1"
    http.put(path, json=time_bill_body(job))
    invoice = http.post("/admin/netsuite/invoices", json={"job_externalid": job}).json()
    assert problem(http.delete(path))[:2] == (400, "USER_ERROR")
    assert problem(http.put(path, json=time_bill_body(job)))[:2] == (400, "USER_ERROR")
    http.delete(f"/admin/netsuite/rows/transaction/{invoice['id']}")
    assert http.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("hours", "shown", "kept"),
    [("0:50", "0:50", "0.8333333333"), ("7:30", "7:30", "7.5000000000"), ("7.50", "7:30", "7.50")],
)
def test_time_is_written_as_a_clock_and_queried_as_a_number(
    http: TestClient, job: str, hours: str, shown: str, kept: str
) -> None:
    path = f"{RECORD}/timeBill/eid:tb-1"
    assert http.put(path, json=time_bill_body(job, hours=hours)).status_code == 204
    assert http.get(path).json()["hours"] == shown
    query = "SELECT hours, ROUND(hours * 3600) AS seconds FROM timebill"
    [row] = items(http, query)
    assert row["hours"] == kept


def test_time_in_two_currencies_is_not_billed_together(http: TestClient, job: str) -> None:
    http.put(f"{RECORD}/timeBill/eid:tb-1", json=time_bill_body(job))
    http.put(f"{RECORD}/timeBill/eid:tb-2", json=time_bill_body(job, custcol_psa_currency="USD"))
    answer = http.post("/admin/netsuite/invoices", json={"job_externalid": job})
    assert answer.status_code == 422


def test_server_time_follows_the_vendors_clock(http: TestClient) -> None:
    path = "/netsuite/services/rest/system/v1/serverTime"
    before = http.get(path).json()["serverTime"]
    http.patch("/admin/netsuite/settings", json={"clock_offset_s": 86_400})
    after = http.get(path).json()["serverTime"]
    http.patch("/admin/netsuite/settings", json={"clock_offset_s": 0})
    assert before[:10] < after[:10] <= http.get(path).json()["serverTime"][:10]


def test_a_role_without_the_right_reads_and_writes_no_record_of_a_type(
    http: TestClient, job: str
) -> None:
    path = f"{RECORD}/timeBill/eid:tb-1"
    http.patch("/admin/netsuite/settings", json={"denied_records": ["timeBill"]})
    for answer in (
        http.put(path, json=time_bill_body(job)),
        http.get(path),
        http.delete(path),
    ):
        assert problem(answer) == (403, "INSUFFICIENT_PERMISSION", None)
    assert http.get(f"{RECORD}/job/eid:{job}").status_code == 200

    http.patch("/admin/netsuite/settings", json={"denied_records": []})
    assert http.put(path, json=time_bill_body(job)).status_code == 204
