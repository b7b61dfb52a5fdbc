"""What vendors really return, field by field, with the public source of each fact.

A shape is held against the simulated vendor, against the reader and against the mapping: none of
the three may know more or less than the others, or than what was seen outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

TEXT, INTEGER, NUMBER, BOOLEAN, LIST, OBJECT = (
    "text",
    "integer",
    "number",
    "boolean",
    "list",
    "object",
)

AIRBYTE: Final = "airbytehq/airbyte, source-float/manifest.yaml: schemas taken from live answers"
TYPES: Final = "asachs01/float-mcp, src/types/float.ts"
FLOAT_API: Final = "tobiasbp/float_api, tests/test_float_api.py: runs on a live account"
REFERENCE: Final = "Float API reference, developer.float.com"
POSTHOG: Final = "PostHog/posthog, warehouse source float_app"
AMP: Final = "amp-labs/connectors, providers/salesforce/test: recorded answers"
SOAP: Final = "Salesforce Object Reference"
FILLED: Final = "sirhcrd/sirhcrd.github.io, schema-intel: columns and how often they are filled"


@dataclass(frozen=True, slots=True)
class Shape:
    """One field: JSON types, whether null occurs, values as they are spelt, the source."""

    field: str
    kinds: tuple[str, ...]
    nullable: bool
    spellings: tuple[Any, ...]
    source: str

    @property
    def values(self) -> tuple[Any, ...]:
        """All values a reader has to take."""
        return (*self.spellings, None) if self.nullable else self.spellings


def kind_of(value: object) -> str:
    """JSON type of a parsed value."""
    match value:
        case bool():
            return BOOLEAN
        case int():
            return INTEGER
        case str():
            return TEXT
        case list():
            return LIST
        case dict():
            return OBJECT
        case _:
            return NUMBER


_STAMP: Final = ("2026-03-02 17:00:00",)
_DAY: Final = ("2026-03-02",)
_RATE: Final = ("95.00", "120.0000", "0")
_WEEK: Final = ([0, 8, 8, 8, 8, 8, 0], [0, 8, 8, 7.5, 0, 0, 0])

FLOAT: Final[dict[str, tuple[Shape, ...]]] = {
    "person": (
        Shape("people_id", (INTEGER,), False, (4711,), AIRBYTE),
        Shape("name", (TEXT,), False, ("J. Okafor",), AIRBYTE),
        Shape("email", (TEXT,), True, ("j.okafor@example.com",), AIRBYTE),
        Shape("job_title", (TEXT,), True, ("Engineer",), AIRBYTE),
        Shape("department", (OBJECT,), True, ({"department_id": 9, "name": "Delivery"},), AIRBYTE),
        Shape("role_id", (INTEGER,), True, (7,), AIRBYTE),
        Shape("people_type_id", (INTEGER,), False, (1, 2, 3), REFERENCE),
        Shape("active", (INTEGER,), False, (0, 1), AIRBYTE),
        Shape("work_days_hours", (LIST,), True, _WEEK, REFERENCE),
        Shape(
            "work_days_hours_history",
            (OBJECT,),
            True,
            ({}, {"1970-01-01": [0, 8, 8, 8, 8, 8, 0], "2026-09-01": [0, 8, 8, 4, 0, 0, 0]}),
            AIRBYTE,
        ),
        Shape(
            "contracts",
            (LIST,),
            True,
            ([], [{"effective_date": "2026-01-01", "role_id": 7, "cost_rate": "60.00"}]),
            TYPES,
        ),
        Shape("cost_rate", (TEXT,), True, _RATE, AIRBYTE),
        Shape("default_hourly_rate", (TEXT,), True, _RATE, AIRBYTE),
        Shape("region_id", (INTEGER,), True, (2,), POSTHOG),
        Shape("start_date", (TEXT,), True, _DAY, AIRBYTE),
        Shape("end_date", (TEXT,), True, _DAY, AIRBYTE),
        Shape("created", (TEXT,), True, _STAMP, AIRBYTE),
        Shape("modified", (TEXT,), True, _STAMP, AIRBYTE),
    ),
    "allocation": (
        Shape("task_id", (INTEGER,), False, (880,), AIRBYTE),
        Shape("people_id", (INTEGER,), False, (4711,), AIRBYTE),
        Shape("people_ids", (LIST,), True, ([4711],), AIRBYTE),
        Shape("project_id", (INTEGER,), False, (31,), AIRBYTE),
        Shape("start_date", (TEXT,), False, _DAY, AIRBYTE),
        Shape("end_date", (TEXT,), False, ("2026-03-06",), AIRBYTE),
        Shape("hours", (INTEGER, NUMBER, TEXT), False, (4, 7.5, "2.0", "0.5"), REFERENCE),
        Shape("status", (INTEGER,), False, (1, 2, 3), POSTHOG),
        Shape("billable", (INTEGER,), True, (0, 1), AIRBYTE),
        Shape("repeat_state", (INTEGER,), False, (0,), AIRBYTE),
        Shape("repeat_end_date", (TEXT,), True, _DAY, AIRBYTE),
        Shape("name", (TEXT,), True, ("", "Build"), AIRBYTE),
        Shape("notes", (TEXT,), True, ("", "see plan"), AIRBYTE),
        Shape("created", (TEXT,), True, _STAMP, AIRBYTE),
        Shape("modified", (TEXT,), True, _STAMP, AIRBYTE),
    ),
    "timeoff": (
        Shape("timeoff_id", (INTEGER,), False, (52,), FLOAT_API),
        Shape("timeoff_type_id", (INTEGER,), True, (3,), FLOAT_API),
        Shape("people_ids", (LIST,), False, ([4711], [4711, 4712]), FLOAT_API),
        Shape("start_date", (TEXT,), False, _DAY, FLOAT_API),
        Shape("end_date", (TEXT,), False, ("2026-03-10",), FLOAT_API),
        Shape("full_day", (INTEGER,), True, (0, 1), FLOAT_API),
        Shape("hours", (INTEGER, NUMBER, TEXT), True, (4, 3.5, "4.0"), FLOAT_API),
        Shape("timeoff_notes", (TEXT,), True, ("", "doctor"), FLOAT_API),
        Shape("status", (INTEGER,), True, (1, 2, 3), TYPES),
        Shape("repeat_state", (INTEGER,), True, (0,), FLOAT_API),
        Shape("repeat_end", (TEXT,), True, _DAY, FLOAT_API),
        Shape("created", (TEXT,), True, _STAMP, AIRBYTE),
        Shape("modified", (TEXT,), True, _STAMP, AIRBYTE),
    ),
    "public_holiday": (
        Shape("id", (INTEGER,), False, (14,), POSTHOG),
        Shape("name", (TEXT,), False, ("Spring Day",), POSTHOG),
        Shape("dates", (LIST,), False, (["2026-05-01"], ["2026-12-25", "2026-12-26"]), POSTHOG),
        Shape("region", (INTEGER,), False, (2,), POSTHOG),
    ),
    "team_holiday": (
        Shape("holiday_id", (INTEGER,), False, (3,), FLOAT_API),
        Shape("name", (TEXT,), False, ("Summer party",), FLOAT_API),
        Shape("date", (TEXT,), False, _DAY, FLOAT_API),
        Shape("end_date", (TEXT,), True, ("2026-03-03",), AIRBYTE),
    ),
}

_ID: Final = ("006Tw00000Qr7sTIAR",)
_INSTANT: Final = ("2026-03-04T05:06:07.000+0000",)

SALESFORCE: Final[dict[str, tuple[Shape, ...]]] = {
    "account": (
        Shape("Id", (TEXT,), False, ("001Tw00000aB3cEIAS",), AMP),
        Shape("Name", (TEXT,), False, ("Birch Ltd",), AMP),
        Shape("ParentId", (TEXT,), True, ("001Tw00000aB3cDIAS",), AMP),
        Shape("MasterRecordId", (TEXT,), True, ("001Tw00000aB3cDIAS",), SOAP),
        Shape("BillingCountryCode", (TEXT,), True, ("DE", "US"), SOAP),
        Shape("CurrencyIsoCode", (TEXT,), False, ("EUR",), SOAP),
        Shape("IsDeleted", (BOOLEAN,), False, (False,), AMP),
        Shape("SystemModstamp", (TEXT,), False, _INSTANT, AMP),
    ),
    "opportunity": (
        Shape("Id", (TEXT,), False, _ID, AMP),
        Shape("AccountId", (TEXT,), False, ("001Tw00000aB3cDIAS",), AMP),
        Shape("Name", (TEXT,), False, ("Rollout",), AMP),
        Shape("StageName", (TEXT,), False, ("Verbal OK", "Closed Won"), SOAP),
        Shape("ForecastCategory", (TEXT,), False, ("Pipeline", "BestCase", "Forecast"), SOAP),
        Shape("IsClosed", (BOOLEAN,), False, (False, True), AMP),
        Shape("IsWon", (BOOLEAN,), False, (False, True), AMP),
        Shape("Probability", (NUMBER, INTEGER), True, (80.0, 10, 0), FILLED),
        Shape("Amount", (NUMBER, INTEGER), True, (1750.0, 0, 1750), FILLED),
        Shape("CloseDate", (TEXT,), False, ("2026-06-30",), AMP),
        Shape("CurrencyIsoCode", (TEXT,), False, ("EUR",), SOAP),
        Shape("IsDeleted", (BOOLEAN,), False, (False,), AMP),
        Shape("SystemModstamp", (TEXT,), False, _INSTANT, AMP),
    ),
    "opportunity_line_item": (
        Shape("Id", (TEXT,), False, ("00kTw00000Lm2nPIAR",), AMP),
        Shape("OpportunityId", (TEXT,), False, _ID, AMP),
        Shape("Quantity", (NUMBER, INTEGER), True, (12.5, 12), FILLED),
        Shape("TotalPrice", (NUMBER, INTEGER), True, (1750.0, 1750), FILLED),
        Shape("IsDeleted", (BOOLEAN,), False, (False,), AMP),
        Shape("SystemModstamp", (TEXT,), False, _INSTANT, AMP),
    ),
}
