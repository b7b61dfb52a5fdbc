"""The engine's metrics: names, labels and that they add up."""

from prometheus_client import CollectorRegistry

from streams.engine import Accounting
from streams.instruments import PrometheusInstruments


def test_i5_outcomes_add_up_to_consumed() -> None:
    registry = CollectorRegistry()
    instruments = PrometheusInstruments(registry)
    instruments.chunk_applied("g", "t", 0, Accounting(5, 1, 2, 3))
    instruments.chunk_applied("g", "t", 1, Accounting(applied=4))

    def records(outcome: str) -> float | None:
        labels = {"group": "g", "topic": "t", "outcome": outcome}
        return registry.get_sample_value("psastream_records_total", labels)

    outcomes = [records(name) for name in ("applied", "stale", "parked", "dead_lettered")]
    assert outcomes == [9, 1, 2, 3]
    consumed = {"group": "g", "topic": "t"}
    assert registry.get_sample_value("psastream_consumed_records_total", consumed) == 15


def test_open_exceptions_of_tables_are_the_sum_over_the_partitions_of_a_worker() -> None:
    registry = CollectorRegistry()
    instruments = PrometheusInstruments(registry)
    over, gone = b"inhouse|billing.over_cap", b"inhouse|billing.entry_gone"

    def told() -> list[float | None]:
        return [
            registry.get_sample_value(
                "psastream_table_exceptions_open", {"system": "inhouse", "code": code}
            )
            for code in ("billing.over_cap", "billing.entry_gone")
        ]

    instruments.counted("project", 0, {over: 2, gone: 1})
    instruments.counted("project", 1, {over: 3})
    assert told() == [5, 1]
    instruments.counted("project", 0, {over: 1})
    assert told() == [4, None]
    instruments.counted("project", 0, {})
    instruments.counted("project", 0, {})
    assert told() == [3, None]
    instruments.counted("project", 1, {})
    assert told() == [None, None]


def test_rows_that_wait_are_counted_apart_by_what_they_wait_for() -> None:
    registry = CollectorRegistry()
    instruments = PrometheusInstruments(registry)

    def told(lookup: str, reason: str) -> float | None:
        labels = {"rows": "ledger:line", "lookup": lookup, "reason": reason}
        return registry.get_sample_value("psastream_lookup_waiting_rows", labels)

    missing, unfit = b"ledger:line|header|missing", b"ledger:line||unfit"
    instruments.counted("normalize", 0, {missing: 2, unfit: 1})
    instruments.counted("normalize", 1, {missing: 5})
    assert (told("header", "missing"), told("", "unfit")) == (7, 1)
    instruments.counted("normalize", 0, {missing: 1})
    assert (told("header", "missing"), told("", "unfit")) == (6, None)


def test_every_measurement_has_its_metric() -> None:
    registry = CollectorRegistry()
    instruments = PrometheusInstruments(registry)
    instruments.handler_seconds("g", "t", 0.5)
    instruments.commit_seconds("g", "t", 0.25)
    instruments.recovery_progress("g", 2, 1000, 1.5)
    instruments.lag("t", 2, 17)
    instruments.fence_skipped("g", "t", 3)
    instruments.state_gap("g", "t", 2, 4)
    instruments.transient_retry("g", "t")
    instruments.state_rebuilt("g", 2)
    group_topic = {"group": "g", "topic": "t"}
    expected = [
        ("psastream_chunk_seconds_sum", group_topic, 0.5),
        ("psastream_commit_seconds_sum", group_topic, 0.25),
        ("psastream_recovery_records", {"group": "g", "partition": "2"}, 1000),
        ("psastream_recovery_seconds", {"group": "g", "partition": "2"}, 1.5),
        ("psastream_lag_records", {"topic": "t", "partition": "2"}, 17),
        ("psastream_fence_skipped_records_total", group_topic, 3),
        ("psastream_state_gap_records", {**group_topic, "partition": "2"}, 4),
        ("psastream_transient_retries_total", group_topic, 1),
        ("psastream_local_state_rebuilds_total", {"group": "g"}, 1),
    ]
    for name, labels, value in expected:
        assert registry.get_sample_value(name, labels) == value, name
