"""Runn's folder against the simulated planner: what is written, shown back and refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import web

from connectors.dispatch.commands import Command
from connectors.dispatch.sink import Applied
from connectors.rest.source import RestConnectorConfig, RestSource, shape
from connectors.systems import Systems
from connectors.toolkit.config import parse_config, read_document
from connectors.toolkit.faults import Meaning, Reason, VendorRejectedError
from connectors.vendors.runn.auth import POLICY, read_faults
from connectors.vendors.runn.sink import DUPLICATE_REFERENCE, RunnSink, RunnSinkConfig
from psastream.landscape import systems_of
from psastream.system import tried_row
from sandbox.books.staff import of_runn
from sandbox.vendors.runn.target import RunnTarget
from schemas.errors import InvalidEntityError, RateLimitedError
from schemas.identity import resource_id
from schemas.landscape import Landscape, Role, System
from schemas.mapping.compiled import ObjectMapping
from tests.support.commands import project_content
from tests.support.polled import START as BEGINNING
from tests.support.rest_api import ONCE
from tests.support.sinks import make_command
from tests.support.vendor_server import serving

FOLDER = Path(__file__).parents[3] / "connectors" / "vendors" / "runn"
PROJECT = "eng-abcdefghijkl-de"
OURS = {"referenceName": "psastream", "externalId": PROJECT}
START = {"referenceName": "psastream_start", "externalId": "2026-03-02"}
CAPTURED: Final = (
    "person", "current_contract", "placeholder", "role", "project", "phase", "assignment", "leave",
    "holiday", "actual",
)  # fmt: skip
OTHER = {"referenceName": "crm", "externalId": "006Tw00000Qr7sTIAR"}


@dataclass
class Twin:
    """The planner with two clients, and a sink on it."""

    target: RunnTarget
    sink: RunnSink

    async def add(self, collection: str, **row: Any) -> int:
        """Add a row as people do on a screen; return its id."""
        return int((await self.target.admin("POST", f"/runn/rows/{collection}", row))["id"])

    async def change(self, collection: str, row_id: int, **changes: Any) -> None:
        """Change a row as people do on a screen."""
        await self.target.admin("PATCH", f"/runn/rows/{collection}/{row_id}", changes)

    async def rows(self, collection: str) -> list[dict[str, Any]]:
        """Return all rows of a collection."""
        books: Mapping[str, Any] = await self.target.admin("GET", "/books")
        return list(books["runn"][collection])

    async def configure(self, **settings: object) -> None:
        """Change settings."""
        await self.target.admin("PATCH", "/runn/settings", settings)


@pytest_asyncio.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    made: list[RunnTarget] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        return await made[0].answer(request)

    async with serving(answer) as url:
        made.append(RunnTarget(url, tmp_path))
        await made[0].prepare()
        document = {**read_document(FOLDER / "sink.json"), "requests.per.second": None}
        document["url"] = made[0].url
        config = parse_config(document, RunnSinkConfig, made[0].environment, origin="sink")
        sink = config.make_sink(lambda: None)
        yield Twin(made[0], sink)
        await sink.close()


def order(**changes: Any) -> Command:
    content = project_content(PROJECT, "Tern", seen_id=None) | changes
    return make_command(key=f"runn:project:{PROJECT}", payload=json.dumps(content))


@pytest.mark.asyncio
async def test_a_project_has_client_pricing_start_and_our_references(twin: Twin) -> None:
    done = await twin.sink.execute(order(customer_id="cus-abcdefghijkl", billing_type="retainer"))
    [project] = await twin.rows("projects")
    [milestone] = await twin.rows("milestones")
    assert done == Applied(str(project["id"]))
    assert project["references"] == [OURS, START]
    assert (project["clientId"], project["pricingModel"], project["isConfirmed"]) == (2, "fp", True)
    assert (milestone["title"], milestone["icon"], milestone["date"]) == (
        "Start", "start", "2026-03-02",
    )  # fmt: skip


@pytest.mark.asyncio
async def test_a_customer_that_no_client_names_is_at_the_configured_client(twin: Twin) -> None:
    await twin.sink.execute(order(customer_id="cus-unknown"))
    assert [row["clientId"] for row in await twin.rows("projects")] == [1]


@pytest.mark.asyncio
async def test_a_start_long_ago_is_found_and_not_made_again(twin: Twin) -> None:
    await twin.sink.execute(order(starts_on="2019-01-07"))
    await twin.sink.execute(order(starts_on="2019-01-07"))
    await twin.sink.execute(order(starts_on="2019-02-04"))
    assert [row["date"] for row in await twin.rows("milestones")] == ["2019-02-04"]


@pytest.mark.asyncio
async def test_a_start_that_is_taken_back_leaves_neither_milestone_nor_reference(
    twin: Twin,
) -> None:
    await twin.sink.execute(order())
    assert await twin.sink.look(order(starts_on=None)) == Applied("1", differs=True)
    await twin.sink.execute(order(starts_on=None))
    assert await twin.rows("milestones") == []
    assert [row["references"] for row in await twin.rows("projects")] == [[OURS]]


@pytest.mark.asyncio
async def test_milestones_of_people_are_left_alone_and_doubles_of_ours_removed(twin: Twin) -> None:
    await twin.sink.execute(order())
    [ours] = await twin.rows("milestones")
    copied = {name: ours[name] for name in ("title", "icon", "note", "projectId")}
    await twin.add("milestones", **copied, date="2026-05-04")
    await twin.add("milestones", **copied | {"note": None}, date="2026-06-01")
    assert await twin.sink.look(order()) == Applied("1", differs=True)
    await twin.sink.execute(order())
    assert [row["date"] for row in await twin.rows("milestones")] == ["2026-03-02", "2026-06-01"]


@pytest.mark.asyncio
async def test_references_of_others_stay_and_a_moved_milestone_comes_back(twin: Twin) -> None:
    await twin.sink.execute(order())
    await twin.change("projects", 1, references=[OTHER, OURS, START], clientId=2)
    await twin.change("milestones", 1, date="2026-03-09")
    assert await twin.sink.look(order()) == Applied("1", differs=True)
    await twin.sink.execute(order(name="Tern II", starts_on="2026-03-16"))
    [project] = await twin.rows("projects")
    moved = START | {"externalId": "2026-03-16"}
    assert project["references"] == [OTHER, OURS, moved]
    assert (project["name"], project["clientId"]) == ("Tern II", 2)
    assert [row["date"] for row in await twin.rows("milestones")] == ["2026-03-16"]


@pytest.mark.asyncio
async def test_a_project_that_no_list_shows_yet_is_found_by_its_known_id(twin: Twin) -> None:
    await twin.configure(search_lag_s=3600)
    done = await twin.sink.execute(order())
    assert await twin.sink.look(order()) is None
    assert await twin.sink.look(order(), done.target_id) == done
    assert await twin.sink.look(order(seen_id=done.target_id)) == done
    assert await twin.sink.execute(order(), done.target_id) == done
    assert len(await twin.rows("projects")) == 1


@pytest.mark.asyncio
@pytest.mark.fault("A1", place="connectors/vendors/runn/sink.py")
@pytest.mark.parametrize("path", ["/milestones/", "/projects/1"])
async def test_a1_a_project_whose_start_is_refused_for_now_is_made_once(
    twin: Twin, path: str
) -> None:
    """The command is tried again at once, before any list shows the project."""
    await twin.configure(search_lag_s=3600)
    fault = {"kind": "rate_limited", "count": 1, "scope": "write", "path": path}
    await twin.target.admin("POST", "/runn/faults", fault)
    with pytest.raises(RateLimitedError):
        await twin.sink.execute(order())
    assert (await twin.sink.execute(order())).target_id == "1"
    [project] = await twin.rows("projects")
    [milestone] = await twin.rows("milestones")
    assert (project["references"], milestone["date"]) == ([OURS, START], "2026-03-02")


@pytest.mark.asyncio
async def test_of_two_projects_the_oldest_is_kept_up_until_the_other_is_archived(
    twin: Twin,
) -> None:
    await twin.sink.execute(order())
    copy = await twin.add("projects", name="Tern", clientId=1, references=[OURS])
    told = await twin.sink.look(order())
    assert told is not None and told.warning is not None
    assert (told.target_id, told.warning.code) == ("1", DUPLICATE_REFERENCE)
    await twin.change("projects", copy, isArchived=True)
    assert await twin.sink.look(order()) == Applied("1")


@pytest.mark.asyncio
async def test_a_template_with_our_reference_is_no_project(twin: Twin) -> None:
    await twin.add("projects", name="T", clientId=1, references=[OURS], isTemplate=True)
    assert await twin.sink.look(order(seen_id="1")) is None
    await twin.sink.execute(order(seen_id="1"))
    assert [row["isTemplate"] for row in await twin.rows("projects")] == [True, False]
    assert await twin.sink.newest() == {"project": [PROJECT]}


@pytest.mark.asyncio
async def test_a_deleted_project_is_made_anew(twin: Twin) -> None:
    await twin.sink.execute(order())
    await twin.target.admin("DELETE", "/runn/rows/projects/1")
    assert await twin.sink.look(order(seen_id="1"), "1") is None
    assert (await twin.sink.execute(order(seen_id="1"), "1")).target_id == "2"


@pytest.mark.asyncio
async def test_a_token_that_may_only_read_is_told_as_a_lack_of_rights(twin: Twin) -> None:
    await twin.configure(is_read_only=True)
    with pytest.raises(VendorRejectedError) as caught:
        await twin.sink.execute(order())
    assert caught.value.reason is Reason.PERMISSION


@pytest.mark.asyncio
async def test_other_kinds_are_refused(twin: Twin) -> None:
    with pytest.raises(InvalidEntityError, match="no command of kind delete_project"):
        await twin.sink.execute(make_command(kind="delete_project"))


def test_another_regions_address_is_a_matter_of_the_account() -> None:
    route = {"error": "Not Found", "message": "Route GET:/x not found", "statusCode": 404}
    row = {"error": "Not Found", "message": "no project 7", "statusCode": 404}
    assert POLICY.classify(404, read_faults(route)) is Meaning.REFUSED_ACCOUNT
    assert POLICY.classify(404, read_faults(row)) is Meaning.NOT_FOUND


@pytest.mark.asyncio
async def test_what_is_written_is_shown_back(twin: Twin) -> None:
    await twin.sink.execute(order())
    [row] = await twin.rows("projects")
    system = Systems().read("runn")
    [mapping] = [each for each in system.mappings if each.topic == "src.runn.project"]
    tried = tried_row(mapping, system.contract("project"), shape(system, "project", row))
    project = tried.records["project"]
    assert (project["project_id"], project["name"]) == (PROJECT, "Tern")
    assert str(project["starts_on"]) == "2026-03-02"


def test_runn_may_staff_a_firm() -> None:
    landscape = Landscape(systems={"runn": System(role=Role.RESOURCE)})
    assert systems_of(landscape, Systems((), landscape)).landscape == landscape


@pytest.mark.asyncio
async def test_the_plan_is_captured_and_mapped_as_the_books_of_the_firm_read_it(twin: Twin) -> None:
    """The books read the vendor's rows without the mapping."""
    role, made = await twin.add("roles", name="Consultant"), await twin.sink.execute(order())
    person = await twin.add("people", firstName="Ada", lastName="Adler", email="ada@b.example")
    week = {"monday": 450, "tuesday": 450, "wednesday": 450, "thursday": 0, "friday": 0}
    terms = {"personId": person, "roleId": role, "costPerHour": 61, "rosteredDays": week}
    await twin.add("contracts", **terms, startDate="2024-01-01")
    await twin.add("contracts", **{**terms, "costPerHour": 62}, startDate="2024-06-01")
    seat = await twin.add("placeholders", firstName="Open", lastName="1")
    plan = {
        "projectId": int(made.target_id or 0), "roleId": role, "minutesPerDay": 270,
        "startDate": "2026-09-07", "endDate": "2026-10-02",
    }  # fmt: skip
    await twin.add("assignments", personId=person, **plan)
    await twin.add("assignments", personId=seat, isPlaceholder=True, isBillable=False, **plan)
    day = {"personId": person, "startDate": "2026-09-14", "endDate": "2026-09-14"}
    await twin.add("leave", **day, minutesPerDay=210)
    await twin.add("holidays", **day)
    books = await twin.target.admin("GET", "/books")
    staff = of_runn(books["runn"], datetime.now(UTC).date())
    rows = {name: await captured(twin, name) for name in CAPTURED}
    contracts = {row["personId"]: row for row in rows["current_contract"]}
    people = [
        {**row, "contract": looked_up("person", contracts[row["id"]])} for row in rows["person"]
    ]
    [resource], [card] = mapped("person", "resource", people), mapped("person", "rate_card", people)
    [ada, open_seat] = staff.people
    assert resource["resource_id"] == card["resource_id"] == resource_id(ada["ref"])
    assert [Decimal(str(hours)) for hours in resource["work_hours"]] == list(ada["weeks"][0][1])
    assert Decimal(str(card["cost_rate"])) == ada["cost_rates"][0][1] == 62
    [placeholder] = mapped("placeholder", "resource", rows["placeholder"])
    assert placeholder["resource_id"] == resource_id(open_seat["ref"])
    plan_of = looked_up("assignment", rows["project"][0])
    plans = [{**row, "plan": plan_of} for row in rows["assignment"]]
    for record, row in zip(
        mapped("assignment", "assignment", plans), staff.allocations, strict=True
    ):
        assert (record["project_ref"], record["resource_ref"]) == (
            row["project_ref"], row["person_ref"],
        )  # fmt: skip
        assert (str(record["starts_on"]), str(record["ends_on"])) == (
            row["starts_on"], row["ends_on"],
        )  # fmt: skip
        assert (record["status"], record["is_billable"]) == (row["status"], row["is_billable"])
        assert Decimal(str(record["hours_per_day"])) == row["hours"]
    absences = [
        *mapped("leave", "absence", rows["leave"]), *mapped("holiday", "absence", rows["holiday"]),
    ]  # fmt: skip
    assert [(each["resource_refs"], each["seconds_per_day"]) for each in absences] == [
        (row["people"], row["hours"] and int(row["hours"] * 3600)) for row in staff.days_off
    ]
    [project], [planned] = mapped("project", "project", rows["project"]), staff.projects
    assert (project["project_id"], str(project["starts_on"])) == (
        planned["project_id"], planned["starts_on"],
    )  # fmt: skip


