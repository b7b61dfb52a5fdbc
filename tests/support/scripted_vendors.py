"""Read APIs that answer soundly but for what a test changes: any request, any page, any shape.

The rows are made from the Avro contracts, six of an object, read in pages of two. Unlike the
simulated vendors these keep no rules of business; they only serve the shapes of the wire.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc.jwk import RSAKey

from connectors.toolkit.http import RetrySettings
from connectors.vendors.float.source import RESOURCES, FloatConfig, FloatSource
from connectors.vendors.netsuite.source import NetSuiteConfig, NetSuiteSource
from connectors.vendors.salesforce.objects import DEALS
from connectors.vendors.salesforce.source import SalesforceConfig, SalesforceSource
from tests.support.catalogue import contract_of

ROWS: Final = 6
PAGE_SIZE: Final = 2
FAST: Final = RetrySettings(attempts=2, wait_initial_s=0, wait_max_s=0, wait_jitter_s=0)
_STAMP: Final = "lastmodifieddate"
ID_FIELDS: Final = {"salesforce": "Id", "netsuite": "id", "float": "id"}

Answer = Any
Change = Callable[[Answer], Answer]
"""From a sound body to another body, to bytes, or to a whole response."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What was asked: `kind` of request, object, and whether it is the first page (None: any)."""

    kind: str
    obj: str
    is_first: bool | None

    def covers(self, other: Ask) -> bool:
        return self in (other, Ask(other.kind, other.obj, None))


