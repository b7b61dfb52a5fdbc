"""A list behind an API that is declared, not coded: paged in every way, broken as a test says.

Ten visits, each at a place, in pages of three. The rows are sorted by id, newest last.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from connectors.polled.model import ObjectReader
from connectors.polled.poller import ObjectPoller
from connectors.rest.source import RestConnectorConfig, RestSource
from connectors.systems import Systems
from connectors.toolkit.http import RetrySettings
from schemas.system import SystemBundle
from tests.support.polled import MemoryLog
from tests.support.vendor_server import serving

PAGE: Final = 3
ONCE: Final = RetrySettings(attempts=1)
NOON: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)

PAGINATORS: Final[Mapping[str, str]] = {
    "page_number": "{type: page_number}",
    "page_number_from_0": "{type: page_number, base_page: 0, page_param: p}",
    "page_number_and_more": "{type: page_number, has_more_path: meta.more}",
    "page_number_of_pages": "{type: page_number, total_pages_path: meta.pages}",
    "page_number_of_rows": "{type: page_number, total_path: meta.total}",
    "offset": "{type: offset}",
    "offset_of_rows": "{type: offset, total_path: meta.total, limit_param: count}",
    "cursor": "{type: cursor, cursor_path: meta.after, cursor_param: after}",
    "cursor_then_absent":
        "{type: cursor, cursor_path: paging.next.after, cursor_param: after, absent_is_end: true}",
    "json_link": "{type: json_link, next_url_path: links.next}",
    "json_link_relative": "{type: json_link, next_url_path: links.relative}",
    "header_link": "{type: header_link}",
    "json_link_of_pages": "{type: json_link, next_url_path: links.page}",
    "json_link_of_rows": "{type: json_link, next_url_path: links.page, total_path: meta.total}",
    "json_link_declared": "{type: json_link, next_url_path: links.next, slides: false}",
    "header_link_of_pages": "{type: header_link, links_next_key: page}",
    "cursor_of_pages": "{type: cursor, cursor_path: meta.page, cursor_param: page}",
    "cursor_of_rows": "{type: cursor, cursor_path: meta.offset, cursor_param: offset}",
    "cursor_in_disguise":
        "{type: cursor, cursor_path: meta.hidden, cursor_param: hidden, slides: true}",
    "keyset": "{type: keyset, value_path: id, param: since_id}",
}  # fmt: skip

MAPPING: Final = """\
system: visits
vendor: rest
capture: polled
objects:
  visit: {kind: visit, key: id}
"""
CONTRACT: Final = {
    "type": "record",
    "name": "Visit",
    "namespace": "psa.source.visits",
    "fields": [
        {"name": name, "type": ["null", kind], "default": None}
        for name, kind in (
            ("id", "long"),
            ("text", "string"),
            ("changed_at", "string"),
            ("place_id", "long"),
        )
    ],
}
REST: Final = """\
auth: {{type: bearer}}
errors: {{code: error.code}}
outcomes:
  - {{status: 410, means: expired, evidence: a test}}
paginator: {paginator}
objects:
  visit:
    path: /v1/visits
    params: {{since: "{{since}}"}}
    data_selector: data
    columns: {{place_id: place.id}}
    incremental: {{cursor_columns: [changed_at]}}
