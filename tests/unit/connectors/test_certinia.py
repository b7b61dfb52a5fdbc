"""What the sink of Certinia makes of the projects that an org holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from pydantic import ValidationError

from connectors.dispatch.sink import Applied
from connectors.toolkit.config import parse_config
from connectors.toolkit.faults import (
    QuotaExhaustedError,
    Reason,
    UnclearAnswerError,
    VendorRejectedError,
    VendorUnavailableError,
)
from connectors.vendors.certinia.sink import (
    DUPLICATE_PROJECT_ID,
    TEMPLATE_WITH_PROJECT_ID,
    CertiniaSink,
    CertiniaSinkConfig,
)
from sandbox.vendors.certinia.target import CertiniaTarget
from schemas.errors import ConfigError, InvalidEntityError
from tests.support.commands import project_content
from tests.support.sinks import make_command
from tests.support.vendor_server import serving, vendor_at

SINK: Final = Path("connectors/vendors/certinia/sink.json")
FIELD: Final = "Psastream_Project_Id__c"
PROJECT: Final = "eng-abcdefghijkl-de"
OTHER: Final = "eng-zzzzzzzzzzzz-de"
KEY: Final = f"certinia:project:{PROJECT}"
ID: Final = "a0BTw00000Pj9hQMAR"
KNOWN: Final = "a0BTw00000Pj9kQMAR"


class Org:
    """A twin's org, and the sink on it as its connector file says."""

    def __init__(self, directory: Path, **keys: object) -> None:
        self._directory = directory
        self._keys = keys
        self._target: CertiniaTarget | None = None
        self.asked: list[str] = []

    async def target(self) -> CertiniaTarget:
        if self._target is None:
            self._target = CertiniaTarget("http://twin", self._directory)
            await self._target.prepare()
        return self._target

    def run(self, work: Callable[[CertiniaSink], Awaitable[Any]]) -> Any:
        async def call() -> Any:
            target = await self.target()
            async with serving(self._answer) as url:
                keys = {"url": f"{url}/certinia", **self._keys}
                document = {**json.loads(SINK.read_text()), **keys}
                config = parse_config(
                    document, CertiniaSinkConfig, target.environment, origin="sink"
                )
                assert isinstance(config, CertiniaSinkConfig)
                sink = config.make_sink(lambda: None)
                try:
                    return await work(sink)
                finally:
                    await sink.close()

        return asyncio.run(call())

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        return await (await self.target()).answer(request)

    def execute(self, known_id: str | None = None, **content: object) -> Any:
        return self.run(lambda sink: sink.execute(order(**content), known_id))

    def look(self, known_id: str | None = None, **content: object) -> Any:
        return self.run(lambda sink: sink.look(order(**content), known_id))

    def admin(self, method: str, path: str, body: object = None) -> Any:
        async def ask() -> Any:
            return await (await self.target()).admin(method, path, body)

        return asyncio.run(ask())

    def add(self, **values: object) -> str:
        """Somebody's project, with our id unless told otherwise."""
        row = {"Name": "Tern", FIELD: PROJECT, "pse__Start_Date__c": "2026-03-02", **values}
        return str(self.admin("POST", "/certinia/rows/pse__Proj__c", row)["Id"])

    def change(self, row_id: str, **values: object) -> None:
        self.admin("PATCH", f"/certinia/rows/pse__Proj__c/{row_id}", values)

    def configure(self, **settings: object) -> None:
        self.admin("PATCH", "/certinia/settings", settings)

    @property
    def projects(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.admin("GET", "/books")["certinia"]["pse__Proj__c"]
        return rows

    @property
    def effects(self) -> list[tuple[str, str]]:
        told = self.admin("GET", "/effects")
        return [(each["operation"], each["external_id"]) for each in told]


@pytest.fixture
def org(tmp_path: Path) -> Org:
    return Org(tmp_path)


def order(kind: str = "upsert_project", **content: object) -> Any:
    said = {**project_content(PROJECT, "Tern"), **content}
    return make_command(KEY, kind=kind, target="certinia", payload=json.dumps(said, default=str))


def test_a_project_is_made_as_it_was_sold_with_our_id(org: Org) -> None:
    made = org.execute(currency="EUR", starts_on="2026-03-02")
    (row,) = org.projects
    assert (row["Name"], row["pse__Start_Date__c"], row[FIELD]) == ("Tern", "2026-03-02", PROJECT)
    assert (row["CurrencyIsoCode"], row["pse__Is_Active__c"], row["pse__Is_Billable__c"]) == (
        "EUR", True, True,
    )  # fmt: skip
    assert made == Applied(row["Id"])
    assert org.execute(currency="EUR", starts_on="2026-03-02") == made
    assert org.effects == [("create", PROJECT)], "nothing is written where nothing differs"
    assert (
        org.asked.count(
            f"PATCH /certinia/services/data/v62.0/sobjects/pse__Proj__c/{FIELD}/{PROJECT}"
        )
        == 1
    )


def test_only_what_the_command_keeps_equal_is_changed(org: Org) -> None:
    made = org.execute()
    org.change(
        made.target_id, pse__Is_Active__c=False, pse__Stage__c="Closed", CurrencyIsoCode="SEK"
    )
    assert org.execute(name="Tern II", starts_on="2026-04-01") == made
    (row,) = org.projects
    assert (row["Name"], row["pse__Start_Date__c"]) == ("Tern II", "2026-04-01")
    assert (row["pse__Is_Active__c"], row["pse__Stage__c"], row["CurrencyIsoCode"]) == (
        False, "Closed", "SEK",
    )  # fmt: skip
    assert org.effects == [("create", PROJECT), ("update", PROJECT)]


def test_a_roll_up_of_the_package_is_no_difference(org: Org) -> None:
    """It moves the stamp of the project after our write, and no content of ours."""
    org.configure(rollup_s=30)
    org.execute()
    (written,) = org.projects
    org.configure(clock_offset_s=60)
    assert org.look().differs is False
    (rolled,) = org.projects
    assert rolled["SystemModstamp"] > written["SystemModstamp"]
    org.execute()
    assert org.effects == [("create", PROJECT)]


def test_another_org_is_asked_by_its_field_and_for_what_it_requires(tmp_path: Path) -> None:
    starting = {"pse__Is_Active__c": True, "pse__Stage__c": "Planned"}
    org = Org(tmp_path, **{"multi.currency": False, "starting.values": starting})
    org.execute(currency="EUR")
    (row,) = org.projects
    assert (row["CurrencyIsoCode"], row["pse__Stage__c"]) == ("USD", "Planned")
    assert row["pse__Is_Billable__c"] is False
    other = Org(tmp_path, **{"external.id.field": "Their_Id__c"})
    with pytest.raises(VendorRejectedError) as refused:
        other.execute()
    assert (refused.value.vendor_code, refused.value.reason) == ("INVALID_FIELD", Reason.SETTING)
    assert "Their_Id__c" in refused.value.faults[0].detail


@pytest.mark.parametrize("field", ["Name", "pse__Start_Date__c", "CurrencyIsoCode", FIELD])
def test_what_follows_from_the_command_is_no_starting_value(tmp_path: Path, field: str) -> None:
    org = Org(tmp_path, **{"starting.values": {field: "x"}})
    with pytest.raises((ConfigError, ValidationError), match="follows from the command"):
        org.execute()


def test_of_two_projects_the_known_one_is_kept_up_else_the_oldest(org: Org) -> None:
    first = org.add(SystemModstamp="2026-01-01T00:00:00Z", CreatedDate="2026-01-01T00:00:00Z")
    second = org.add()
    found = org.execute()
    assert (found.target_id, found.warning.code) == (first, DUPLICATE_PROJECT_ID)
    assert second in found.warning.detail
    assert found.warning.reason is Reason.LEFTOVER
    assert org.execute(second).target_id == second
    org.change(second, **{FIELD: None})
    assert org.execute().warning is None


def test_a_known_project_whose_id_was_emptied_gets_it_back(org: Org) -> None:
    emptied = org.add(**{FIELD: None})
    assert org.look(emptied).differs is True
    assert org.execute(emptied).target_id == emptied
    assert [row[FIELD] for row in org.projects] == [PROJECT]


def test_a_known_project_that_bears_another_id_is_somebody_elses(org: Org) -> None:
    another = org.add(**{FIELD: OTHER})
    assert org.look(another) is None
    assert org.execute(another).target_id != another
    assert sorted(row[FIELD] for row in org.projects) == [PROJECT, OTHER]


def test_an_id_that_people_typed_in_capitals_is_ours(org: Org) -> None:
    typed = org.add(**{FIELD: PROJECT.upper()})
    assert org.execute().target_id == typed
    assert [row[FIELD] for row in org.projects] == [PROJECT]


def test_a_template_with_our_id_is_told_and_left_alone(org: Org) -> None:
    template = org.add(pse__Is_Template__c=True, Name="Blueprint")
    with pytest.raises(VendorRejectedError) as refused:
        org.execute()
    assert refused.value.vendor_code == TEMPLATE_WITH_PROJECT_ID
    assert template in refused.value.faults[0].detail
    assert [row["Name"] for row in org.projects] == ["Blueprint"]


def test_a_deleted_project_is_made_anew(org: Org) -> None:
    gone = org.execute().target_id
    org.admin("DELETE", f"/certinia/rows/pse__Proj__c/{gone}")
    assert org.look(gone) is None
    assert org.execute(gone).target_id != gone
    assert [row["IsDeleted"] for row in org.projects] == [True, False]


def test_the_newest_projects_are_told_by_our_ids(org: Org) -> None:
    org.add(**{FIELD: "eng-of-somebody"})
    org.add(**{FIELD: None})
    org.add(CreatedDate="2026-01-01T00:00:00Z")
    org.add(**{FIELD: OTHER, "CreatedDate": "2026-02-01T00:00:00Z"})
    assert org.run(lambda sink: sink.newest()) == {"project": [OTHER, PROJECT]}


@pytest.mark.fault("A8", place="connectors/vendors/salesforce/auth.py")
@pytest.mark.parametrize(
    ("settings", "content", "code", "reason"),
    [
        ({}, {"name": None}, "REQUIRED_FIELD_MISSING", Reason.VALIDATION),
        ({}, {"name": "T" * 81}, "STRING_TOO_LONG", Reason.VALIDATION),
        (
            {"closed_objects": ("pse__Proj__c",)}, {},
            "INSUFFICIENT_ACCESS_OR_READONLY", Reason.PERMISSION,
        ),
    ],
)  # fmt: skip
def test_a8_what_the_org_refuses_is_told_with_its_code_and_what_it_waits_for(
    org: Org, settings: Any, content: Any, code: str, reason: Reason
) -> None:
    org.configure(**settings)
    with pytest.raises(VendorRejectedError) as refused:
        org.execute(**content)
    assert (refused.value.vendor_code, refused.value.reason) == (code, reason)
    assert org.projects == []


def test_a_row_that_a_job_of_the_org_holds_is_written_later(org: Org) -> None:
    made = org.execute()
    org.configure(locked_rows=(made.target_id,))
    with pytest.raises(VendorUnavailableError) as busy:
        org.execute(name="Tern II")
    assert not busy.value.outcome_unknown
    org.configure(locked_rows=())
    assert org.execute(name="Tern II") == made


def test_a_used_up_allowance_is_told_as_a_long_pause(org: Org) -> None:
    org.configure(daily_requests=1)
    with pytest.raises(QuotaExhaustedError) as exhausted:
        org.execute()
    assert exhausted.value.retry_after_s == 900
    assert org.projects == []


def test_an_ended_session_is_renewed_once(org: Org) -> None:
    async def work(sink: CertiniaSink) -> Applied:
        await sink.look(order(), None)
        await (await org.target()).admin("DELETE", "/certinia/tokens")
        return await sink.execute(order(), None)

    assert org.run(work).target_id == org.projects[0]["Id"]
    assert org.asked.count("POST /certinia/services/oauth2/token") == 2


@lru_cache(maxsize=1)
def _token() -> web.Response:
    return web.json_response({"access_token": "t0ken", "token_type": "Bearer"})


def answers() -> Iterator[Any]:
    none = {"totalSize": 0, "done": True, "records": []}
    row = {"Id": ID, FIELD: OTHER, "Name": "Tern"}
    others = {"totalSize": 1, "done": True, "records": [row]}
    yield pytest.param([web.json_response(others)], "were not asked for", False, id="others")
    number = {**others, "records": [{**row, "Id": KNOWN, FIELD: 7}]}
    yield pytest.param([web.json_response(number)], "were not asked for", False, id="no text")
    nameless = {**others, "records": [{FIELD: PROJECT}]}
    yield pytest.param([web.json_response(nameless)], "Id: Field required", False, id="no id")
    yield pytest.param([web.json_response([])], "a list of 0", False, id="no query's answer")
    empty = [web.json_response(none), web.json_response({}, status=201)]
    yield pytest.param(empty, "an object without fields", True, id="made, and no id told")
    failed = [web.json_response(none), web.json_response({"id": ID, "success": False})]
    yield pytest.param(failed, "no success, and no error", True, id="neither made nor refused")


@pytest.mark.parametrize(("told", "problem", "is_unknown"), [*answers()])
def test_what_cannot_be_told_is_looked_up_before_it_is_sent_again(
    tmp_path: Path, told: list[web.Response], problem: str, is_unknown: bool
) -> None:
    async def call() -> None:
        target = await Org(tmp_path).target()
        async with vendor_at(_token(), *told) as url:
            document = {**json.loads(SINK.read_text()), "url": url}
            config = parse_config(document, CertiniaSinkConfig, target.environment, origin="sink")
            sink = config.make_sink(lambda: None)
            try:
                await sink.execute(order(), KNOWN)
            finally:
                await sink.close()

    with pytest.raises(UnclearAnswerError, match=problem) as unclear:
        asyncio.run(call())
    assert unclear.value.outcome_unknown is is_unknown


def test_an_upsert_that_found_one_after_all_is_carried_out(tmp_path: Path) -> None:
    """Older versions of the API tell no id then."""
    none = web.json_response({"totalSize": 0, "done": True, "records": []})

    async def call() -> Applied:
        target = await Org(tmp_path).target()
        async with vendor_at(_token(), none, web.Response(status=204)) as url:
            document = {**json.loads(SINK.read_text()), "url": url}
            config = parse_config(document, CertiniaSinkConfig, target.environment, origin="sink")
            sink = config.make_sink(lambda: None)
            try:
                return await sink.execute(order(), None)
            finally:
                await sink.close()

    assert asyncio.run(call()) == Applied(None)


def test_another_kind_of_command_is_refused(org: Org) -> None:
    with pytest.raises(InvalidEntityError, match="no command of kind delete_project"):
        org.run(lambda sink: sink.execute(order("delete_project"), None))


def test_a_key_that_is_none_is_an_error_of_the_file(tmp_path: Path) -> None:
    org = Org(tmp_path, **{"private.key.file": str(tmp_path / "absent.pem")})
    with pytest.raises(ConfigError, match="the private key of certinia-sink cannot be used"):
        org.execute()
