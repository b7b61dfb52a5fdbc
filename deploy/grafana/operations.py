"""Operations: whether everything runs, keeps up, and what a person on duty must look at."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.parts import (
    INSTANCE,
    RATE,
    Part,
    Query,
    graph,
    max_by,
    number,
    or_else,
    or_zero,
    percentile,
    rows,
    series,
    sum_by,
)
from deploy.grafana.parts import (
    dashboard as make,
)

DEAD_LETTERS = (
    ("psastream_records_total", "topic", ('outcome="dead_lettered"',)),
    ("psastream_source_unreadable_total", "system", ()),
    ("psastream_dispatch_dead_letters_total", "target", ()),
)
DEAD_LETTER_ALERTS = (
    "PsastreamDeadLetters",
    "PsastreamSourceDeadLetters",
    "PsastreamCommandDeadLetters",
)
YEAR_S = 31_536_000
DAY_S = 86_400
TIB = 2**40
KEPT_S = 90 * 86_400
EXCEPTIONS = ("psastream_exceptions_open", "psastream_table_exceptions_open")


def dashboard() -> models.Dashboard:
    """Everything the processes tell about themselves."""
    return make(
        "operations",
        "psastream operations",
        "Processes, lag, times, dead letters, sources, connectors and targets.",
        [
            *_at_a_glance(),
            *_streams(),
            *_sources(),
            *_databases(),
            *_targets(),
            *_read_model(),
            *_credentials(),
        ],
    )


def _at_a_glance() -> Iterator[Part]:
    yield builders.Row("At a glance")
    yield number(
        "Processes that answer",
        Query(f'sum by (job) (up{{job=~"psastream-.*", {INSTANCE}}})', "{{job}}"),
        "Of each kind; none answering is an alert.",
        unit="none",
        alert="PsastreamProcessDown",
        is_floor=True,
        span=3,
    )
    yield number(
        "Records waiting",
        Query(or_zero(f"sum({_lag()})")),
        "Offsets between what is committed and the ends of all topics.",
        alert="PsastreamLagHigh",
    )
    yield number(
        "Dead letters, last day",
        Query(" + ".join(_dead_letters_of_a_day(*it) for it in DEAD_LETTERS)),
        "Records that could not be processed; they are in psa.dlq, with their reasons.",
        unit="none",
        is_alarming=True,
        also=DEAD_LETTER_ALERTS,
    )
    yield number(
        "Dead letters undecided",
        Query(or_zero(f"max({series('psastream_dead_letters_undecided')})")),
        "Nobody has released or discarded them yet.",
        unit="none",
        also=("PsastreamDeadLetterExpiring",),
    )
    yield number(
        "Targets paused",
        Query(or_zero(f"sum(max by (target) ({series('psastream_target_paused')}))")),
        "Targets that take no command at all.",
        alert="PsastreamTargetPaused",
        unit="none",
    )
    yield number(
        "Sources stopped",
        Query(
            or_zero(f"sum(max by (system, object, reason) ({series('psastream_source_stopped')}))")
        ),
        "Objects that cannot be read until a person helps.",
        alert="PsastreamSourceStopped",
        unit="none",
    )
    yield number(
        "Sources paused",
        Query(or_zero(f"sum(max by (system, object) ({series('psastream_source_paused')}))")),
        "Objects that a person has ordered not to be polled.",
        unit="none",
    )
    yield number(
        "Waits for a person",
        Query(" + ".join(f"({or_zero(f'sum({series(it)})')})" for it in EXCEPTIONS)),
        "Open exceptions of commands and of tables.",
        unit="none",
        is_alarming=True,
        also=("PsastreamCommandsRejected", "PsastreamTableExceptions"),
    )
    yield rows(
        "What fires",
        Query(
            or_zero(
                'max by (severity, alertname) (ALERTS{alertname=~"Psastream.*",'
                ' alertstate="firing"})',
                "severity",
                "alertname",
            )
        ),
        "Alerts of the rules in deploy/prometheus that fire now; 0 and none where there are none.",
    )
    yield graph(
        "Starts within 15 minutes",
        Query(
            f'max by (job) (changes(process_start_time_seconds{{job=~"psastream-.*",'
            f" {INSTANCE}}}[15m]))",
            "{{job}}",
        ),
        "Of the process of each kind that starts most often.",
        unit="none",
        alert="PsastreamProcessRestarting",
    )
    yield graph(
        "Dead letters a second",
        [
            Query(sum_by(label, f"rate({series(metric, *matchers)}{RATE})"), f"{{{{{label}}}}}")
            for metric, label, matchers in DEAD_LETTERS
        ],
        "By topic of a worker, system of a poller, target of a dispatcher.",
        unit="ops",
        also=DEAD_LETTER_ALERTS,
    )
    yield graph(
        "Rows larger than a message",
        [
            Query(
                sum_by("system", f"increase({series('psastream_source_oversize_total')}[1d])"),
                "{{system}}",
            ),
            Query(
                sum_by("topic", f"increase({series('psastream_oversize_records_total')}[1d])"),
                "{{topic}}",
            ),
        ],
        "Within a day, put aside by pollers and by workers.",
        also=("PsastreamOversizeRows",),
    )
    yield graph(
        "Until a dead letter may be deleted",
        Query(
            or_else(KEPT_S, f"min({series('psastream_dead_letter_remaining_seconds')} < {KEPT_S})"),
            "oldest",
        ),
        "The oldest that nobody has decided about; 90 days where there is none.",
        unit="s",
        alert="PsastreamDeadLetterExpiring",
        is_floor=True,
        also=("PsastreamDeadLetterAboutToExpire",),
    )


def _streams() -> Iterator[Part]:
    yield builders.Row("Streams")
    yield graph(
        "Records waiting, by topic",
        Query(or_zero(f"sum by (topic) ({_lag()})", "topic"), "{{topic}}"),
        "Offsets between what is committed and the end.",
        alert="PsastreamLagHigh",
    )
    yield graph(
        "Longest time without progress",
        Query(
            or_zero(
                "max by (topic) ((time() - max by (topic, partition) ("
                f"{series('psastream_last_progress_timestamp_seconds')})) and on (topic, partition)"
                f" {_lag()} > 0)",
                "topic",
            ),
            "{{topic}}",
        ),
        "Of partitions with records waiting: since a chunk of them was last committed.",
        unit="s",
        alert="PsastreamProgressStalled",
    )
    yield graph(
        "Records a second",
        Query(sum_by("outcome", f"rate({series('psastream_records_total')}{RATE})"), "{{outcome}}"),
        "Source records by what became of them, over all groups.",
        unit="rowsps",
        also=("PsastreamStaleRecords",),
    )
    yield graph(
        "Records a second, by group",
        Query(
            sum_by("group", f"rate({series('psastream_consumed_records_total')}{RATE})"),
            "{{group}}",
        ),
        "Source records in committed chunks.",
        unit="rowsps",
    )
    yield graph(
        "Time of a chunk, 95 %",
        Query(percentile(0.95, "group", "psastream_chunk_seconds"), "{{group}}"),
        "What a handler worked on 19 of 20 chunks at most; 0 while there are none.",
        unit="s",
    )
    yield graph(
        "Time of a commit, 95 %",
        Query(percentile(0.95, "group", "psastream_commit_seconds"), "{{group}}"),
        "From the effects of a chunk to their commit and local write, of 19 of 20 chunks.",
        unit="s",
    )
    yield graph(
        "Trouble of the engine",
        [
            Query(
                sum_by("group", f"rate({series('psastream_transient_retries_total')}{RATE})"),
                "{{group}} retries/s",
            ),
            Query(
                sum_by(
                    "group", f"increase({series('psastream_fence_skipped_records_total')}[15m])"
                ),
                "{{group}} skipped in 15 min",
            ),
            Query(
                max_by("group", f"max_over_time({series('psastream_state_gap_records')}[15m])"),
                "{{group}} gap",
            ),
            Query(
                sum_by("group", f"increase({series('psastream_local_state_rebuilds_total')}[1h])"),
                "{{group}} rebuilds in 1 h",
            ),
        ],
        "Chunks tried again, records the state already held, offsets missing in the state, local"
        " states rebuilt: all zero in a healthy system.",
        also=("PsastreamDependencyRetries", "PsastreamFenceSkips", "PsastreamStateGap"),
    )
    yield graph(
        "Last restore of a partition",
        Query(max_by("group", series("psastream_recovery_seconds")), "{{group}}"),
        "The longest of each group; it grows while a restore goes on.",
        unit="s",
    )
    yield graph(
        "Records of the last restore",
        Query(sum_by("group", series("psastream_recovery_records")), "{{group}}"),
        "Read from the state logs so far, over all partitions.",
    )


def _sources() -> Iterator[Part]:
    yield builders.Row("Sources")
    yield graph(
        "Since the last complete poll",
        (
            Query(
                or_zero(
                    "max by (system) (abs(time() - max by (system, object)"
                    f" ({series('psastream_source_last_success_timestamp_seconds')})))",
                    "system",
                ),
                "{{system}}",
            ),
            Query(
                f"max by (system) ({series('psastream_source_poll_interval_seconds')})",
                "{{system}}, interval",
            ),
        ),
        "Of the object of each system that waits longest, with the interval that is configured.",
        unit="s",
        alert="PsastreamSourceSilent",
    )
    yield graph(
        "From change to publication",
        Query(max_by("system", series("psastream_source_lag_seconds")), "{{system}}"),
        "Of the newest change, for the slowest object of each system.",
        unit="s",
    )
    yield graph(
        "Requests left",
        Query(
            or_else(
                1, f"min by (system) ({series('psastream_source_quota_remaining_ratio')})", "system"
            ),
            "{{system}}",
        ),
        "Share of the allowance; `none` where no system tells one.",
        unit="percentunit",
        alert="PsastreamQuotaLow",
        is_floor=True,
    )
    yield graph(
        "Until the requests are used up",
        Query(
            or_else(
                DAY_S,
                f"min by (system) ({series('psastream_source_quota_remaining_seconds')}) < {DAY_S}",
                "system",
            ),
            "{{system}}",
        ),
        "All but the reserve, at the pace of the last hour; a day for `none` where it is longer.",
        unit="s",
        alert="PsastreamQuotaRunningOut",
        is_floor=True,
    )
    yield graph(
        "Changes a second",
        Query(
            sum_by("system", f"rate({series('psastream_source_records_total')}{RATE})"),
            "{{system}}",
        ),
        "Change events that pollers published.",
        unit="rowsps",
    )
    yield graph(
        "Polls that failed",
        Query(
            sum_by("system, reason", f"increase({series('psastream_source_errors_total')}[15m])"),
            "{{system}} {{reason}}",
        ),
        "Within 15 minutes, by reason.",
        also=("PsastreamSourceSilent",),
    )
    yield graph(
        "Rows for a person to look at",
        [
            Query(
                max_by("system", series("psastream_source_refused_deletes")),
                "{{system}} deletes not believed",
            ),
            Query(
                sum_by(
                    "system", f"increase({series('psastream_source_sweep_repaired_total')}[1d])"
                ),
                "{{system}} found by a sweep only",
            ),
            Query(
                sum_by("system", f"increase({series('psastream_source_new_fields_total')}[1d])"),
                "{{system}} fields not known",
            ),
        ],
        "Vanished rows at present; changes that polls missed and fields that no contract knows"
        " within a day.",
        also=("PsastreamDeletesRefused", "PsastreamSweepRepairs", "PsastreamNewFields"),
    )
    yield graph(
        "What APIs describe otherwise than was accepted",
        Query(sum_by("system, kind", series("psastream_source_drift")), "{{system}} {{kind}}"),
        "psastream connectors drift tells what hangs on it.",
    )
    yield graph(
        "Rows that wait for what they look up",
        Query(
            sum_by("rows, reason", series("psastream_lookup_waiting_rows")), "{{rows}} {{reason}}"
        ),
        "They are in no total until it is there.",
        also=("PsastreamRowsWaiting",),
    )
    yield graph(
        "Rows read again without a change",
        Query(
            sum_by("system", f"rate({series('psastream_source_duplicates_total')}{RATE})"),
            "{{system}}",
        ),
        "A second: the price of overlapping polls.",
        unit="rowsps",
    )


def _databases() -> Iterator[Part]:
    yield builders.Row("Databases")
    yield number(
        "Kafka Connect answers",
        Query(or_else(1, f"max({series('psastream_connect_reachable')})")),
        "1 while it does, and where no connector is watched.",
        alert="PsastreamConnectUnreachable",
        unit="none",
        is_floor=True,
        span=3,
    )
    yield number(
        "Connectors that do not run",
        Query(or_zero(f"sum(max by (connector) ({series('psastream_connector_failed')}))")),
        "A connector or a task of it has failed, is paused or does not exist.",
        alert="PsastreamConnectorFailed",
        unit="none",
        span=3,
    )
    yield number(
        "Replication slots lost",
        Query(or_zero(f"sum(max by (connector) ({series('psastream_connector_slot_lost')}))")),
        "The database dropped the slot: what changed since is not captured.",
        is_alarming=True,
        also=("PsastreamConnectorFailed",),
        unit="none",
        span=3,
    )
    yield number(
        "Systems captured",
        Query(or_zero(f"sum(max by (system) ({series('psastream_connector_captures')}))")),
        "Whose tables a watched connector captures, by its include lists.",
        also=("PsastreamDatabaseSilent",),
        unit="none",
        span=3,
    )
    yield graph(
        "Restarts of connectors",
        Query(
            sum_by("connector", f"increase({series('psastream_connector_restarts_total')}[1h])"),
            "{{connector}}",
        ),
        "Within an hour.",
        also=("PsastreamConnectorFailed",),
        span=6,
    )
    yield graph(
        "Log kept for slots",
        Query(max_by("connector", series("psastream_slot_retained_bytes")), "{{connector}}"),
        "By databases that the watcher of connectors asks.",
        unit="bytes",
        alert="PsastreamSlotRetainsLog",
        span=6,
    )
    yield graph(
        "Log until a slot is dropped",
        Query(
            or_else(
                TIB,
                f"min by (connector) ({series('psastream_slot_remaining_bytes')}) < {TIB}",
                "connector",
            ),
            "{{connector}}",
        ),
        "Where `max_slot_wal_keep_size` bounds it; 1 TiB for `none` where nothing does.",
        unit="bytes",
        alert="PsastreamSlotAboutToBeLost",
        is_floor=True,
        span=6,
    )
    yield graph(
        "What databases told of themselves",
        Query(
            sum_by("topic, notice", f"increase({series('psastream_source_notices_total')}[1h])"),
            "{{topic}} {{notice}}",
        ),
        "Tables truncated, logs counted anew, within an hour.",
        also=("PsastreamTableTruncated", "PsastreamTimelineChanged", "PsastreamDatabaseSilent"),
        span=6,
    )


def _targets() -> Iterator[Part]:
    yield builders.Row("Targets")
    yield graph(
        "Commands not settled",
        Query(sum_by("target, state", series("psastream_commands_open")), "{{target}} {{state}}"),
        "Queued, in flight, or retried.",
        alert="PsastreamCommandBacklog",
        also=("PsastreamCommandsRetrying", "PsastreamTargetPaused"),
    )
    yield graph(
        "Commands settled a second",
        Query(
            sum_by("target, status", f"rate({series('psastream_commands_total')}{RATE})"),
            "{{target}} {{status}}",
        ),
        "By what became of them; skipped = replayed or out of date.",
        unit="ops",
        also=("PsastreamCommandsRejected",),
    )
    yield graph(
        "From change to settled command, 95 %",
        Query(percentile(0.95, "target", "psastream_command_seconds"), "{{target}}"),
        "Of 19 of 20 commands; 0 while there are none.",
        unit="s",
    )
    yield graph(
        "Attempts to repeat",
        Query(
            sum_by(
                "target, reason", f"increase({series('psastream_dispatch_retries_total')}[15m])"
            ),
            "{{target}} {{reason}}",
        ),
        "Within 15 minutes, by error code.",
        also=("PsastreamCommandsRetrying",),
    )
    yield graph(
        "Exceptions open",
        [
            Query(sum_by("system", series("psastream_exceptions_open")), "{{system}} refused"),
            Query(
                sum_by("system, code", series("psastream_table_exceptions_open")),
                "{{system}} {{code}}",
            ),
        ],
        "Refused commands by system, what tables found by code; each waits for a person.",
        also=("PsastreamCommandsRejected", "PsastreamTableExceptions"),
    )
    yield graph(
        "Money behind refused commands",
        Query(
            sum_by("system, currency", series("psastream_exceptions_open_money")),
            "{{system}} {{currency}}",
        ),
        "For display, in each currency; the exact amounts are in psa.exception.",
        also=("PsastreamMoneyBlocked",),
    )
    yield graph(
        "Commands stopped",
        Query(max_by("target, kind", series("psastream_commands_stopped")), "{{target}} {{kind}}"),
        "1 while a person lets no command of a kind be sent; all is the whole target.",
        also=("PsastreamTargetPaused",),
    )
    yield graph(
        "Commands in shadow",
        [
            Query(
                sum_by("target, kind, plan", series("psastream_commands_shadowed")),
                "{{target}} {{kind}} {{plan}}",
            ),
        ],
        "Looked up and not sent, by what each would do.",
    )
    yield graph(
        "Money in shadow",
        Query(
            sum_by("target, plan, currency", series("psastream_commands_shadowed_money")),
            "{{target}} {{plan}} {{currency}}",
        ),
        "For display, in each currency; the exact amounts are in psa.exception.",
    )


def _read_model() -> Iterator[Part]:
    yield builders.Row("Read model")
    yield number(
        "Read model follows",
        Query(or_else(1, f"min({series('psastream_read_model_caught_up')})")),
        "1 while it was read to the ends of its topics, and where there is none.",
        unit="none",
        alert="PsastreamReadModelBehind",
        is_floor=True,
        also=("PsastreamReadModelDown",),
    )
    yield graph(
        "Time that does not add up",
        Query(
            max_by("between", series("psastream_conservation_difference_seconds")), "{{between}}"
        ),
        "Between approved entries, margins and billing states; zero in a healthy system.",
        unit="s",
        alert="PsastreamConservationBroken",
    )
    yield graph(
        "Money in doubt",
        Query(max_by("currency", series("psastream_conservation_doubtful_money")), "{{currency}}"),
        "Of the billing states of projects whose numbers do not add up.",
        also=("PsastreamConservationBroken",),
    )
    yield graph(
        "Since numbers were compared",
        Query(
            or_zero(
                f"time() - max({series('psastream_conservation_checked_timestamp_seconds')} > 0)"
            )
        ),
        "Approved entries with margins and billing states; zero where there is no read model.",
        unit="s",
        span=5,
    )
    yield graph(
        "Rows written to the read model a second",
        Query(or_zero(f"sum(rate({series('psastream_read_model_rows_total')}{RATE}))")),
        "Deleted ones counted, too.",
        unit="rowsps",
    )
    yield graph(
        "Time since rows came to the read model",
        Query(
            or_zero(f"time() - max({series('psastream_read_model_written_timestamp_seconds')} > 0)")
        ),
        "Long where nothing changes; with records waiting it does not work.",
        unit="s",
    )


def _credentials() -> Iterator[Part]:
    yield builders.Row("Certificates and sign-in")
    yield graph(
        "Until certificates end",
        Query(
            or_else(
                YEAR_S,
                "min by (service, certificate)"
                f" ({series('psastream_certificate_remaining_seconds')})",
                "service",
                "certificate",
            ),
            "{{service}} {{certificate}}",
        ),
        "Ours, of authorities, of servers; a year for `none` where no TLS is used.",
        unit="s",
        alert="PsastreamCertificateExpiring",
        is_floor=True,
        also=("PsastreamCertificateAboutToExpire",),
    )
    yield graph(
        "Sign-ins that failed",
        Query(
            sum_by("service", f"increase({series('psastream_sign_in_failures_total')}[30m])"),
            "{{service}}",
        ),
        "Refused, or without a token, within 30 minutes.",
        alert="PsastreamSignInFailing",
    )


def _lag() -> str:
    """Of a partition that changes hands two workers tell for a moment."""
    return f"max by (topic, partition) ({series('psastream_lag_records')})"


def _dead_letters_of_a_day(metric: str, label: str, matchers: tuple[str, ...]) -> str:
    """A counter that appears with its first dead letter has no earlier value to increase from."""
    found = series(metric, *matchers)
    late = f"{found} unless {found} offset 1d"
    return f"({or_zero(f'sum(({late}) or increase({found}[1d]))')})"
