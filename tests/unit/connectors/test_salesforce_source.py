"""What the readers of the CRM make of stamps that are finer than a second."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from connectors.polled.poller import ObjectPoller
from connectors.toolkit.faults import VendorRejectedError
from connectors.vendors.salesforce.objects import DELIVERY_STATUS, PROJECT_IDS, Sobject
from connectors.vendors.salesforce.source import SalesforceSource
from tests.support.catalogue import contract_of
from tests.support.polled import START, Clock, MemoryLog
from tests.support.scripted_vendors import (
    FAST,
    PAGE_SIZE,
    Ask,
    ScriptedVendor,
    make_source,
    serving,
)

LEFT = "psastream_source_quota_remaining_ratio"


class FineOrg(ScriptedVendor):
    """Six accounts changed within one second, found by the whole condition of a query."""

    async def _salesforce(self, request: web.Request) -> tuple[Ask, Any, Mapping[str, str]]:
        query = request.query.get("q", "")
        bound = re.search(r"SystemModstamp >=? ([^ )]+)", query)
        last = re.search(r"Id > '(\w+)'", query)
        rows = []
        for number, row in enumerate(self.rows("account")):
            stamp = datetime.fromisoformat(f"2026-05-01T10:00:00.{100 + number:03d}+00:00")
            row["SystemModstamp"] = stamp.isoformat(timespec="milliseconds")
            since = datetime.fromisoformat(bound.group(1)) if bound else stamp
            if (stamp, row["Id"]) > (since, last.group(1) if last else ""):
                rows.append(row)
        body = {"totalSize": len(rows), "done": True, "records": rows[:PAGE_SIZE]}
        if not query:
            body = {"deletedRecords": [], "earliestDateAvailable": "2026-05-01T10:00:00Z"}
        return Ask("query", "account", last is None), body, {}


@pytest.mark.fault("D4", place="connectors/vendors/salesforce/source.py")
def test_d4_stamps_within_one_second_end_no_paging(tmp_path: Path) -> None:
    vendor, log = FineOrg("salesforce"), MemoryLog()

    async def run() -> None:
        async with serving(vendor):
            source = make_source(vendor, tmp_path)
            reader = source.reader("account", contract_of("salesforce", "account"))
            ledger = log.stored()[1]
            poller = ObjectPoller(
                source.config, "account", reader, log, bookmark=None, ledger=ledger,
                clock=Clock(START),
            )  # fmt: skip
            try:
                for _ in range(2):
                    await poller.poll()
            finally:
                await source.close()

    asyncio.run(run())
    assert [op for op, _ in log.operations()] == ["r"] * 6


class SpendingOrg(ScriptedVendor):
    """An org that has used three quarters of its daily requests."""

    async def _salesforce(self, request: web.Request) -> tuple[Ask, Any, Mapping[str, str]]:
        body = {"totalSize": 0, "done": True, "records": []}
        return Ask("query", "account", True), body, {"Sforce-Limit-Info": "api-usage=75/100"}


def test_the_allowance_that_is_left_is_that_of_the_system_and_not_of_its_kind(
    tmp_path: Path,
) -> None:
    vendor = SpendingOrg("salesforce")
    before = REGISTRY.get_sample_value(LEFT, {"system": "salesforce"})

    async def run() -> None:
        async with serving(vendor):
            source = make_source(vendor, tmp_path)
            source.config = source.config.model_copy(update={"topic_prefix": "src.second_org"})
            reader = source.reader("account", contract_of("salesforce", "account"))
            try:
                async for _ in reader.changes(None):
                    pass
            finally:
                await source.close()

    asyncio.run(run())
    assert REGISTRY.get_sample_value(LEFT, {"system": "second_org"}) == 0.25
    assert REGISTRY.get_sample_value(LEFT, {"system": "salesforce"}) == before


def test_the_delete_log_is_never_asked_for_a_minute_or_less(tmp_path: Path) -> None:
    asked: list[Mapping[str, str]] = []

    class Org(ScriptedVendor):
        async def _salesforce(self, request: web.Request) -> tuple[Ask, Any, Mapping[str, str]]:
            asked.append(dict(request.query))
            body = {"deletedRecords": [], "earliestDateAvailable": "2026-05-01T10:00:00Z"}
            return Ask("deleted", "account", True), body, {}

    async def run() -> None:
        async with serving(vendor := Org("salesforce")):
            source = make_source(vendor, tmp_path)
            reader = source.reader("account", contract_of("salesforce", "account"))
            try:
                async for _ in reader.deletions(datetime.now(UTC)):
                    pass
            finally:
                await source.close()

    asyncio.run(run())
    [words] = asked
    start, end = (datetime.fromisoformat(words[name]) for name in ("start", "end"))
    assert end.replace(second=0) - start.replace(second=0) > timedelta(minutes=1)


class AskedOrg(FineOrg):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__("salesforce")
        self.conditions: list[str] = []

    async def _salesforce(self, request: web.Request) -> tuple[Ask, Any, Mapping[str, str]]:
        found = re.search(r"FROM Account (.*)ORDER BY", request.query["q"])
        self.conditions.append("" if found is None else found.group(1).strip())
        return await super()._salesforce(request)


def test_every_page_is_of_the_rows_that_are_to_be_read(tmp_path: Path) -> None:
    vendor = AskedOrg()
    some = {"account": Sobject(sobject="Account", only={"IsDeleted": False})}

    async def run() -> None:
        async with serving(vendor):
            config = make_source(vendor, tmp_path).config
            source = SalesforceSource(config, retry=FAST, objects=some)
            reader = source.reader("account", contract_of("salesforce", "account"))
            try:
                for since in (None, START):
                    async for _ in reader.changes(since):
                        pass
            finally:
                await source.close()

    asyncio.run(run())
    first, second, *_ = vendor.conditions
    assert first == "WHERE IsDeleted = false"
    assert second.startswith("WHERE IsDeleted = false AND (SystemModstamp > ")
    assert all("IsDeleted = false" in each for each in vendor.conditions)
    assert any(each.startswith("WHERE IsDeleted = false AND SystemModstamp >= ")
               for each in vendor.conditions)  # fmt: skip


class PlainOrg(ScriptedVendor):
    """An org whose opportunities have not all fields that psastream could write to."""

    lacks: tuple[str, ...] = (PROJECT_IDS, DELIVERY_STATUS)

    def __init__(self) -> None:
        super().__init__("salesforce")
        self.selected: list[str] = []

    async def _salesforce(self, request: web.Request) -> tuple[Ask, Any, Mapping[str, str]]:
        ask, body, headers = await super()._salesforce(request)
        columns = request.query["q"].partition(" FROM ")[0].removeprefix("SELECT ").split(", ")
        self.selected = columns
        for name in columns:
            if name in self.lacks:
                told = (
                    f"{', '.join(columns)} FROM Opportunity\n^\nERROR at Row:1:Column:8\n"
                    f"No such column '{name}' on entity 'Opportunity'."
                )
                refused = [{"errorCode": "INVALID_FIELD", "message": told}]
                return ask, web.json_response(refused, status=400), headers
        for row in body["records"]:
            for name in set(row) - {"attributes", *columns}:
                del row[name]
        return ask, body, headers


def read_opportunities(vendor: PlainOrg, tmp_path: Path, *changed: tuple[str, ...]) -> list[Any]:
    """What is read of all opportunities, then again with other fields missing."""
    pages: list[Any] = []

    async def run() -> None:
        async with serving(vendor):
            source = make_source(vendor, tmp_path)
            reader = source.reader("opportunity", contract_of("salesforce", "opportunity"))
            try:
                for lacking in (vendor.lacks, *changed):
                    vendor.lacks = lacking
                    pages.append([page async for page in reader.changes(None)])
            finally:
                await source.close()

    asyncio.run(run())
    return pages


def test_an_org_without_the_fields_that_nothing_is_written_to_is_read(tmp_path: Path) -> None:
    """As it was before there were any: a query that names them is refused by their names."""
    vendor = PlainOrg()
    (pages,) = read_opportunities(vendor, tmp_path)
    rows = [row for page in pages for row in page.rows]
    assert len(rows) == 6
    assert {row.values[PROJECT_IDS] for row in rows} == {None}
    assert pages[0].lacks == {PROJECT_IDS, DELIVERY_STATUS}


def test_fields_that_were_created_are_read_by_the_next_complete_reading(tmp_path: Path) -> None:
    vendor = PlainOrg()
    _, half, whole = read_opportunities(vendor, tmp_path, (PROJECT_IDS,), ())
    assert half[0].shows == {DELIVERY_STATUS}, "what stands beside it in the refusal is there"
    assert whole[0].shows == {PROJECT_IDS, DELIVERY_STATUS}


def test_a_field_that_no_deal_can_be_without_still_stops_the_object(tmp_path: Path) -> None:
    vendor = PlainOrg()
    vendor.lacks = ("StageName",)
    with pytest.raises(VendorRejectedError):
        read_opportunities(vendor, tmp_path)