@pytest.mark.asyncio
async def test_what_is_deleted_is_found_in_the_log(twin: Twin) -> None:
    person = await twin.add("people", firstName="Ada", lastName="Adler")
    day = {"personId": person, "startDate": "2026-09-14", "endDate": "2026-09-14"}
    leave = [await twin.add("leave", **day) for _ in range(2)]
    await twin.target.admin("DELETE", f"/runn/rows/leave/{leave[0]}")
    source = source_on(twin)
    try:
        reader = source.reader("leave", Systems().read("runn").contract("leave"))
        found = [row.id async for page in reader.deletions(BEGINNING) for row in page.deletions]
        assert found == [str(leave[0])]
    finally:
        await source.close()


def source_on(twin: Twin) -> RestSource:
    document = {**read_document(FOLDER / "source.json"), "requests.per.second": 1000}
    config = parse_config(document, RestConnectorConfig, twin.target.environment, origin="source")
    assert isinstance(config, RestConnectorConfig)
    return RestSource(config, Systems().read("runn"), ONCE)


async def captured(twin: Twin, obj: str) -> list[dict[str, Any]]:
    """Return the rows of an object as they are captured, with days as texts."""
    source = source_on(twin)
    try:
        reader = source.reader(obj, Systems().read("runn").contract(obj))
        rows = {row.id: row async for page in reader.changes(None) for row in page.rows}
    finally:
        await source.close()
    return [
        {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in row.values.items()
        }
        for row in rows.values()
    ]


def mapped(obj: str, entity: str, rows: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the canonical records of captured rows with what they look up."""
    tried = [tried_row(mapping_of(obj), Systems().read("runn").contract(obj), row) for row in rows]
    assert [each.refused for each in tried] == [None] * len(tried)
    return [each.records[entity] for each in tried]


def looked_up(obj: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the rows of an object look up in one of another."""
    [lookup] = mapping_of(obj).lookups
    return {name: row[name] for name in lookup.columns}


def mapping_of(obj: str) -> ObjectMapping:
    mappings = Systems().read("runn").mappings
    return next(each for each in mappings if each.topic == f"src.runn.{obj}")
