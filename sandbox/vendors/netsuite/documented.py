"""An account for the conformance suite: rows as its samples show them, found by SuiteQL.

It answers by Oracle's pages, whatever the rows hold. What a query shows comes out of tables, so
that one that asks for the wrong column is found out; values that no column holds (lists, numbers
that are none) are put into the answer afterwards.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from aiohttp import web

from psastream.conformance.account import Stored
from psastream.conformance.documented import Way
from psastream.conformance.keys import public_key
from psastream.conformance.paths import load
from psastream.conformance.server import DocumentedApi, RefusedAskError
from sandbox.vendors.drift import Drift
from sandbox.vendors.netsuite.errors import NetSuiteError, error_response, standard_error
from sandbox.vendors.netsuite.suiteql import ROWS_MAX, SuiteQl
from sandbox.vendors.netsuite.tables import CURRENCIES, TABLES, format_stamp
from sandbox.vendors.oauth import AssertionRefusedError, AssertionRules

PAGE_MAX: Final = 1_000
LIFETIME_MAX_S: Final = 3_600
TOKEN_PATH: Final = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path
LINES: Final = "transactionline"
HEADERS: Final = "transaction"
OTHER: Final = 900_001
"""Internal id of the customer, and of the project, to whom rows of other objects refer."""
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FROM: Final = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_SCRIPT_IDS: Final = {
    "customer": "customer", "job": "job", "timebill": "timebill",
    "CustInvc": "invoice", "CustCred": "creditmemo",
}  # fmt: skip
_RENAMED: Final = {
    ("job", "billing_type"): "custentity_psa_billing_type",
    ("timebill", "currency"): "custcol_psa_currency",
    (LINES, "line"): "linesequencenumber",
}
"""Table and what its column is called in an answer → the column."""
_REFERRED: Final = {"customer_externalid": "customer", "job_externalid": "job"}
_REFERRING: Final = {
    ("job", "customer"): "parent",
    ("timebill", "job"): "customer",
    (HEADERS, "customer"): "entity",
    (LINES, "job"): "entity",
}
"""Table and the one that a row of it refers to → the column that does."""
_HOURS: Final = {"timebill": "hours", LINES: "quantity"}
_OF_HEADERS: Final = frozenset(
    {"type", "tranid", "trandate", "status", "approvalstatus", "voided", "lastmodifieddate"}
    | {"currency", "customer_externalid", "createdfrom"}
)
"""What all lines of an answer share with their header; the main line knows `createdfrom`."""


@dataclass
class _Content:
    """Rows of tables, and by id of an answer's row what no table holds of it."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, table: str, row: dict[str, Any]) -> None:
        """Add a row of a table."""
        self.tables.setdefault(table, []).append(row)


