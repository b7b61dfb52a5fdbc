"""Prometheus metrics of the polled sources. Labels are bounded: systems, objects, reasons."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

_OBJECT: Final = ("system", "object")

RECORDS: Final = Counter(
    "psastream_source_records_total", "Change events published.", (*_OBJECT, "op")
)
DUPLICATES: Final = Counter(
    "psastream_source_duplicates_total", "Rows read again without a change.", _OBJECT
)
UNREADABLE: Final = Counter(
    "psastream_source_unreadable_total", "Rows sent to the dead-letter topic.", _OBJECT
)
OVERSIZE: Final = Counter(
    "psastream_source_oversize_total",
    "Rows sent there since they are larger than a message may be.",
    _OBJECT,
)
NEW_FIELDS: Final = Counter(
    "psastream_source_new_fields_total", "Fields ignored because no contract knows them.", _OBJECT
)
SWEEP_REPAIRED: Final = Counter(
    "psastream_source_sweep_repaired_total", "Changes that only a sweep found.", _OBJECT
)
REFUSED_DELETES: Final = Gauge(
    "psastream_source_refused_deletes", "Vanished rows not believed to be deleted.", _OBJECT
)
LAST_SUCCESS: Final = Gauge(
    "psastream_source_last_success_timestamp_seconds", "End of the last complete poll.", _OBJECT
)
POLL_INTERVAL: Final = Gauge(
    "psastream_source_poll_interval_seconds", "From one poll to the next, as configured.", _OBJECT
)
LAG: Final = Gauge(
    "psastream_source_lag_seconds", "From the newest change to its publication.", _OBJECT
)
ERRORS: Final = Counter("psastream_source_errors_total", "Polls that failed.", (*_OBJECT, "reason"))
STOPPED: Final = Gauge(
    "psastream_source_stopped",
    "1 while an object, or its delete log, cannot be read until a person helps.",
    (*_OBJECT, "reason"),
)
PAUSED: Final = Gauge(
    "psastream_source_paused", "1 while a person has ordered that it is not polled.", _OBJECT
)
DRIFT: Final = Gauge(
    "psastream_source_drift",
    "Differences between what the API describes and what was accepted, at the last look.",
    (*_OBJECT, "kind"),
)
QUOTA_REMAINING: Final = Gauge(
    "psastream_source_quota_remaining_ratio", "Share of the request allowance left.", ("system",)
)
QUOTA_SECONDS: Final = Gauge(
    "psastream_source_quota_remaining_seconds",
    "Until only the reserve of the request allowance is left, at the pace of the last hour; +Inf"
    " while it does not fall.",
    ("system",),
)
