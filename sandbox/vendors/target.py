"""The twin's vendors as targets of the conformance suite: in its process, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

from aiohttp import web
from starlette.types import ASGIApp, Message

from sandbox.vendors import wire
from sandbox.vendors.app import create_app
from sandbox.vendors.oauth import (
    ENVIRONMENT_FILE,
    Credentials,
    make_credentials,
    write_credentials,
)

_LIMITS: Final = ("reads_per_minute", "reads_per_second", "writes_per_minute", "writes_per_second")


@lru_cache(maxsize=1)
def _credentials() -> Credentials:
    """Keys take a second to make: one set serves all targets of a process."""
    return make_credentials()


class TwinTarget:
    """One vendor of the twin: it takes requests, and tells what it holds and how often it wrote."""

    vendor: ClassVar[str]
    tables: ClassVar[Mapping[str, str | None]]
    """What we write: by table the field in which a row bears our id, None where it bears none.

    Below lists and objects its parts are separated by dots; the id may be the last word of a text.
    """

    given: ClassVar[tuple[str, Mapping[str, object], str] | None] = None
    """What people make, of whose `deal_id` commands are: its table, a row and the field of its id.

    Of a vendor at which we make no record.
    """

    def __init__(self, url: str, directory: Path) -> None:
        """`url` is where its requests come to; keys are written to the directory."""
        self._app = create_app(base_url=url, seed=1, credentials=_credentials())
        write_credentials(directory, url, _credentials())
        self.environment: Mapping[str, str] = wire.loads(
            (directory / ENVIRONMENT_FILE).read_bytes()
        )
        self.url = f"{url}/{self.vendor}"

    async def prepare(self) -> None:
        """Set up what people have set up before a command comes."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        status, headers, body = await ask(
            self._app,
            request.method,
            request.path,
            await request.read(),
            query=request.query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        kept = {name: value for name, value in headers.items() if name != "content-length"}
        return web.Response(status=status, headers=kept, body=body)

    async def effects(self) -> int:
        """How many writes it carried out."""
        return len(await self.admin("GET", "/effects"))

    async def records(self) -> Mapping[str, int]:
        """How many records it holds, by type."""
        books = (await self.admin("GET", "/books"))[self.vendor]
        return {table: len(books[table]) for table in self.tables}

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        """Ask the admin API."""
        content = b"" if body is None else wire.dumps(body)
        status, _, found = await ask(self._app, method, f"/admin{path}", content)
        assert status < 300, found
        return wire.loads(found) if found else None


class FloatTarget(TwinTarget):
    """Projects of the resource manager."""

    vendor = "float"
    tables = MappingProxyType({"projects": "project_code"})

    async def prepare(self) -> None:
        """Lift what counts requests over time."""
        await self.admin("PATCH", "/float/settings", dict.fromkeys(_LIMITS, 1_000_000))


class RunnTarget(TwinTarget):
    """Projects and milestones of the resource planner."""

    vendor = "runn"
    tables = MappingProxyType({"projects": "references.externalId", "milestones": "note"})

    async def prepare(self) -> None:
        """Make two clients, the second that of a customer, and lift the limit."""
        await self.admin("PATCH", "/runn/settings", {"requests_per_minute": 1_000_000})
        named = [{"referenceName": "psastream", "externalId": "cus-abcdefghijkl"}]
        rows = [{"name": "Others"}, {"name": "Tern Ltd", "references": named}]
        await self.admin("POST", "/runn/rows/clients", rows)


class NetSuiteTarget(TwinTarget):
    """Customers, projects and time bills of the ERP."""

    vendor = "netsuite"
    tables = MappingProxyType(dict.fromkeys(("customer", "job", "timebill"), "externalid"))

    async def prepare(self) -> None:
        """Found a subsidiary: it has the id 1."""
        row = {"name": "DE GmbH", "country": "DE", "currency": "EUR"}
        await self.admin("POST", "/netsuite/rows/subsidiary", row)