class QueriedAccount(DocumentedApi):
    """Records by `table`, the lines of invoices as rows of `transaction`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._drift = Drift()
        self._uri = f"file:conformance-{uuid.uuid4()}?mode=memory&cache=shared"
        self._database = sqlite3.connect(
            self._uri, uri=True, isolation_level=None, check_same_thread=False
        )
        for table, columns in TABLES.items():
            key = "uniquekey" if table == LINES else "id"
            # Rows are made of one sample: they may share what the vendor has once.
            kinds = [f'"{name}" {kind.replace("UNIQUE", "")}' for name, kind in columns.items()]
            self._database.execute(f'CREATE TABLE "{table}" ({key} INTEGER, {", ".join(kinds)})')
        self._engine = SuiteQl(self._uri, self._drift)
        self._first: dict[str, list[dict[str, Any]]] = {}
        self._writes = 0
        self._loaded: tuple[object, Mapping[str, Mapping[str, Any]]] = None, {}

    def key_of(self, obj: str, number: int) -> str:
        """Return the id of the row of a number. Of lines, the third and the fourth share a header,
        as do those of each eight rows."""
        if self._table(obj) != HEADERS:
            return super().key_of(obj, number)
        is_second = number % 8 == 3
        return f"{7_000 + number - is_second}-{1 + is_second}"

    def put(self, obj: str, key: str, *arguments: Any, **words: Any) -> None:
        """Write a row; a line names its header."""
        super().put(obj, key, *arguments, **words)
        self._writes += 1
        row = self.rows[obj][key].row
        if self._table(obj) == HEADERS and row["transaction"] == self.template(obj)["transaction"]:
            row["transaction"] = key.partition("-")[0]

    def remove(self, obj: str, key: str, way: Way | None = None) -> None:
        """Delete a record, or a line of one that stays."""
        super().remove(obj, key, way)
        self._writes += 1

    def hide(self, obj: str, path: str) -> None:
        """Have queries that name a column refused: that is how a right shows that is lost."""
        table, column = self._place(self._table(obj), path)
        self._drift.remove(table, column)
        self._engine = SuiteQl(self._uri, self._drift)

    def purge(self, obj: str, key: str) -> None:
        """There is nothing else that a deleted row could be shown by."""

    def logged(self, obj: str) -> list[Stored]:
        """Return the records that the delete log names: lines are not logged."""
        return [each for each in super().logged(obj) if each.shows == "list"]

    def signed_in(self, request: web.Request, form: Mapping[str, Any]) -> None:
        """An assertion of the integration, by its certificate. Raises RefusedAskError."""
        rules = AssertionRules(
            key=public_key(self.environment["NETSUITE_PRIVATE_KEY_FILE"]),
            algorithms=("PS256", "PS384", "PS512"),
            issuer=self.environment["NETSUITE_CLIENT_ID"],
            audiences=(f"{request.scheme}://{request.host}{TOKEN_PATH}",),
            lifetime_max_s=LIFETIME_MAX_S,
        )
        try:
            if form.get("grant_type") != "client_credentials":
                raise AssertionRefusedError("unsupported grant type")
            if form.get("client_assertion_type") != _ASSERTION_TYPE:
                raise AssertionRefusedError("unsupported assertion")
            header, claims = rules.verify(str(form.get("client_assertion", "")))
            if header.get("kid") != self.environment["NETSUITE_CERTIFICATE_ID"]:
                raise AssertionRefusedError("unknown certificate")
            if "rest_webservices" not in str(claims.get("scope")):
                raise AssertionRefusedError("no scope")
        except AssertionRefusedError as error:
            raise RefusedAskError(400, str(error), {"error": "invalid_client"}) from error

    def told(self, request: web.Request, asked: Any) -> tuple[object, dict[str, str]]:
        """Answer a query, or tell the time."""
        match request.method, request.path:
            case "POST", "/services/rest/query/v1/suiteql":
                return self._queried(request, asked), {}
            case "GET", "/services/rest/system/v1/serverTime":
                return {"serverTime": self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")}, {}
        raise _refused(standard_error(404))

    def _queried(self, request: web.Request, asked: Any) -> object:
        limit, offset = (int(request.query.get(name, "0")) for name in ("limit", "offset"))
        query = asked.get("q") if isinstance(asked, dict) else None
        is_sound = 1 <= limit <= PAGE_MAX and offset % limit == 0
        if request.headers.get("Prefer") != "transient" or not is_sound or query is None:
            raise _refused(NetSuiteError(400, "INVALID_PARAMETER", "The request is not valid."))
        rows = self._rows(query)
        size = min(limit, self.quirks.page_rows or limit)
        shown = rows[offset : offset + size]
        has_more = offset + len(shown) < len(rows) or (self.quirks.repeats and bool(shown))
        self.pages += bool(shown)
        url = f"{self.quirks.away or f'{request.scheme}://{request.host}'}{request.path}"
        next_page = {"rel": "next", "href": f"{url}?limit={limit}&offset={offset + size}"}
        return {
            "links": [next_page] if has_more or self.quirks.away else [],
            "count": len(shown),
            "hasMore": has_more,
            "items": self.quirks.reshape(shown) if self._is_reshaped(query) else shown,
            "offset": offset,
            "totalResults": len(rows),
        }

    def _is_reshaped(self, query: str) -> bool:
        """Whether a query shows the rows of an object, and not a log, or headers of lines."""
        table = _table_of(query)
        return table != "deletedrecord" and (table != HEADERS or LINES in query)

    def _rows(self, query: str) -> list[dict[str, Any]]:
        """All rows of a query, in its order; the first ever of its table again, where it loops."""
        table = _table_of(query)
        seen = table, self._writes, self.quirks.shown_rows
        if self._loaded[0] != seen:
            self._loaded = seen, self._load(table)
        beside = self._loaded[1]
        try:
            found = self._engine.run(query, limit=ROWS_MAX, offset=0)
        except NetSuiteError as error:
            raise _refused(error) from error
        rows = []
        for item in found.items:
            values = beside.get(str(item.get("id")), {}) if self._is_reshaped(query) else {}
            item |= {name: value for name, value in values.items() if name in found.labels}
            rows.append({name: value for name, value in item.items() if value is not None})
        first = self._first.setdefault(f"{table} {LINES in query}", rows)
        return first if self.quirks.repeats else rows

    def _load(self, table: str) -> Mapping[str, Mapping[str, Any]]:
        """Fill the tables with what a query of one may show; return what they do not hold."""
        content = _Content()
        for number, symbol in enumerate(CURRENCIES, 1):
            content.add("currency", {"id": number, "symbol": symbol})
        for obj in self.rows:
            if table == "deletedrecord":
                for stored in self.logged(obj):
                    content.add(table, self._deletion(obj, stored))
            elif self._table(obj) == table:
                shown = self.visible(obj)[: self.quirks.shown_rows]
                if table == HEADERS:
                    self._add_lines(content, obj, shown)
                else:
                    self._add_records(content, obj, shown)
        self._refer(content, table)
        for name in TABLES:
            self._database.execute(f'DELETE FROM "{name}"')  # noqa: S608
        for name, rows in content.tables.items():
            for row in rows:
                columns = ", ".join(f'"{column}"' for column in row)
                marks = ", ".join("?" * len(row))
                self._database.execute(
                    f'INSERT INTO "{name}" ({columns}) VALUES ({marks})',  # noqa: S608
                    tuple(row.values()),
                )
        return content.beside

    def _refer(self, content: _Content, table: str) -> None:
        """Add the records that others refer to, as the samples name them."""
        for obj in self.rows:
            if self._table(obj) == table:
                for label, other in _REFERRED.items():
                    if label in self.template(obj):
                        named = {"id": OTHER, "externalid": self.template(obj)[label]}
                        content.add(other, named)

    def _add_records(self, content: _Content, obj: str, shown: Iterable[Stored]) -> None:
        table = self._table(obj)
        for stored in shown:
            record, beside = self._split(obj, table, stored.row)
            record |= {"id": int(stored.key)} | ({"timetype": "A"} if table == "timebill" else {})
            content.add(table, record)
            content.beside[stored.key] = beside

    def _add_lines(self, content: _Content, obj: str, shown: Iterable[Stored]) -> None:
        """Lines below their headers, whose time of change is that of the line changed last."""
        stamps = self._stamps(obj)
        firsts: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        for stored in shown:
            header_id, _, line_id = stored.key.partition("-")
            of_header = {name: stored.row[name] for name in stored.row if name in _OF_HEADERS}
            of_line = {name: stored.row[name] for name in stored.row if name not in _OF_HEADERS}
            if header_id not in firsts:
                header, beside = self._split(obj, HEADERS, of_header)
                main = {"createdfrom": header.pop("createdfrom", None), "mainline": "T", "id": 0}
                ids = {"id": int(header_id), "lastmodifieddate": stamps[header_id]}
                content.add(HEADERS, header | ids)
                content.add(LINES, main | {"transaction": int(header_id)})
                firsts[header_id] = of_header, beside
            first, beside_first = firsts[header_id]
            line, beside = self._split(obj, LINES, of_line)
            ids = {"transaction": int(header_id), "id": int(line_id)}
            content.add(LINES, line | ids | {"mainline": "F"})
            beside |= {
                name: value
                for name, value in of_header.items()
                if name != "lastmodifieddate" and (name in beside_first or value != first[name])
            }
            if stored.row["transaction"] != header_id:
                beside["transaction"] = stored.row["transaction"]
            content.beside[stored.key] = beside

    def _stamps(self, obj: str) -> dict[str, str | None]:
        """The time of change of each header: of the line that was written or removed last."""
        found: dict[str, list[datetime]] = {}
        unset = set()
        for stored in self.rows[obj].values():
            header = stored.key.partition("-")[0]
            found.setdefault(header, []).append(stored.deleted_at or stored.stamp)
            if stored.row.get("lastmodifieddate") is None:
                unset.add(header)
        return {
            header: None if header in unset else format_stamp(max(stamps))
            for header, stamps in found.items()
        }

    def _split(
        self, obj: str, table: str, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The columns of a row that a table holds, and what it does not hold of an answer's row.

        Where it does not hold a value, it has that of the sample.
        """
        sample = self.template(obj)
        record: dict[str, Any] = {}
        beside: dict[str, Any] = {}
        for label, value in values.items():
            if label in ("id", "transaction"):
                continue
            is_known: bool = value == sample[label]
            if label == "seconds" or label == _HOURS.get(table):
                record[_HOURS[table]] = Decimal(sample["seconds"]) / 3600
                record[_HOURS[table]] = format(record[_HOURS[table]], "f")
            elif label in _REFERRED:
                record[_REFERRING[table, _REFERRED[label]]] = None if value is None else OTHER
                is_known |= value is None
            elif label == "currency" and (table, label) not in _RENAMED:
                is_known = value is None or _currency(value) is not None
                record[label] = _currency(value if is_known else sample[label])
            else:
                place, column = self._place(table, label)
                is_known = _holds(TABLES[place][column], value)
                record[column] = value if is_known else sample[label]
            if not is_known:
                beside[label] = value
        return record, beside

    def _deletion(self, obj: str, stored: Stored) -> dict[str, Any]:
        table = self._table(obj)
        assert stored.deleted_at is not None
        return {
            "recordid": int(stored.key.partition("-")[0]),
            "scriptid": _SCRIPT_IDS[str(stored.row["type"]) if table == HEADERS else table],
            "deleteddate": format_stamp(stored.deleted_at),
        }

    def _table(self, obj: str) -> str:
        return str(self.documented(obj).lists[0].table)

    def _place(self, table: str, label: str) -> tuple[str, str]:
        """Table and column of what an answer calls by a label."""
        if table == HEADERS and label not in TABLES[HEADERS]:
            table = LINES
        if label in _REFERRED:
            return _REFERRED[label], "externalid"
        if label == "seconds":
            return table, _HOURS[table]
        return table, _RENAMED.get((table, label), label)


def _table_of(query: str) -> str:
    found = _FROM.search(query)
    return found[1].lower() if found else ""


def _currency(value: object) -> int | None:
    """The internal id of a currency by its symbol."""
    return CURRENCIES.index(value) + 1 if value in CURRENCIES else None


def _holds(kind: str, value: object) -> bool:
    """Whether a column shows a value as it was put."""
    if value is None:
        return True
    if not isinstance(value, str):
        return False
    if kind.startswith("INTEGER"):
        return _WHOLE.fullmatch(value) is not None
    if kind.startswith("DATETEXT"):
        try:
            return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S") == value or (
                date.fromisoformat(value).isoformat() == value
            )
        except ValueError:
            return False
    return True


def _refused(error: NetSuiteError) -> RefusedAskError:
    body = load(bytes(error_response(error).body))
    return RefusedAskError(error.status, error.detail, body)
