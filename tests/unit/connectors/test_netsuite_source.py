"""What the readers of the ERP make of an account that changes while it is read."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.polled.model import DeletePage, Page
from connectors.polled.poller import ObjectPoller
from sandbox.vendors.clock import VendorClock
from sandbox.vendors.drift import Drift
from sandbox.vendors.netsuite import suiteql
from sandbox.vendors.netsuite.suiteql import USERS_ZONE, SuiteQl
from sandbox.vendors.netsuite.tables import NetSuiteBooks
from tests.support.catalogue import contract_of
from tests.support.polled import START, Clock, MemoryLog
from tests.support.scripted_vendors import Ask, ScriptedVendor, make_source, serving

CUSTOMER = contract_of("netsuite", "customer")


@pytest.mark.fault("C1", place="connectors/vendors/netsuite/source.py")
def test_c1_a_line_deleted_between_two_pages_hides_no_line_of_another_invoice(
    tmp_path: Path,
) -> None:
    vendor = ScriptedVendor("netsuite")
    log = MemoryLog()

    def delete_a_line_already_read(body: Any) -> Any:
        vendor.missing.add("100-1")
        return body

    async def run() -> None:
        async with serving(vendor):
            source = make_source(vendor, tmp_path)
            try:
                poller = ObjectPoller(
                    source.config,
                    "invoice",
                    source.reader("invoice", contract_of("netsuite", "invoice")),
                    log,
                    bookmark=None,
                    ledger=log.stored()[1],
                    clock=Clock(START),
                )
                await poller.poll()
                vendor.target = Ask("lines", "invoice", is_first=True)
                vendor.change = delete_a_line_already_read
                await poller.poll()
            finally:
                await source.close()

    asyncio.run(run())
    assert len([op for op, _ in log.operations() if op == "r"]) == 6
    assert {row_id for op, row_id in log.operations() if op == "d"} <= {"100-1"}


class Account(ScriptedVendor):
    """The simulated ERP's tables behind a socket, asked by a user in another time zone."""

    def __init__(self) -> None:
        super().__init__("netsuite")
        self.now = datetime(2026, 3, 2, 12, tzinfo=UTC)
        self.books = NetSuiteBooks(VendorClock(lambda: self.now))
        self._suiteql = SuiteQl(self.books.uri, Drift())

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/token"):
            return web.json_response({"access_token": "t", "expires_in": "3600"})
        if request.path.endswith("serverTime"):
            return web.json_response({"serverTime": f"{self.now:%Y-%m-%dT%H:%M:%S}Z"})
        limit, offset = (int(request.query[name]) for name in ("limit", "offset"))
        query = json.loads(await request.text())["q"]
        page = self._suiteql.run(query, limit=limit, offset=offset)
        has_more = offset + len(page.items) < page.total
        return web.json_response({"items": page.items, "hasMore": has_more})


async def _pages(account: Account, folder: Path, since: datetime) -> list[Page | DeletePage]:
    async with serving(account):
        source = make_source(account, folder, **{"page.size": 1})
        try:
            reader = source.reader("customer", CUSTOMER)
            pages: list[Page | DeletePage] = [page async for page in reader.changes(since)]
            return pages + [page async for page in reader.deletions(since)]
        finally:
            await source.close()


@pytest.mark.fault("C11", place="connectors/vendors/netsuite/queries.py")
def test_c11_what_changed_since_is_the_same_in_every_time_zone_of_the_user(tmp_path: Path) -> None:
    account = Account()
    since = account.now + timedelta(seconds=1)
    assert since.astimezone(USERS_ZONE).utcoffset() == timedelta(hours=-8)
    instants = [since + timedelta(seconds=seconds) for seconds in (-1, 0, 0, 3, 20_000, 40_000)]
    for instant in instants:
        account.now = instant
        account.books.create("customer", {"companyname": "stays"})
        gone = account.books.create("customer", {"companyname": "goes"})
        account.books.delete("customer", gone["id"])
    pages = asyncio.run(_pages(account, tmp_path, since))
    rows = [row for page in pages if isinstance(page, Page) for row in page.rows]
    gone_rows = [it for page in pages if isinstance(page, DeletePage) for it in page.deletions]
    assert [(row.id, row.modified_at) for row in rows] == [
        (str(1 + 2 * number), instant) for number, instant in enumerate(instants) if number > 0
    ]
    assert [(row.id, row.deleted_at) for row in gone_rows] == [
        (str(2 + 2 * number), instant) for number, instant in enumerate(instants) if number > 0
    ]


class PutBack(tzinfo):
    """A zone whose clocks go back an hour at 09:00 UTC of 1 November 2026."""

    def fromutc(self, instant: datetime) -> datetime:
        is_before = instant.replace(tzinfo=UTC) < datetime(2026, 11, 1, 9, tzinfo=UTC)
        return instant - timedelta(hours=7 if is_before else 8)


@pytest.mark.fault("C11", place="connectors/vendors/netsuite/queries.py")
def test_c11_no_row_of_the_hour_that_comes_twice_is_missed_between_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suiteql, "USERS_ZONE", PutBack())
    account = Account()
    since = datetime(2026, 11, 1, 8, tzinfo=UTC)
    instants = [since + timedelta(minutes=minutes) for minutes in (20, 40, 65, 85, 130)]
    for instant in instants:
        account.now = instant
        account.books.create("customer", {"companyname": "x"})
    pages = asyncio.run(_pages(account, tmp_path, since))
    rows = [row for page in pages if isinstance(page, Page) for row in page.rows]
    assert [row.modified_at for row in rows] == instants


@pytest.mark.fault("B3", place="connectors/toolkit/body.py")
def test_b3_a_row_in_which_a_name_is_there_twice_is_refused_alone(tmp_path: Path) -> None:
    vendor = ScriptedVendor("netsuite", target=Ask("query", "customer", is_first=True))

    def doubled(body: Any) -> bytes:
        return json.dumps(body).replace('"id": "100"', '"id": "100", "entityid": "a"').encode()

    vendor.change = doubled

    async def run() -> list[Page]:
        async with serving(vendor):
            source = make_source(vendor, tmp_path)
            try:
                return [page async for page in source.reader("customer", CUSTOMER).changes(None)]
            finally:
                await source.close()

    pages = asyncio.run(run())
    refused = [(row.id, row.detail) for page in pages for row in page.unreadable]
    assert refused == [("100", "entityid: a name that is there twice is not a text")]
    assert [row.id for page in pages for row in page.rows] == ["101", "102", "103", "104", "105"]
