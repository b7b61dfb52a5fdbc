"""Rows of the CRM: objects, properties that are texts, an archive, what it computes itself.

Facts and their sources: connectors/vendors/hubspot/README.md. Properties of the account's own are
those that a firm needs for its projects: `country_code`, `currency_code`, `tax_number` of a
company, `project_start`, `billing_type` of a deal, `service_line`, `delivery_country` of a line;
and those of a deal that psastream writes to, `psa_engagement_id`, `psa_project_ids`,
`psa_delivery_status`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sandbox.vendors.clock import VendorClock
from sandbox.vendors.site import InvalidRowError, UnknownRowError

Row = dict[str, Any]

STAMP: Final = "hs_lastmodifieddate"
_COMMON: Final = ("hs_object_id", "createdate", STAMP)
OBJECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "companies": (
        *_COMMON, "name", "hs_parent_company_id", "country_code", "currency_code", "tax_number",
    ),
    "deals": (
        *_COMMON, "dealname", "dealstage", "hs_is_closed", "hs_is_closed_won",
        "hs_deal_stage_probability", "amount", "deal_currency_code",
        "hs_primary_associated_company", "project_start", "billing_type",
        "psa_engagement_id", "psa_project_ids", "psa_delivery_status",
    ),
    "line_items": (
        *_COMMON, "name", "quantity", "price", "amount", "service_line", "delivery_country",
    ),
}  # fmt: skip
"""Object → names of its properties."""

PROPERTY_TYPES: Final[Mapping[str, str]] = {
    "dealstage": "enumeration",
    **dict.fromkeys(("hs_is_closed", "hs_is_closed_won"), "bool"),
    **dict.fromkeys(("amount", "price", "quantity", "hs_deal_stage_probability"), "number"),
    **dict.fromkeys(("createdate", STAMP), "datetime"),
}
"""Types of properties that are no texts."""

STAGES: Final = {
    "appointmentscheduled": "0.2",
    "qualifiedtobuy": "0.4",
    "presentationscheduled": "0.6",
    "decisionmakerboughtin": "0.8",
    "contractsent": "0.9",
    "closedwon": "1.0",
    "closedlost": "0.0",
}
"""Stages of the pipeline that every account begins with, and their probability."""
_CLOSED: Final = ("closedwon", "closedlost")


@dataclass(slots=True)
class Record:
    """One row: its properties, and whether it is in the archive."""

    id: str
    properties: dict[str, str | None]
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None
    deal_id: str | None = None
    """Of a line: the deal it is associated with."""


@dataclass(slots=True)
class HubSpotBooks:
    """All rows of the account. What is deleted is archived."""

    clock: VendorClock
    _tables: dict[str, dict[str, Record]] = field(
        default_factory=lambda: {name: {} for name in OBJECTS}
    )
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(9_000_000_001))

    def table(self, record_type: str) -> list[Record]:
        """Return the rows of an object by id, archived ones included. Raises UnknownRowError."""
        table = self._table(record_type)
        return [table[row_id] for row_id in sorted(table, key=int)]

    def record(self, record_type: str, row_id: str) -> Record:
        """Return a row by its id, archived ones not. Raises UnknownRowError."""
        return self._row(record_type, row_id)

    def rows(self) -> dict[str, list[Row]]:
        """Return what stands: properties, `id`, and the `deal_id` of lines."""
        return {
            name: [
                {"id": row.id, "deal_id": row.deal_id, **row.properties}
                for row in self.table(name)
                if row.archived_at is None
            ]
            for name in OBJECTS
        }

    def create(self, record_type: str, values: Mapping[str, Any]) -> Row:
        """Add a row of properties; a line names its `deal_id` beside them."""
        table, now = self._table(record_type), self.clock.now()
        given = dict(values)
        deal_id = given.pop("deal_id", None)
        if (record_type == "line_items") is not (deal_id is not None):
            raise InvalidRowError("a line is associated with a deal, and nothing else is")
        if deal_id is not None:
            self._row("deals", deal_id)
        row_id = str(next(self._ids))
        properties = dict.fromkeys(OBJECTS[record_type]) | _texts(record_type, given)
        row = Record(row_id, properties, now, now, deal_id=deal_id)
        row.properties |= {"hs_object_id": row_id, "createdate": stamp_text(now)}
        table[row_id] = row
        self._changed(record_type, row)
        return {"id": row_id, **row.properties}

    def update(self, record_type: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """Change properties and move the stamp."""
        row = self._row(record_type, row_id)
        row.properties |= _texts(record_type, values)
        self._changed(record_type, row)
        return {"id": row_id, **row.properties}

    def delete(self, record_type: str, row_id: str) -> None:
        """Put a row into the archive; its stamp stays."""
        row = self._row(record_type, row_id)
        row.archived_at = self.clock.now()
        self._total(row.deal_id)

    def _changed(self, record_type: str, row: Record) -> None:
        properties = row.properties
        if record_type == "deals":
            stage = str(properties["dealstage"])
            if stage not in STAGES:
                raise InvalidRowError(f"no stage {stage}")
            properties["hs_deal_stage_probability"] = STAGES[stage]
            properties["hs_is_closed"] = _text(stage in _CLOSED)
            properties["hs_is_closed_won"] = _text(stage == "closedwon")
        if record_type == "line_items":
            amount = Decimal(properties["quantity"] or 0) * Decimal(properties["price"] or 0)
            properties["amount"] = str(amount)
        self._touch(row)
        self._total(row.deal_id)

    def _total(self, deal_id: str | None) -> None:
        """Give a deal the amount of its lines, as the screens do when one is edited."""
        if deal_id is None:
            return
        deal = self._row("deals", deal_id)
        lines = [
            Decimal(row.properties["amount"] or 0)
            for row in self._tables["line_items"].values()
            if row.deal_id == deal_id and row.archived_at is None
        ]
        deal.properties["amount"] = str(sum(lines, Decimal(0)))
        self._touch(deal)

    def _touch(self, row: Record) -> None:
        row.updated_at = self.clock.now()
        row.properties[STAMP] = stamp_text(row.updated_at)

    def _table(self, record_type: str) -> dict[str, Record]:
        if record_type not in self._tables:
            raise UnknownRowError(f"no object {record_type}")
        return self._tables[record_type]

    def _row(self, record_type: str, row_id: str) -> Record:
        row = self._table(record_type).get(str(row_id))
        if row is None or row.archived_at is not None:
            raise UnknownRowError(f"no {record_type} {row_id}")
        return row


def stamp_text(at: datetime) -> str:
    """Return an instant as the vendor writes it, to milliseconds."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _texts(record_type: str, values: Mapping[str, Any]) -> dict[str, str | None]:
    unknown = sorted(values.keys() - set(OBJECTS[record_type]))
    if unknown:
        raise InvalidRowError(f"{record_type} has no {', '.join(unknown)}")
    return {name: None if value is None else _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
