"""The engine's measurements as Prometheus metrics.

Only the worker's own numbers; serving them is the caller's: pass the registry it serves.
"""

import time
from collections import Counter as Tally
from collections.abc import Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.topics import NORMALIZE
from streams.engine.contract import Accounting

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class PrometheusInstruments:
    """Implements `streams.engine.Instruments`. One instance per registry and process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        group_topic = ("group", "topic")
        self._records = Counter(
            "psastream_records",
            "Source records by what became of them: applied, stale, parked, dead_lettered.",
            (*group_topic, "outcome"),
            registry=registry,
        )
        self._oversize = self._too_large(registry)
        self._consumed = Counter(
            "psastream_consumed_records",
            "Source records in committed chunks; equals the sum over the outcomes.",
            group_topic,
            registry=registry,
        )
        self._notices = Counter(
            "psastream_source_notices",
            "What sources told of themselves as a whole: truncated, timeline_changed.",
            (*group_topic, "notice"),
            registry=registry,
        )
        self._handler = Histogram(
            "psastream_chunk_seconds",
            "Time a handler worked on one chunk.",
            group_topic,
            buckets=_SECONDS,
            registry=registry,
        )
        self._commit = Histogram(
            "psastream_commit_seconds",
            "Time from the effects of a chunk to their commit and local write.",
            group_topic,
            buckets=_SECONDS,
            registry=registry,
        )
        self._recovery_records = Gauge(
            "psastream_recovery_records",
            "Records the last restore of a partition has read from its state log so far.",
            ("group", "partition"),
            registry=registry,
        )
        self._recovery_seconds = Gauge(
            "psastream_recovery_seconds",
            "Time the last restore of a partition has taken so far.",
            ("group", "partition"),
            registry=registry,
        )
        self._lag = Gauge(
            "psastream_lag_records",
            "Offsets between the committed position and the end of a source partition.",
            ("topic", "partition"),
            registry=registry,
        )
        self._progress = Gauge(
            "psastream_last_progress_timestamp_seconds",
            "When a chunk of a source partition was last committed, as Unix time.",
            (*group_topic, "partition"),
            registry=registry,
        )
        self._fence_skips = Counter(
            "psastream_fence_skipped_records",
            "Records dropped because the state already held them; alert on any steady rate.",
            group_topic,
            registry=registry,
        )
        self._gaps = Gauge(
            "psastream_state_gap_records",
            "Offsets that are committed but missing in the state; alert above zero.",
            (*group_topic, "partition"),
            registry=registry,
        )
        self._retries = Counter(
            "psastream_transient_retries",
            "Chunks tried again after a transient failure of a handler or a commit.",
            group_topic,
            registry=registry,
        )
        self._rebuilds = Counter(
            "psastream_local_state_rebuilds",
            "Local states deleted and rebuilt: damaged, too old, or of another state log.",
            ("group",),
            registry=registry,
        )
        self._exceptions = Gauge(
            "psastream_table_exceptions_open",
            "Exceptions of tables that wait for a person, each told by the worker that owns it.",
            ("system", "code"),
            registry=registry,
        )
        self._waiting = Gauge(
            "psastream_lookup_waiting_rows",
            "Rows that wait for what they look up, each told by the worker that owns it.",
            ("rows", "lookup", "reason"),
            registry=registry,
        )
        self._counted_of: dict[tuple[str, int], Mapping[bytes, int]] = {}
        self._counted_all: Tally[tuple[bool, bytes]] = Tally()

    @staticmethod
    def _too_large(registry: CollectorRegistry) -> Counter:
        return Counter(
            "psastream_oversize_records",
            "Records put aside since what they make is larger than the broker accepts.",
            ("group", "topic"),
            registry=registry,
        )

    def chunk_applied(self, group: str, topic: str, partition: int, accounting: Accounting) -> None:
        """See Instruments."""
        for outcome in ("applied", "stale", "parked", "dead_lettered"):
            self._records.labels(group, topic, outcome).inc(getattr(accounting, outcome))
        self._consumed.labels(group, topic).inc(accounting.consumed)
        self._progress.labels(group, topic, str(partition)).set(time.time())

    def noticed(self, group: str, topic: str, notice: str) -> None:
        """See Instruments."""
        self._notices.labels(group, topic, notice).inc()

    def handler_seconds(self, group: str, topic: str, seconds: float) -> None:
        """See Instruments."""
        self._handler.labels(group, topic).observe(seconds)

    def commit_seconds(self, group: str, topic: str, seconds: float) -> None:
        """See Instruments."""
        self._commit.labels(group, topic).observe(seconds)

    def recovery_progress(self, group: str, partition: int, records: int, seconds: float) -> None:
        """See Instruments."""
        self._recovery_records.labels(group, str(partition)).set(records)
        self._recovery_seconds.labels(group, str(partition)).set(seconds)

    def lag(self, topic: str, partition: int, records: int) -> None:
        """See Instruments."""
        self._lag.labels(topic, str(partition)).set(records)

    def given_up(self, topic: str, partition: int) -> None:
        """See Instruments."""
        with suppress(KeyError):  # its lag may never have been known
            self._lag.remove(topic, str(partition))

    def fence_skipped(self, group: str, topic: str, records: int) -> None:
        """See Instruments."""
        self._fence_skips.labels(group, topic).inc(records)

    def state_gap(self, group: str, topic: str, partition: int, records: int) -> None:
        """See Instruments."""
        self._gaps.labels(group, topic, str(partition)).set(records)

    def transient_retry(self, group: str, topic: str) -> None:
        """See Instruments."""
        self._retries.labels(group, topic).inc()

    def oversize(self, group: str, topic: str) -> None:
        """See Instruments."""
        self._oversize.labels(group, topic).inc()

    def counted(self, group: str, partition: int, counts: Mapping[bytes, int]) -> None:
        """See Instruments. The normalizer counts rows that wait for what they look up, the tables
        open exceptions: the labels of each, with a bar between them.
        """
        before = self._counted_of.get((group, partition), {})
        self._counted_of[group, partition] = counts
        is_waiting = group == NORMALIZE
        gauge = self._waiting if is_waiting else self._exceptions
        for value in before.keys() | counts.keys():
            counted = is_waiting, value
            self._counted_all[counted] += counts.get(value, 0) - before.get(value, 0)
            labels = value.decode().split("|")
            if self._counted_all[counted]:
                gauge.labels(*labels).set(self._counted_all[counted])
            else:
                gauge.remove(*labels)

    def state_rebuilt(self, group: str, partition: int) -> None:
        """See Instruments."""
        self._rebuilds.labels(group).inc()