"""

Answer = Callable[[web.Request, dict[str, Any]], web.StreamResponse | dict[str, Any]]


@dataclass
class Visits:
    """The API. `spoil` sees each request with its sound answer and may give another."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    spoil: Answer = lambda request, body: body
    asked: list[web.Request] = field(default_factory=list)
    now: datetime = NOON
    page: int = PAGE

    def __post_init__(self) -> None:
        for number in range(1, 11):
            self.put(number, f"text {number}")

    def put(self, number: int, text: str) -> None:
        """Write a row, now."""
        row = {
            "id": number,
            "text": text,
            "changed_at": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "place": {"id": 100 + number, "name": "unused"},
        }
        self.rows = sorted([*(r for r in self.rows if r["id"] != number), row], key=_id)

    def remove(self, number: int) -> None:
        """Delete a row; nothing tells of it."""
        self.rows = [row for row in self.rows if row["id"] != number]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One page, with every word about the next one that any API has."""
        self.asked.append(request)
        query = request.query
        since = query.get("since", "")
        rows = [row for row in self.rows if row["changed_at"] >= since]
        start = self._start(query, rows)
        number = start // self.page + 1
        shown = rows[start : start + self.page]
        after = start + len(shown)
        has_more = after < len(rows)
        link = str(request.rel_url.update_query(cursor=_token(shown))) if has_more else None
        body: dict[str, Any] = {
            "data": shown,
            "meta": {
                "more": has_more,
                "pages": -(-len(rows) // self.page),
                "total": len(rows),
                "after": _token(shown) if has_more else None,
                "page": number + 1 if has_more else None,
                "offset": after if has_more else None,
                "hidden": f"h{after}" if has_more else None,
            },
        }
        body["links"] = {
            "next": f"{request.scheme}://{request.host}{link}" if link else None,
            "relative": link,
            "page": str(request.rel_url.update_query(page=number + 1)) if has_more else None,
        }
        if has_more:
            body["paging"] = {"next": {"after": _token(shown)}}
        answer = self.spoil(request, body)
        if isinstance(answer, web.StreamResponse):
            return answer
        headers = {"Date": self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if target := answer["links"].get("next"):
            page = answer["links"].get("page")
            headers["Link"] = (
                f'</v1/visits>; rel="first", <{target}>; rel="next", <{page}>; rel="page"'
            )
        return web.Response(
            text=json.dumps(answer), content_type="application/json", headers=headers
        )

    def _start(self, query: Mapping[str, str], rows: list[dict[str, Any]]) -> int:
        if "page" in query:
            return (int(query["page"]) - 1) * self.page
        if "p" in query:
            return int(query["p"]) * self.page
        if "offset" in query:
            return int(query["offset"])
        if "hidden" in query:
            return int(query["hidden"].removeprefix("h"))
        after = query.get("after") or query.get("cursor") or query.get("since_id") or "0"
        return sum(row["id"] <= int(after) for row in rows)

    def truth(self) -> dict[str, str]:
        """Text by id."""
        return {str(row["id"]): row["text"] for row in self.rows}


def _id(row: Mapping[str, Any]) -> int:
    return int(row["id"])


def _token(rows: list[dict[str, Any]]) -> str:
    return str(rows[-1]["id"]) if rows else "0"


def write_folder(parent: Path, rest: str, mapping: str = MAPPING, name: str = "visits") -> Path:
    """A folder as a firm has it."""
    folder = parent / name
    (folder / "avro").mkdir(parents=True, exist_ok=True)
    (folder / "mapping.yaml").write_text(mapping)
    (folder / "avro" / "visit.avsc").write_text(json.dumps(CONTRACT))
    (folder / "rest.yaml").write_text(rest)
    return folder


def read_folder(folder: Path) -> SystemBundle:
    """The system that a folder declares."""
    return Systems([folder]).read(folder.name)


def make_source(
    system: SystemBundle, url: str, retry: RetrySettings = ONCE, **keys: object
) -> RestSource:
    """The source that a connector file would make."""
    document: dict[str, object] = {
        "name": "test",
        "connector.class": "none",
        "topic.prefix": f"src.{system.name}",
        "object.include.list": ",".join(system.topics),
        "url": url,
        "auth.token": "t0ken",
        "page.size": PAGE,
        "overlap.ms": 0,
        "sweep.interval.ms": 10,
        **keys,
    }
    config = RestConnectorConfig.model_validate(
        {key: value for key, value in document.items() if value is not None}
    )
    return RestSource(config, system, retry)


def poller_of(
    source: RestSource, reader: ObjectReader, log: MemoryLog, api: Visits
) -> ObjectPoller:
    """A poller as a new process would start it on what the log holds."""
    bookmark, ledger = log.stored()

    def clock() -> datetime:
        api.now += timedelta(seconds=1)
        return api.now

    return ObjectPoller(
        source.config, "visit", reader, log, bookmark=bookmark, ledger=ledger, clock=clock
    )


@asynccontextmanager
async def served(api: Visits) -> AsyncIterator[str]:
    """The API on a socket of its own."""
    async with serving(api.answer) as url:
        yield url
