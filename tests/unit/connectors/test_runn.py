"""Runn's folder against the simulated planner: what is written, shown back and refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from connectors.dispatch.commands import Command
from connectors.dispatch.sink import Applied
from connectors.rest.source import shape
from connectors.systems import Systems
from connectors.toolkit.config import parse_config, read_document
from connectors.toolkit.faults import Meaning, Reason, VendorRejectedError
from connectors.vendors.runn.auth import POLICY, read_faults
from connectors.vendors.runn.sink import DUPLICATE_REFERENCE, RunnSink, RunnSinkConfig
from psastream.landscape import systems_of
from psastream.system import tried_row
from sandbox.vendors.target import RunnTarget
from schemas.errors import InvalidEntityError
from schemas.landscape import Landscape, Role, System
from tests.support.commands import project_content
from tests.support.sinks import make_command
from tests.support.vendor_server import serving

FOLDER = Path(__file__).parents[3] / "connectors" / "vendors" / "runn"
PROJECT = "eng-abcdefghijkl-de"
OURS = {"referenceName": "psastream", "externalId": PROJECT}
START = {"referenceName": "psastream_start", "externalId": "2026-03-02"}
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
