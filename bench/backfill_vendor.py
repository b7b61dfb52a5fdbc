"""An org with so many accounts, whose pages are made before anybody asks: no reader waits for it.

It speaks what its readers do: sign-ins, descriptions, queries with locators and in keyset pages,
the allowance of requests. Bodies are JSON, compressed for who takes that, as the vendor's are.
Readers that sign in at the vendor's own address reach it as their proxy, by a certificate of an
authority that the folder holds. `/bench/used` tells how many requests were spent, and forgets them.

Run: python -m bench.backfill_vendor --port 8099 --records 100000 --folder DIR
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import trustme

from sandbox.vendors.salesforce.org import with_suffix

PAGE: Final = 2_000
ALLOWANCE: Final = 100_000
"""Requests a day."""
LOGIN_HOST: Final = "login.salesforce.com"
CA_FILE: Final = "authority.pem"
OBJECT: Final = "Account"
FIELDS: Final = {
    "Id": "id",
    "Name": "string",
    "ParentId": "reference",
    "BillingCountryCode": "picklist",
    "CurrencyIsoCode": "picklist",
    "Tax_Number__c": "string",
    "MasterRecordId": "reference",
    "IsDeleted": "boolean",
    "SystemModstamp": "datetime",
}
"""Those of psastream's contract; everybody must ask for them."""
ADDRESS: Final = "BillingAddress"
"""Of every org's accounts, and no value here. Airbyte's source reads objects by REST that have one
like it, others in bulk."""
FIRST_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
ROWS_A_STAMP: Final = 3
_LOCATOR: Final = "0r8TW0000000001"
_QUERY: Final = re.compile(rf"SELECT (?P<fields>.+?) FROM {OBJECT}\b(?P<rest>.*)", re.DOTALL)
_LAST_ID: Final = re.compile(r"Id > '001TW(?P<number>[0-9]{10})")
_PATH: Final = re.compile(r"/services/data/v(?P<version>[0-9]+\.0)/(?P<resource>.+)")


@dataclass(frozen=True, slots=True)
class Kind:
    """What pages look like: by API version, and with or without the compound field and locators."""

    version: str
    has_address: bool
    has_locators: bool


KINDS: Final = (
    Kind("62.0", has_address=False, has_locators=False),  # psastream
    Kind("61.0", has_address=False, has_locators=True),  # tap-salesforce
    Kind("62.0", has_address=True, has_locators=True),  # Airbyte
    Kind("62.0", has_address=False, has_locators=True),  # dlt
)


class RefusedError(Exception):
    """A request that the org refuses; the text says why."""


def row_id(number: int) -> str:
    """Return the id of a row."""
    return with_suffix(f"001TW{number:010d}")


class Org:
    """Its pages, and what was spent of its allowance."""

    def __init__(self, records: int, page: int = PAGE) -> None:
        self._records = records
        self._page = page
        self._pages: dict[tuple[Kind, int], bytes] = {}
        self._lock = threading.Lock()
        self._used = 0

    @property
    def used(self) -> int:
        """Requests that were spent."""
        return self._used

    def spend(self) -> str:
        """Count a request; return what the vendor's header says. Raises RefusedError."""
        with self._lock:
            self._used += 1
            if self._used > ALLOWANCE:
                raise RefusedError("TotalRequests Limit exceeded.")
            return f"api-usage={self._used}/{ALLOWANCE}"

    def forget(self) -> int:
        """Return how many requests were spent, and begin to count anew."""
        with self._lock:
            used, self._used = self._used, 0
        return used

    def prepare(self) -> None:
        """Make the pages of every kind."""
        for kind in KINDS:
            for start in range(0, self._records + 1, self._page):
                self.page(kind, start)

    def query(self, version: str, soql: str) -> bytes:
        """Return the first page of an answer, compressed. Raises RefusedError."""
        found = _QUERY.fullmatch(soql.strip())
        if found is None:
            raise RefusedError("unexpected token")
        fields = {name.strip() for name in found["fields"].split(",")}
        if fields - {ADDRESS} != FIELDS.keys():
            raise RefusedError(f"the columns are not those of everybody: {found['fields']}")
        kind = Kind(version, ADDRESS in fields, "LIMIT" not in found["rest"])
        if kind.has_locators:
            return self.page(kind, 0)
        if f"LIMIT {self._page}" not in found["rest"]:
            raise RefusedError(f"pages are of {self._page} rows")
        if last := _LAST_ID.search(found["rest"]):
            return self.page(kind, int(last["number"]) + 1)
        # What has changed since some instant: nothing has.
        return self.page(kind, self._records if "WHERE" in found["rest"] else 0)

    def more(self, version: str, locator: str, *, has_address: bool) -> bytes:
        """Return a page behind the first, compressed. Raises RefusedError."""
        name, _, start = locator.partition("-")
        if name.removesuffix("A") != _LOCATOR or not start.isdigit():
            raise RefusedError("invalid query locator")
        return self.page(Kind(version, has_address, has_locators=True), int(start))

    def page(self, kind: Kind, start: int) -> bytes:
        """Return the page that starts with a row."""
        if (kind, start) not in self._pages:
            self._pages[kind, start] = gzip.compress(self._body(kind, start), 1, mtime=0)
        return self._pages[kind, start]

    def _body(self, kind: Kind, start: int) -> bytes:
        end = min(start + self._page, self._records)
        head: dict[str, Any] = {"totalSize": max(end - start, 0), "done": True}
        if kind.has_locators:
            head = {"totalSize": self._records, "done": end == self._records}
        if not head["done"]:
            locator = f"{_LOCATOR}{'A' if kind.has_address else ''}-{end}"
            head["nextRecordsUrl"] = f"/services/data/v{kind.version}/query/{locator}"
        head["records"] = [_row(kind, number) for number in range(start, end)]
        return json.dumps(head, separators=(",", ":")).encode()


