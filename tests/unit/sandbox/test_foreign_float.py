"""The resource manager of the twin, driven by float-api, which nobody here wrote."""

from __future__ import annotations

from typing import Any

import pytest
from float_api import FloatAPI
from float_api.float_api import DataValidationError, UnexpectedStatusCode
from starlette.testclient import TestClient

from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import make_credentials
from sandbox.vendors.secret import Credentials
from tests.support.foreign_clients import session_on

pytestmark = pytest.mark.fault("C2", place="sandbox/vendors/float/api.py")


class Company:
    """A twin without limits over time, and the foreign client on it."""

    def __init__(self, credentials: Credentials, token: str | None = None) -> None:
        self.twin = TestClient(
            create_app(base_url="http://testserver", seed=1, credentials=credentials)
        )
        names = ("reads_per_minute", "reads_per_second", "writes_per_minute", "writes_per_second")
        self.twin.patch("/admin/float/settings", json=dict.fromkeys(names, 1_000_000))
        self.client = FloatAPI(
            token or credentials["FLOAT_TOKEN"], "psastream tests", "it@example.com"
        )
        self.client.session, self.adapter = session_on(self.twin, "float")

    def add(self, collection: str, **values: object) -> dict[str, Any]:
        answer = self.twin.post(f"/admin/float/rows/{collection}", json=values)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials()


@pytest.fixture
def company(credentials: Credentials) -> Company:
    return Company(credentials)


@pytest.mark.parametrize("size", [1, 2, 3, 200])
def test_all_pages_are_read_by_their_headers(company: Company, size: int) -> None:
    company.twin.patch("/admin/float/settings", json={"page_size": size})
    ids = [company.add("people", name=f"Person {n}")["people_id"] for n in range(3)]
    assert [row["people_id"] for row in company.client.get_all_people()] == ids


def test_an_empty_list_has_headers_too(company: Company) -> None:
    assert company.client.get_all_people() == []


def test_a_person_is_created_changed_read_and_deleted(company: Company) -> None:
    made = company.client.create_person(name="J. Okafor", email="j.okafor@example.com")
    person_id = made["people_id"]
    assert isinstance(person_id, int)
    changed = company.client.update_person(people_id=person_id, job_title="Engineer")
    assert changed["job_title"] == "Engineer"
    assert company.client.get_person(person_id)["name"] == "J. Okafor"
    assert company.client.delete_person(person_id)
    with pytest.raises(UnexpectedStatusCode, match="404"):
        company.client.get_person(person_id)


def test_projects_and_allocations_round_trip(company: Company) -> None:
    person_id = company.client.create_person(name="J. Okafor")["people_id"]
    project = company.client.create_project(name="Rollout")
    task = company.client.create_task(
        project_id=project["project_id"],
        people_id=person_id,
        start_date="2026-03-02",
        end_date="2026-03-06",
        hours=4,
    )
    [found] = company.client.get_all_tasks()
    assert (found["task_id"], found["repeat_state"]) == (task["task_id"], 0)
    assert float(found["hours"]) == 4
    assert company.client.update_project(project_id=project["project_id"], active=0)["active"] == 0


def test_time_off_names_people_in_a_list(company: Company) -> None:
    person_id = company.client.create_person(name="J. Okafor")["people_id"]
    made = company.client.create_timeoff(
        people_ids=[person_id],
        start_date="2026-03-09",
        end_date="2026-03-10",
        timeoff_type_id=1,
        full_day=1,
    )
    [found] = company.client.get_all_timeoffs()
    assert (found["timeoff_id"], found["people_ids"]) == (made["timeoff_id"], [person_id])


def test_what_is_not_valid_is_refused_with_422(company: Company) -> None:
    with pytest.raises(DataValidationError):
        company.client.create_person(name=None)


def test_a_wrong_token_is_refused(credentials: Credentials) -> None:
    with pytest.raises(UnexpectedStatusCode, match="401"):
        Company(credentials, token="wrong").client.get_all_people()
