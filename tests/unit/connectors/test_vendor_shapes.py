"""What was seen outside is what the twin answers, the reader takes and the mapping understands."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from connectors.polled.conversion import RowReader
from connectors.vendors.float.source import RESOURCES, float_layout
from connectors.vendors.salesforce.objects import DEALS
from connectors.vendors.salesforce.source import LAYOUT
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials
from tests.support.catalogue import contract_of
from tests.support.source_events import canonical
from tests.support.vendor_shapes import FLOAT, SALESFORCE, Shape, kind_of
from tests.support.vendors import salesforce_assertion, salesforce_token_form

TABLES = [("float", obj) for obj in FLOAT] + [("salesforce", obj) for obj in SALESFORCE]
SHAPES = {"float": FLOAT, "salesforce": SALESFORCE}


def reader_of(vendor: str, obj: str) -> RowReader:
    layout = LAYOUT if vendor == "salesforce" else float_layout(RESOURCES[obj])
    return RowReader(contract_of(vendor, obj), layout)


def plain_row(vendor: str, obj: str) -> dict[str, Any]:
    """A row of the first spelling of each field; what no shape tells is null."""
    row = dict.fromkeys(reader_of(vendor, obj).fields)
    return row | {shape.field: shape.spellings[0] for shape in SHAPES[vendor][obj]}


def members() -> Iterator[Any]:
    for vendor, obj in TABLES:
        for shape in SHAPES[vendor][obj]:
            for value in shape.values:
                yield pytest.param(vendor, obj, shape, value, id=f"{obj}.{shape.field}={value}")


def parsed(value: Any) -> Any:
    """JSON numbers are read as decimals."""
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, list):
        return [parsed(item) for item in value]
    if isinstance(value, dict):
        return {key: parsed(item) for key, item in value.items()}
    return value


@pytest.mark.fault("C2", place="tests/support/vendor_shapes.py")
@pytest.mark.parametrize(("vendor", "obj", "shape", "value"), members())
def test_c2_every_spelling_seen_outside_is_read_and_understood(
    vendor: str, obj: str, shape: Shape, value: Any
) -> None:
    raw = parsed(plain_row(vendor, obj) | {shape.field: value})
    page = reader_of(vendor, obj).page([raw], None)
    assert [row.detail for row in page.unreadable] == []
    assert page.new_fields == ()
    [row] = page.rows
    made = canonical(f"src.{vendor}.{obj}", row.values)
    assert "dlq" not in made, made
    assert made


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def twin(credentials: Credentials) -> TestClient:
    return TestClient(create_app(base_url="http://testserver", seed=1, credentials=credentials))


def float_rows(twin: TestClient, credentials: Credentials) -> dict[str, list[dict[str, Any]]]:
    """One row of each object with little set, and one with much."""

    def add(collection: str, **values: object) -> dict[str, Any]:
        answer = twin.post(f"/admin/float/rows/{collection}", json=values)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    role = add("roles", name="Engineer")["id"]
    person = add("people", name="J. Okafor")["people_id"]
    add(
        "people", name="A. Ito", email="a@example.com", role_id=role, cost_rate="60.00",
        department={"department_id": 9, "name": "Delivery"}, region_id=2,
        contracts=[{"effective_date": "2026-01-01", "role_id": role, "cost_rate": "60.00"}],
    )  # fmt: skip
    project = add("projects", name="Rollout")["project_id"]
    days = {"start_date": "2026-03-02", "end_date": "2026-03-06"}
    add("tasks", people_id=person, project_id=project, hours=4, **days)
    add("timeoffs", people_ids=[person], **days)
    add("timeoffs", people_ids=[person], full_day=0, hours="4.0", **days)
    add("public-holidays", name="Spring Day", dates=["2026-05-01"], region=2)
    add("holidays", name="Summer party", date="2026-07-01")
    twin.headers["authorization"] = f"Bearer {credentials['FLOAT_TOKEN']}"
    twin.patch("/admin/float/settings", json={"reads_per_second": 1_000})
    return {
        obj: twin.get(f"/float{RESOURCES[obj].path}", params=dict(RESOURCES[obj].params)).json()
        for obj in FLOAT
    }


def salesforce_rows(twin: TestClient, credentials: Credentials) -> dict[str, list[dict[str, Any]]]:
    def add(record_type: str, **values: object) -> str:
        answer = twin.post(f"/admin/salesforce/rows/{record_type}", json=values)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["Id"])

    account = add("Account", Name="Birch Ltd", CurrencyIsoCode="EUR")
    deal = {"AccountId": account, "CloseDate": "2026-06-30", "CurrencyIsoCode": "EUR"}
    opportunity = add("Opportunity", Name="Rollout", StageName="Verbal OK", **deal)
    add("Opportunity", Name="Done", StageName="Closed Won", Amount=5, Probability=100, **deal)
    add("OpportunityLineItem", OpportunityId=opportunity, Quantity=12.5, UnitPrice=140)
    form = salesforce_token_form(
        salesforce_assertion(credentials.key("SALESFORCE_PRIVATE_KEY_FILE"))
    )
    token = twin.post("/salesforce/services/oauth2/token", data=form).json()["access_token"]
    twin.headers["authorization"] = f"Bearer {token}"
    found = {}
    for obj, listed in DEALS.items():
        fields = ", ".join(reader_of("salesforce", obj).fields)
        answer = twin.get(
            "/salesforce/services/data/v62.0/queryAll",
            params={"q": f"SELECT {fields} FROM {listed.sobject}"},
        )
        found[obj] = answer.json()["records"]
    return found


ROWS = {"float": float_rows, "salesforce": salesforce_rows}


@pytest.mark.fault("C2", place="tests/support/vendor_shapes.py")
@pytest.mark.parametrize("vendor", ROWS)
def test_c2_the_twin_answers_in_shapes_seen_outside(
    vendor: str, twin: TestClient, credentials: Credentials
) -> None:
    wrong = []
    rows = ROWS[vendor](twin, credentials)
    for obj, shapes in SHAPES[vendor].items():
        assert rows[obj], obj
        for row in rows[obj]:
            for shape in shapes:
                value = row.get(shape.field, "missing")
                is_right = shape.nullable if value is None else kind_of(value) in shape.kinds
                if not is_right or value == "missing":
                    wrong.append(f"{obj}.{shape.field}: {value!r}")
    assert wrong == []


@pytest.mark.parametrize("vendor", ROWS)
def test_the_twin_answers_with_no_field_nobody_has_seen(
    vendor: str, twin: TestClient, credentials: Credentials
) -> None:
    rows = ROWS[vendor](twin, credentials)
    for obj in SHAPES[vendor]:
        assert reader_of(vendor, obj).page(parsed(rows[obj]), None).new_fields == (), obj


def test_an_allocation_of_several_people_is_refused_and_not_counted_for_one() -> None:
    raw = parsed(plain_row("float", "allocation") | {"people_id": None, "people_ids": [4711, 4712]})
    [row] = reader_of("float", "allocation").page([raw], None).rows
    assert set(canonical("src.float.allocation", row.values)) == {"dlq"}