def _row(kind: Kind, number: int) -> dict[str, Any]:
    key = row_id(number)
    at = FIRST_AT + timedelta(seconds=number // ROWS_A_STAMP)
    row = {
        "attributes": {
            "type": OBJECT,
            "url": f"/services/data/v{kind.version}/sobjects/{OBJECT}/{key}",
        },
        "Id": key,
        "Name": f"Müller & Partners {number} LLP",
        "ParentId": row_id(number // 10) if number % 10 else None,
        "BillingCountryCode": ("DE", "US", "GB", "FR")[number % 4],
        "CurrencyIsoCode": ("EUR", "USD", "GBP", "EUR")[number % 4],
        "Tax_Number__c": f"DE{number:09d}" if number % 3 else None,
        "MasterRecordId": None,
        "IsDeleted": False,
        "SystemModstamp": at.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
    }
    return {**row, ADDRESS: None} if kind.has_address else row


def described() -> dict[str, Any]:
    """Return the description of the object."""
    fields = {**FIELDS, ADDRESS: "address"}
    return {
        "name": OBJECT,
        "queryable": True,
        "fields": [
            {"name": name, "type": kind, "nillable": name != "Id", "compoundFieldName": None}
            for name, kind in fields.items()
        ],
    }


class Server(ThreadingHTTPServer):
    """Serves an org."""

    daemon_threads = True

    def __init__(self, org: Org, port: int, folder: Path) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.org = org
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / CA_FILE))
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(LOGIN_HOST).configure_cert(self.tls)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves in one piece
    disable_nagle_algorithm = True

    def do_CONNECT(self) -> None:
        """Be the proxy that leads to the login host, and that host itself."""
        if self.path != f"{LOGIN_HOST}:443":
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        self.send_response(HTTPStatus.OK)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def do_POST(self) -> None:
        """Sign anybody in."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = {
            "access_token": "00DTW-bench",
            "instance_url": self.server.url,
            "token_type": "Bearer",
            "scope": "api",
        }
        self._answer(token)

    def do_GET(self) -> None:
        """Answer a question."""
        asked = urlsplit(self.path)
        if asked.path == "/bench/used":
            self._answer({"used": self.server.org.forget()})
            return
        try:
            usage = {"Sforce-Limit-Info": self.server.org.spend()}
            found = _PATH.fullmatch(asked.path)
            if found is None:
                raise RefusedError(f"nothing at {asked.path}")
            soql = parse_qs(asked.query).get("q", [""])[0]
            answer = self._found(found["version"], found["resource"], soql)
        except RefusedError as error:
            refusal = [{"errorCode": "MALFORMED_QUERY", "message": str(error)}]
            self._answer(refusal, HTTPStatus.BAD_REQUEST)
            return
        self._answer(answer, more=usage)

    def _found(self, version: str, resource: str, soql: str) -> object:
        org = self.server.org
        if resource in ("query", "queryAll"):
            return org.query(version, soql)
        if resource.startswith("query/"):
            locator = resource.removeprefix("query/")
            return org.more(version, locator, has_address=f"{_LOCATOR}A" in locator)
        if resource == "sobjects":
            return {"sobjects": [{"name": OBJECT, "queryable": True}]}
        if resource == f"sobjects/{OBJECT}/describe":
            return described()
        if resource == "limits":
            left = ALLOWANCE - org.used
            return {"DailyApiRequests": {"Max": ALLOWANCE, "Remaining": left}}
        raise RefusedError(f"there is no {resource}")

    def _answer(
        self,
        answer: object,
        status: HTTPStatus = HTTPStatus.OK,
        more: Mapping[str, str] | None = None,
    ) -> None:
        is_made = isinstance(answer, bytes)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        takes_gzip = "gzip" in self.headers.get("Accept-Encoding", "")
        if is_made and not takes_gzip:
            body = gzip.decompress(body)
        self.send_response(status)
        if is_made and takes_gzip:
            self.send_header("Content-Encoding", "gzip")
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log of a million rows is nobody's."""


def main() -> None:
    """Make the pages, then serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    org = Org(options.records)
    org.prepare()
    with Server(org, options.port, options.folder) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
