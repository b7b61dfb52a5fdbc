"""An org for the conformance suite: rows as its samples show them, found by SOQL.

It answers by the pages of Salesforce's REST API, whatever the rows hold: those of the twin have
fields of fixed types. What it is asked for and in which words is the reader's business.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web

from psastream.conformance.account import Stored
from psastream.conformance.documented import ListOf
from psastream.conformance.keys import public_key
from psastream.conformance.server import DocumentedApi, RefusedAskError
from sandbox.vendors.oauth import AssertionRefusedError, AssertionRules
from sandbox.vendors.salesforce import soql
from sandbox.vendors.salesforce.org import (
    FieldType,
    Value,
    format_instant,
    parse_instant,
    with_suffix,
)

PAGE_MAX: Final = 2_000
LOG_DAYS: Final = 15
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_KEY: Final = ""
"""Of a row's id among the values that a query sees: no field is called so."""


class QueriedOrg(DocumentedApi):
    """Objects by `table`: queries with their locators, and the log of deleted records."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._cursors: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        self._numbers_of_cursors = itertools.count(1)
        self._hidden: set[str] = set()

    def key_of(self, obj: str, number: int) -> str:
        """Return the id of the row of a number; its last three characters follow from the rest."""
        found = str(self.template(obj)["Id"])[:15]
        digits = str(7_000 + number)
        return with_suffix(found[: -len(digits)] + digits)

    def hide(self, obj: str, path: str) -> None:
        """Have queries that name a field refused: that is how a right shows that is lost."""
        self._hidden.add(path)

    def signed_in(self, request: web.Request, form: Mapping[str, Any]) -> None:
        """An assertion of the app, for its user. Raises RefusedAskError."""
        rules = AssertionRules(
            key=public_key(self._variable("PRIVATE_KEY_FILE")),
            algorithms=("RS256",),
            issuer=self._variable("CLIENT_ID"),
            audiences=("https://login.salesforce.com", "https://test.salesforce.com"),
            lifetime_max_s=300,
        )
        try:
            if form.get("grant_type") != _GRANT:
                raise AssertionRefusedError("grant type not supported")
            _, claims = rules.verify(str(form.get("assertion", "")))
            if claims.get("sub") != self._variable("USERNAME"):
                raise AssertionRefusedError("user hasn't approved this consumer")
        except AssertionRefusedError as error:
            told = {"error": "invalid_grant", "error_description": str(error)}
            raise RefusedAskError(400, str(error), told) from error

    def _variable(self, name: str) -> str:
        """What the connector file of the folder takes for a credential, whichever org it means."""
        [found] = [each for key, each in self.environment.items() if key.endswith(f"_{name}")]
        return found

    def told(self, request: web.Request, asked: Any) -> tuple[object, dict[str, str]]:
        """Answer a query, the rest of one, or a look into the log."""
        match unquote(request.path).strip("/").split("/"):
            case ["services", "data", version, "query" | "queryAll" as kind]:
                text = request.query.get("q", "")
                return self._queried(version, text, with_deleted=kind == "queryAll"), {}
            case ["services", "data", version, "query", locator] if locator in self._cursors:
                obj, rows = self._cursors[locator]
                return self._told_page(version, obj, rows), {}
            case ["services", "data", _, "sobjects", table, "deleted"]:
                return self._deleted(table, request.query), {}
        raise _refused(404, "NOT_FOUND", "The requested resource does not exist")

    def _lists(self) -> dict[str, tuple[str, ListOf]]:
        return {
            str(listed.table): (obj, listed)
            for obj in self.rows
            for listed in self.documented(obj).lists
            if listed.shows == "living"
        }

    def _queried(self, version: str, text: str, *, with_deleted: bool) -> object:
        lists = self._lists()
        schemas = {table: self._fields(obj) for table, (obj, _) in lists.items()}
        try:
            query = soql.parse(text, schemas)
        except soql.SoqlError as error:
            raise _refused(400, error.code, error.message) from error
        obj, _ = lists[query.record_type]
        shown = self.visible(obj)[: self.quirks.shown_rows]
        shown = [each for each in shown if with_deleted or each.deleted_at is None]
        seen = [_seen(stored, schemas[query.record_type]) for stored in shown]
        found = seen[: query.limit] if self.quirks.repeats else query.run(seen)
        url = f"/services/data/{version}/sobjects/{query.record_type}"
        rows = [
            {
                "attributes": {"type": query.record_type, "url": f"{url}/{row[_KEY]}"},
                **{name: self.rows[obj][str(row[_KEY])].row[name] for name in query.fields},
            }
            for row in found
        ]
        return self._told_page(version, obj, rows)

    def _fields(self, obj: str) -> dict[str, FieldType]:
        """The fields of an object, with the types that queries compare them by."""
        sample = self.template(obj)
        return {name: _type(name, sample[name]) for name in sample if name not in self._hidden}

    def _told_page(self, version: str, obj: str, rows: list[dict[str, Any]]) -> object:
        size = self.quirks.page_rows or PAGE_MAX
        rest = rows if self.quirks.repeats else rows[size:]
        self.pages += bool(rows)
        page: dict[str, Any] = {
            "totalSize": len(rows),
            "done": not rest,
            "records": self.quirks.reshape(rows[:size]),
        }
        if rest:
            locator = f"0r8{next(self._numbers_of_cursors):012d}-{size}"
            self._cursors[locator] = obj, rest
            page["nextRecordsUrl"] = f"/services/data/{version}/query/{locator}"
        if self.quirks.away is not None:
            page |= {"done": False, "nextRecordsUrl": f"{self.quirks.away}/services/data/next"}
        return page

    def _deleted(self, table: str, words: Mapping[str, str]) -> object:
        if table not in self._lists():
            raise _refused(404, "NOT_FOUND", "The requested resource does not exist")
        obj, _ = self._lists()[table]
        start, end = (self._minute(words.get(name, "")) for name in ("start", "end"))
        kept_since = self.clock() - timedelta(days=LOG_DAYS)
        if end - start <= timedelta(minutes=1):
            told = "startDate must be at least one minute greater than endDate"
            raise _refused(400, "INVALID_REPLICATION_DATE", told)
        found = [
            {"id": stored.key, "deletedDate": format_instant(stored.deleted_at)}
            for stored in self.logged(obj)
            if stored.deleted_at is not None
            and max(start, kept_since) <= stored.deleted_at.replace(microsecond=0) < end
        ]
        return {
            "deletedRecords": found,
            "earliestDateAvailable": format_instant(kept_since),
            "latestDateCovered": format_instant(end),
        }

    def _minute(self, text: str) -> datetime:
        """An end of a period: its seconds do not count."""
        try:
            return parse_instant(text).astimezone(UTC).replace(second=0, microsecond=0)
        except ValueError as error:
            told = f"{text!r} is no instant with a zone"
            raise _refused(400, "INVALID_REPLICATION_DATE", told) from error


def _type(name: str, value: object) -> FieldType:
    if name.endswith("Id"):
        return FieldType.ID
    match value:
        case bool():
            return FieldType.BOOLEAN
        case int() | Decimal():
            return FieldType.NUMBER
        case str() if value.endswith("+0000"):
            return FieldType.DATETIME
    return FieldType.STRING


def _seen(stored: Stored, fields: Mapping[str, FieldType]) -> dict[str, Value]:
    """A row as conditions see it: null where a value is not of its field's type."""
    values = {name: _value(fields[name], stored.row.get(name)) for name in fields}
    return values | {_KEY: stored.key}


def _value(kind: FieldType, value: Any) -> Value:
    match kind:
        case FieldType.DATETIME:
            return parse_instant(value) if isinstance(value, str) and value else None
        case FieldType.NUMBER:
            return value if isinstance(value, int | Decimal) else None
        case FieldType.BOOLEAN:
            return value if isinstance(value, bool) else None
    return value if isinstance(value, str) else None


def _refused(status: int, code: str, message: str) -> RefusedAskError:
    return RefusedAskError(status, message, [{"message": message, "errorCode": code}])