class BusinessCentralTarget(TwinTarget):
    """Customers, projects and planning lines of a company of the ERP."""

    vendor = "business_central"
    tables = MappingProxyType(
        {"customers": "number", "jobs": "number", "jobPlanningLines": "documentNumber"}
    )

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        self.url = self.environment["BUSINESS_CENTRAL_URL"]

    async def prepare(self) -> None:
        """Found a company: it has the id that the environment names."""
        row = {"name": "DE", "displayName": "DE GmbH", "country": "DE", "currencyCode": "EUR"}
        await self.admin("POST", "/business_central/rows/companies", row)


class KantataTarget(TwinTarget):
    """Projects of the PSA, and what other systems call them."""

    vendor = "kantata"
    tables = MappingProxyType({"workspaces": None, "external_references": "service_model_ref"})

    async def prepare(self) -> None:
        """Lift what counts requests over time."""
        await self.admin("PATCH", "/kantata/settings", {"requests_per_minute": 1_000_000})


class FinanceOperationsTarget(TwinTarget):
    """Customers, projects and lines of hours of a company of the ERP."""

    vendor = "finance_operations"
    tables = MappingProxyType(
        {
            "CustomersV3": "CustomerAccount",
            "Projects": "ProjectID",
            "JournalTrans": "PsaStreamTimeBillId",
        }
    )

    async def prepare(self) -> None:
        """Found two companies, each with a ledger and an open journal of hours."""
        for company, country, currency in (("demf", "DE", "EUR"), ("usmf", "US", "USD")):
            names = {"LegalEntityId": company, "Name": company.upper()}
            entity = {**names, "AddressCountryRegionISOCode": country}
            ledger = {"LegalEntityId": company, "AccountingCurrency": currency}
            journal = {"dataAreaId": company, "JournalName": "PSASTREAM"}
            for name, row in (
                ("LegalEntities", entity), ("Ledgers", ledger), ("JournalTables", journal),
            ):  # fmt: skip
                await self.admin("POST", f"/finance_operations/rows/{name}", row)


class CertiniaTarget(TwinTarget):
    """Projects of the PSA that is a package in an org."""

    vendor = "certinia"
    tables = MappingProxyType({"pse__Proj__c": "Psastream_Project_Id__c"})

    async def prepare(self) -> None:
        """Let the package rewrite projects in the background, a moment after each write."""
        await self.admin("PATCH", "/certinia/settings", {"rollup_s": 0.1})


class SalesforceTarget(TwinTarget):
    """Opportunities of the CRM, which people have made."""

    vendor = "salesforce"
    tables = MappingProxyType(dict.fromkeys(("Account", "Opportunity")))
    given = (
        "Opportunity",
        MappingProxyType(
            {"AccountId": "001TW0000000001YAA", "Name": "Tern", "StageName": "Closed Won"}
        ),
        "Id",
    )

    async def prepare(self) -> None:
        """Win a deal: it is the org's second record."""
        account = await self.admin("POST", "/salesforce/rows/Account", {"Name": "Tern Ltd"})
        deal = {"AccountId": account["Id"], "Name": "Tern", "StageName": "Closed Won"}
        await self.admin("POST", "/salesforce/rows/Opportunity", deal)


class HubSpotTarget(TwinTarget):
    """Deals of the CRM, which people have made."""

    vendor = "hubspot"
    tables = MappingProxyType(dict.fromkeys(("companies", "deals")))
    given = ("deals", MappingProxyType({"dealname": "Tern", "dealstage": "closedwon"}), "id")

    async def prepare(self) -> None:
        """Lift what counts requests over time, and win a deal: it is the account's first record."""
        await self.admin("PATCH", "/hubspot/settings", {"requests_per_ten_seconds": 1_000_000})
        deal = {"dealname": "Tern", "dealstage": "closedwon"}
        await self.admin("POST", "/hubspot/rows/deals", deal)


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes,
    *,
    query: str = "",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, dict[str, str], bytes]:
    """Ask an application once: status, headers by lower-case name, and body of its answer."""
    answer: dict[str, Any] = {"status": 0, "headers": []}
    content = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.update(message)
        else:
            content.extend(message.get("body", b""))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in answer["headers"]}
    return answer["status"], found, bytes(content)
