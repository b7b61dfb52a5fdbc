"""Float as a polled source: page numbers, a filter by date, deletes only by absence.

`modified_since` is a date, so every poll reads its first day again and the ledger drops what is
known. Pages are offsets into a moving list: a scan counts only if the total held still and every
row of it was seen.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BeforeValidator, Field, SecretStr

from connectors.polled.answers import Answer, read_answer, read_list
from connectors.polled.config import ApiConfig, PolledConfig
from connectors.polled.conversion import Layout, RowReader
from connectors.polled.model import (
    DeletePage,
    ObjectReader,
    Page,
    ReaderTraits,
    no_deletions,
)
from connectors.polled.paging import PAGES_MAX, BrokenPagingError, Paging
from connectors.polled.source import Readable, readable_objects
from connectors.toolkit.body import ROWS
from connectors.toolkit.http import Limiter, Response, RetrySettings, VendorClient
from connectors.vendors.float.auth import POLICY, StaticToken
from schemas.codec.record import AvroSchema
from schemas.errors import TargetBusyError
from schemas.system import SystemBundle

ROWS_MAX: Final = 200
_ID: Final = re.compile(r"[0-9]{1,18}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")
SAME_SCANS: Final = 3
"""So many scans of one content that differ from their total by as much are no list that moves."""
ALL_DAYS: Final = {"start_date": "2015-01-01", "end_date": "2049-12-31"}
"""Fixed, so that no past holiday ever leaves the window and looks deleted."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One list of the API. `has_filter`: it takes `modified_since`.

    `unused`: documented fields that no contract takes; `optional`: fields that answers of some
    accounts lack. `params` go with every request.
    """

    path: str
    id_field: str
    has_filter: bool = True
    unused: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    params: Mapping[str, str] = field(default_factory=dict)


RESOURCES: Final[Mapping[str, Resource]] = {
    "person": Resource(
        "/v3/people",
        "people_id",
        unused=frozenset({"department"}),
        optional=frozenset({"work_days_hours_history", "contracts", "region_id"}),
    ),
    "role": Resource("/v3/roles", "id", has_filter=False),
    "project": Resource(
        "/v3/projects",
        "project_id",
        unused=frozenset(
            {
                "budget_total",
                "budget_type",
                "client_id",
                "project_manager",
                "project_team",
                "status",
            }
        ),
    ),
    "allocation": Resource(
        "/v3/tasks", "task_id", unused=frozenset({"name", "notes", "people_ids"})
    ),
    "timeoff": Resource(
        "/v3/timeoffs",
        "timeoff_id",
        has_filter=False,
        unused=frozenset({"timeoff_type_id", "timeoff_notes", "repeat_end"}),
        optional=frozenset({"status"}),
    ),
    # Without dates, the holidays of this year only.
    "public_holiday": Resource("/v3/public-holidays", "id", has_filter=False, params=ALL_DAYS),
    "team_holiday": Resource("/v3/holidays", "holiday_id", has_filter=False),
}


def float_layout(resource: Resource) -> Layout:
    """Which fields of a row are its id and its time of change, and which may be missing."""
    return Layout(
        resource.id_field,
        id_form=_ID,
        modified_fields=("modified", "created") if resource.has_filter else (),
        ignored=resource.unused,
        optional=resource.optional,
    )


class FloatConfig(ApiConfig):
    """Address and credentials of a company."""

    page_size: int = Field(default=ROWS_MAX, alias="page.size", ge=1, le=ROWS_MAX)
    token: SecretStr = Field(alias="auth.token")
    user_agent: str = Field(alias="user.agent", description="application name (contact e-mail)")


def _read_count(text: object) -> int:
    if not isinstance(text, str) or not _COUNT.fullmatch(text):
        raise ValueError("a count is a whole number of up to nine digits")
    return int(text)


Count = Annotated[int, BeforeValidator(_read_count)]


class Pagination(Answer):
    """The headers of a list."""

    total: Count = Field(alias="X-Pagination-Total-Count")
    pages: Count = Field(alias="X-Pagination-Page-Count")


class FloatSource:
    """The readers of one company, on one client."""

    config_model: ClassVar[type[PolledConfig]] = FloatConfig

    def __init__(self, config: FloatConfig, retry: RetrySettings | None = None) -> None:
        self._client = VendorClient(
            config.url,
            StaticToken(config.token.get_secret_value()),
            POLICY,
            user_agent=config.user_agent,
            timeout_s=config.request_timeout_ms / 1000,
            limiter=Limiter(config.max_in_flight, config.requests_per_second),
            retry=retry,
            bounds=ROWS,
        )
        self.config = config

    @classmethod
    def objects_of(cls, system: SystemBundle) -> Collection[str]:
        """What the API has. Raises ConfigError."""
        known = {obj: Readable(resource.id_field) for obj, resource in RESOURCES.items()}
        return readable_objects(system, known)

    @classmethod
    def from_config(cls, config: PolledConfig, system: SystemBundle) -> Self:
        """Make the source from its validated configuration."""
        assert isinstance(config, FloatConfig)
        return cls(config)

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        """Return the reader of an object, whose rows have the fields of the contract."""
        resource = RESOURCES[obj]
        rows = RowReader(contract, float_layout(resource))
        return FloatReader(self._client, resource, rows, self.config.page_size)

    async def sign_in(self) -> datetime | None:
        """See SignsIn."""
        response = await self._client.request(
            "GET", RESOURCES["project"].path, params={"per-page": "1"}, retry=False
        )
        return response.server_at

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


class FloatReader:
    """One list."""

    def __init__(
        self, client: VendorClient, resource: Resource, rows: RowReader, page_size: int
    ) -> None:
        self._client = client
        self._resource = resource
        self._rows = rows
        self._page_size = page_size
        self.traits: Final = ReaderTraits(has_cursor=resource.has_filter)
        self._unequal: dict[bool, tuple[object, int]] = {}  # whether of all rows → found, times

    def key(self, row_id: str) -> Mapping[str, object]:
        """Return the record's id alone."""
        return self._rows.key(row_id)

    async def changes(self, since: datetime | None) -> AsyncIterator[Page]:
        """Yield all rows, or those changed since the day of `since`.

        Raises TargetBusyError when the list moved under the scan, BrokenPagingError when it never
        fits its total; both after yielding its pages.
        """
        params = {**self._resource.params, "per-page": str(self._page_size)}
        if since is not None:
            params["modified_since"] = since.date().isoformat()
        ids: set[str] = set()
        nameless = 0
        totals: set[int] = set()
        paging = Paging(self._resource.path)
        number = pages = 1
        while number <= pages:
            response = await self._client.request(
                "GET", self._resource.path, params={**params, "page": str(number)}
            )
            rows, total, pages = _read(response)
            page = self._rows.page(rows, response.server_at)
            totals.add(total)
            ids.update(row.id for row in page.rows)
            ids.update(row.id for row in page.unreadable if not row.is_nameless)
            nameless += sum(row.is_nameless for row in page.unreadable)
            yield page
            number += 1
            if number <= pages:  # each page must bring new rows, or the list has no end
                paging.go_on(len(ids) + nameless)
        if totals == {len(ids) + nameless}:
            self._unequal.pop(since is None, None)
            return
        self._note_unequal(since is None, (totals, hash(frozenset(ids)), nameless))
        raise TargetBusyError(f"{self._resource.path} changed while it was read")

    def _note_unequal(self, is_whole: bool, found: object) -> None:
        """Raise BrokenPagingError where scans find the same again: then the list does not move."""
        before, times = self._unequal.get(is_whole, (found, 0))
        times = times + 1 if before == found else 1
        self._unequal[is_whole] = found, times
        if times >= SAME_SCANS:
            raise BrokenPagingError(
                f"{self._resource.path} tells another number of rows than it shows",
                hint="a row may be listed twice; rows are read on, deletes are not told until then",
            )

    def deletions(self, since: datetime) -> AsyncIterator[DeletePage]:
        """Yield nothing: Float does not tell deletes."""
        return no_deletions()


def _read(response: Response) -> tuple[list[Any], int, int]:
    """Return the rows of a page, of any shape, the total of rows and the number of pages."""
    rows = read_list(response.body, of="a list")
    told = {name: response.headers.get(name) for name in _PAGINATION}
    pagination = read_answer(Pagination, told, of="the paging of a list")
    if pagination.pages > PAGES_MAX or pagination.pages > max(pagination.total, 1):
        raise BrokenPagingError(
            f"a list tells {pagination.pages} pages for {pagination.total} rows",
            hint="the object is read again later; report it to the vendor",
        )
    return rows, pagination.total, pagination.pages


_PAGINATION: Final = ("X-Pagination-Total-Count", "X-Pagination-Page-Count")
