"""Readers that ask in a language of the vendor's own, with faults to choose from.

A fault edits what the product's reader asks, or what it is answered. Each is one that connectors
have been seen to have.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from connectors.polled.conversion import RowReader
from connectors.polled.model import DeletePage, ObjectReader
from connectors.toolkit.http import Response
from connectors.vendors.netsuite import source as netsuite
from connectors.vendors.salesforce import source as salesforce
from schemas.codec.record import AvroSchema


class BadOrg:
    """Requests of the reader of Salesforce."""

    def __init__(self, api: Any, fault: str) -> None:
        self._api = api
        self._fault = fault
        self._newest = ""
        self._gone: set[str] = set()

    async def get(self, resource: str, params: dict[str, str]) -> Response:
        if "q" not in params:
            found: Response = await self._api.get(resource, params)
            return found
        asked = self._asked(params["q"])
        if self._fault == "shows living rows":
            resource = "query"
        return self._answered(await self._api.get(resource, {"q": asked}))

    def _asked(self, query: str) -> str:
        has_condition = "WHERE" in query
        match self._fault:
            case "skips ties":
                return query.replace(">= ", "> ")
            case "knows better" if " >= " in query and self._newest:
                before, _, after = query.partition(" >= ")
                return f"{before} >= {self._newest} {after.partition(' ')[2]}"
            case "sweeps the news" if not has_condition and self._newest:
                return query.replace("ORDER", f"WHERE SystemModstamp > {self._newest} ORDER")
        return query

    def _answered(self, response: Response) -> Response:
        body = response.body
        if not isinstance(body, dict) or "records" not in body:
            return response
        rows = body["records"]
        for row in rows:
            stamp = datetime.fromisoformat(row["SystemModstamp"]).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._newest = max(self._newest, stamp)
            self._gone |= {row["Id"]} if row["IsDeleted"] else set()
        match self._fault:
            case "short is the end":
                body = body | {"done": True}
            case "one page is all":
                body = body | {"done": True, "records": rows[:1]}
            case "deleted is deleted":
                body = body | {"records": [row for row in rows if row["Id"] not in self._gone]}
        return replace(response, body=body)


class BadAccount:
    """Requests of the reader of NetSuite."""

    EDITS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "skips ties": (") >= ", ") > "),
        "asks in local time": ("AND SYS_EXTRACT_UTC(c.lastmodifieddate)", "AND c.lastmodifieddate"),
        "shows local time": (
            "TO_CHAR(SYS_EXTRACT_UTC(c.lastmodifieddate)", "TO_CHAR(c.lastmodifieddate"
        ),
        "takes another column": ("c.vatregnumber AS", "c.entityid AS"),
        "takes ids for currencies": ("cur.symbol AS", "cur.id AS"),
        "shows raw dates": ("TO_CHAR(j.startdate, 'YYYY-MM-DD')", "j.startdate"),
        "takes the whole for a line": ("l.mainline = 'F' AND", ""),
        "joins what is not there": ("LEFT JOIN currency", "JOIN currency"),
        "asks for hours": ("ROUND(b.hours * 3600)", "ROUND(b.hours * 60)"),
    }  # fmt: skip

    def __init__(self, api: Any, fault: str) -> None:
        self._api = api
        self._fault = fault
        self.real = type(api)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    async def query(self, text: str, *, of: str, limit: int) -> tuple[list[Any], bool]:
        before, after = self.EDITS.get(self._fault, ("", ""))
        items, has_more = await self._api.query(
            text.replace(before, after) if before else text, of=of, limit=limit
        )
        return items, has_more and self._fault != "one page is all"

    def keyset(self, *arguments: Any) -> AsyncIterator[Any]:
        return self.real.keyset(self, *arguments)

    def _keyset(self, *arguments: Any, **words: Any) -> AsyncIterator[Any]:
        return self.real._keyset(self, *arguments, **words)

    async def deletions(
        self, script_ids: Sequence[str], since: datetime
    ) -> AsyncIterator[DeletePage]:
        if self._fault != "no deletes":
            async for page in self.real.deletions(self, script_ids, since):
                yield page


def org_with(fault: str) -> type[salesforce.SalesforceSource]:
    """The source of Salesforce, with a fault."""

    class Source(salesforce.SalesforceSource):
        def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
            api: Any = BadOrg(salesforce._Api(self._client, self.config, self._quota), fault)
            rows = RowReader(contract, salesforce.LAYOUT)
            size = self.config.page_size
            return salesforce.SalesforceReader(api, salesforce.DEALS[obj], rows, size)

    return Source


def account_with(fault: str) -> type[netsuite.NetSuiteSource]:
    """The source of NetSuite, with a fault."""

    class Source(netsuite.NetSuiteSource):
        def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
            reader: Any = super().reader(obj, contract)
            reader._api = BadAccount(reader._api, fault)
            return reader  # type: ignore[no-any-return]

    return Source