@dataclass
class ScriptedVendor:
    """Serves one vendor. `change` is applied to the answers to `target`."""

    system: str
    target: Ask | None = None
    change: Change = lambda body: body
    asked: list[Ask] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    unstamped: set[str] = field(default_factory=set)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/token"):
            return web.json_response({"access_token": "t", "expires_in": "3600"})
        ask, body, headers = await getattr(self, f"_{self.system}")(request)
        self.asked.append(ask)
        if self.target is not None and self.target.covers(ask):
            body = self.change(body)
        if isinstance(body, web.Response):
            return body
        if isinstance(body, bytes):
            return web.Response(body=body, content_type="application/json", headers=headers)
        return web.Response(text=json.dumps(body), content_type="application/json", headers=headers)

    def rows(self, obj: str) -> list[dict[str, Any]]:
        return [row for row in sound_rows(self.system, obj) if _id(row) not in self.missing]

    async def _salesforce(self, request: web.Request) -> tuple[Ask, Answer, Mapping[str, str]]:
        if request.path.endswith("/deleted"):
            obj = _object_of(request.path.split("/")[-2])
            body: Answer = {
                "deletedRecords": [
                    {"id": _salesforce_id(90 + n), "deletedDate": _stamp("salesforce", n)}
                    for n in range(2)
                ],
                "earliestDateAvailable": _stamp("salesforce", 0),
                "latestDateCovered": _stamp("salesforce", 59),
            }
            return Ask("deleted", obj, True), body, {}
        query = request.query["q"]
        obj = _object_of(_found(r"FROM (\w+)", query))
        after = _found(r"Id > '(\w*)'", query)
        rows = [row for row in self.rows(obj) if row["Id"] > after][:PAGE_SIZE]
        shown = [{"attributes": {"type": DEALS[obj].sobject}, **row} for row in rows]
        body = {"totalSize": len(shown), "done": True, "records": shown}
        return Ask("query", obj, not after), body, {}

    async def _netsuite(self, request: web.Request) -> tuple[Ask, Answer, Mapping[str, str]]:
        if request.path.endswith("serverTime"):
            return Ask("time", "", True), {"serverTime": "2026-06-01T00:00:00Z"}, {}
        query = (await request.json())["q"]
        offset = int(request.query["offset"])
        after = _found(r"id > (-?\d+)", query)
        after_line = _found(r"l\.id > (-?\d+)", query)
        kind, obj, rows = "query", _found(r"FROM (\w+)", query), []
        if obj == "deletedrecord":
            kind, obj = "deletions", "customer" if "'customer'" in query else "other"
            rows = [
                {"recordid": str(900 + n), "deleteddate": _stamp("netsuite", n)}
                for n in range(ROWS)
                if obj == "customer"
            ]
        elif "transactionline" in query:
            kind, obj = "lines", "invoice"
            parents = set(re.findall(r"\d+", _found(r"t\.id IN \(([^)]*)\)", query)))
            rows = [row for row in self.rows("invoice") if row["transaction"] in parents]
        elif obj == "transaction":
            kind, obj = "headers", "invoice"
            rows = [
                {"id": str(100 + n), "lastmodifieddate": _stamp("netsuite", n)}
                for n in range(ROWS // 2)
            ]
        else:
            obj = {"job": "project", "timebill": "time_bill"}.get(obj, obj)
            rows = self.rows(obj)
        if self.unstamped or " IS NULL" in query:
            without = " IS NULL" in query
            rows = [row for row in rows if (row.get("id") in self.unstamped) is without]
            rows = [{k: v for k, v in row.items() if not (without and k == _STAMP)} for row in rows]
        id_field = "recordid" if kind == "deletions" else "id"
        if after_line:
            rows = [row for row in rows if _line_of(row) > (int(after), int(after_line))]
        elif after:
            rows = [row for row in rows if int(row[id_field].partition("-")[0]) > int(after)]
        size = PAGE_SIZE if kind != "deletions" else ROWS // 2
        items = [{"links": [], **row} for row in rows[offset : offset + size]]
        body = {"links": [], "count": len(items), "items": items, "offset": offset}
        body |= {"hasMore": offset + size < len(rows), "totalResults": len(rows)}
        return Ask(kind, obj, not after and not offset), body, {}

    async def _float(self, request: web.Request) -> tuple[Ask, Answer, Mapping[str, str]]:
        (obj,) = [
            obj for obj, resource in RESOURCES.items() if request.path.endswith(resource.path)
        ]
        page = int(request.query["page"])
        rows = self.rows(obj)
        headers = {
            "X-Pagination-Total-Count": str(len(rows)),
            "X-Pagination-Page-Count": str(-(-len(rows) // PAGE_SIZE)),
            "X-Pagination-Current-Page": str(page),
        }
        shown = rows[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        return Ask("list", obj, page == 1), shown, headers


@asynccontextmanager
async def serving(vendor: ScriptedVendor) -> AsyncIterator[ScriptedVendor]:
    """Serve a vendor on a port of its own."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", vendor.answer)
    server = TestServer(app)
    await server.start_server()
    try:
        vendor.url = str(server.make_url("")).rstrip("/")
        yield vendor
    finally:
        await server.close()


def make_source(vendor: ScriptedVendor, directory: Path, **keys: object) -> Any:
    """The vendor's source of the product, its objects as in `source.json`."""
    key_path = directory / "key.pem"
    if not key_path.exists():
        key_path.write_text(_private_key())
    document: dict[str, object] = {
        "name": "test",
        "connector.class": "none",
        "topic.prefix": f"src.{vendor.system}",
        "url": vendor.url,
        "page.size": PAGE_SIZE,
        "sweep.interval.ms": 10,
        **keys,
    }
    match vendor.system:
        case "salesforce":
            return SalesforceSource(
                SalesforceConfig.model_validate(
                    document
                    | {"object.include.list": "account,opportunity,opportunity_line_item"}
                    | {"auth.client.id": "c", "auth.username": "u"}
                    | {"auth.private.key.file": str(key_path)}
                ),
                retry=FAST,
            )
        case "netsuite":
            return NetSuiteSource(
                NetSuiteConfig.model_validate(
                    document
                    | {"object.include.list": "subsidiary,customer,project,time_bill,invoice"}
                    | {"auth.client.id": "c", "auth.certificate.id": "k"}
                    | {"auth.private.key.file": str(key_path)}
                ),
                retry=FAST,
            )
        case _:
            return FloatSource(
                FloatConfig.model_validate(
                    document
                    | {"object.include.list": "person,role,project,allocation"}
                    | {"auth.token": "t", "user.agent": "psastream (test@example.com)"}
                ),
                retry=FAST,
            )


def sound_rows(system: str, obj: str) -> list[dict[str, Any]]:
    """Six rows that fit the contract; of invoices three headers with two lines each."""
    schema: Any = contract_of(system, obj).parsed
    rows = []
    for number in range(ROWS):
        row = {field["name"]: _value(system, field["type"]) for field in schema["fields"]}
        match system:
            case "salesforce":
                row |= {"Id": _salesforce_id(number), "IsDeleted": False}
                row["SystemModstamp"] = _stamp(system, number)
            case "netsuite":
                row["id"] = str(100 + number)
                if obj == "invoice":
                    header, line = str(100 + number // 2), number % 2 + 1
                    row |= {"id": f"{header}-{line}", "transaction": header}
                if "lastmodifieddate" in row:
                    row["lastmodifieddate"] = _stamp(system, number)
            case _:
                row[RESOURCES[obj].id_field] = 100 + number
                for name in ("created", "modified"):
                    if name in row:
                        row[name] = _stamp(system, number)
        rows.append(row)
    return rows


def _value(system: str, schema: Any) -> Any:  # noqa: PLR0911 - one return for each type
    if isinstance(schema, list):
        (schema,) = [branch for branch in schema if branch != "null"]
    match schema:
        case "string":
            return "x"
        case "boolean":
            return "T" if system == "netsuite" else True
        case {"logicalType": "date"}:
            return "2026-01-02"
        case {"type": "array", "items": items}:
            return [_value(system, items)]
        case {"type": "map", "values": values}:
            return {"2026-01-02": _value(system, values)}
        case {"type": "record", "fields": fields}:
            return {field["name"]: _value(system, field["type"]) for field in fields}
        case _:
            return "1" if system == "netsuite" else 1


def _id(row: Mapping[str, Any]) -> str:
    return str(next(row[name] for name in _ID_NAMES if name in row))


_ID_NAMES: Final = ("Id", "id", "people_id", "project_id", "task_id")


def row_id(row: Mapping[str, Any], system: str, obj: str) -> str:
    """The id the product gives a sound row."""
    name = RESOURCES[obj].id_field if system == "float" else ID_FIELDS[system]
    return str(row[name])


def _line_of(row: Mapping[str, Any]) -> tuple[int, int]:
    header, _, line = row["id"].partition("-")
    return int(header), int(line)


def _salesforce_id(number: int) -> str:
    return f"001000000000{number:03d}AAA"


def _object_of(sobject: str) -> str:
    return next(obj for obj, deal in DEALS.items() if deal.sobject == sobject)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match.group(1) if match else ""


def _stamp(system: str, number: int) -> str:
    stamp = datetime(2026, 5, 1, 10, number)  # noqa: DTZ001 - the vendor's zone is UTC
    mask = "%Y-%m-%dT%H:%M:%S.000+0000" if system == "salesforce" else "%Y-%m-%d %H:%M:%S"
    return stamp.strftime(mask)


@cache
def _private_key() -> str:
    return RSAKey.generate_key(2048).as_pem(private=True).decode()
