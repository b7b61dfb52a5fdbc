"""What processes say of themselves at their metrics port: probes, and metrics of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from psastream.status.model import ProcessState, SourceState, TargetState

PROBE_S: Final = 5.0
"""Longest wait for one answer of a process."""
REASONS_MAX: Final = 20

LAST_POLL: Final = "psastream_source_last_success_timestamp_seconds"
INTERVAL: Final = "psastream_source_poll_interval_seconds"
STOPPED: Final = "psastream_source_stopped"
PAUSED_SOURCE: Final = "psastream_source_paused"
ERRORS: Final = "psastream_source_errors_total"
QUOTA: Final = "psastream_source_quota_remaining_ratio"
PAUSED: Final = "psastream_target_paused"
OPEN: Final = "psastream_commands_open"
STOPPED_KINDS: Final = "psastream_commands_stopped"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of a process."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A process, with the numbers it told; none where it did not, or told no metrics."""

    process: ProcessState
    samples: Sequence[Sample] = ()


def ask_processes(addresses: Mapping[str, str], *, timeout_s: float = PROBE_S) -> list[Answer]:
    """Ask processes, by name and address, all at once; one that does not answer is a state, too."""
    if not addresses:
        return []
    with httpx2.Client(timeout=timeout_s) as client, ThreadPoolExecutor(len(addresses)) as threads:
        return list(threads.map(lambda named: _ask(client, *named), addresses.items()))


def _ask(client: httpx2.Client, name: str, url: str) -> Answer:
    try:
        live, ready = client.get(f"{url}/livez"), client.get(f"{url}/readyz")
        metrics = client.get(f"{url}/metrics")
    except httpx2.HTTPError:
        return Answer(ProcessState(name, url))
    failing = next((each for each in (live, ready) if each.status_code != HTTPStatus.OK), None)
    lines = [] if failing is None else failing.text.splitlines()[:REASONS_MAX]
    process = ProcessState(
        name,
        url,
        is_live=live.status_code == HTTPStatus.OK,
        is_ready=ready.status_code == HTTPStatus.OK,
        reasons=tuple(line.strip() for line in lines if line.strip()),
    )
    return Answer(process, tuple(read_samples(metrics.text)))


def read_samples(text: str) -> Iterator[Sample]:
    """Yield the numbers of a page of metrics; of what is none, those before it."""
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                yield Sample(sample.name, sample.labels, sample.value)
    except ValueError:
        return


def polled_states(samples: Iterable[Sample]) -> dict[str, SourceState]:
    """Return what pollers tell, by system. What is captured is not theirs to say."""
    polled: dict[str, dict[str, float]] = {}
    failed: dict[str, set[str]] = {}
    stopped: dict[str, dict[str, str]] = {}
    paused: dict[str, set[str]] = {}
    quotas: dict[str, float] = {}
    intervals: dict[str, dict[str, float]] = {}
    for each in samples:
        system, obj = each.labels.get("system", ""), each.labels.get("object", "")
        if each.name == LAST_POLL:
            last = polled.setdefault(system, {})
            last[obj] = max(each.value, last.get(obj, 0.0))
        elif each.name == INTERVAL:
            intervals.setdefault(system, {})[obj] = each.value
        elif each.name == ERRORS and each.value:
            failed.setdefault(system, set()).add(obj)
        elif each.name == STOPPED and each.value:
            stopped.setdefault(system, {})[obj] = each.labels.get("reason", "")
        elif each.name == PAUSED_SOURCE and each.value:
            paused.setdefault(system, set()).add(obj)
        elif each.name == QUOTA:
            quotas[system] = min(each.value, quotas.get(system, 1.0))
    states = {}
    for system in sorted(polled.keys() | failed.keys() | stopped.keys() | intervals.keys()):
        resting = paused.get(system, set())
        last, interval_s = polled.get(system, {}), intervals.get(system, {})
        due = [at for obj, at in last.items() if obj not in resting]
        told = failed.get(system, set()) | stopped.get(system, {}).keys() | interval_s.keys()
        unpolled = told - last.keys() - resting
        states[system] = SourceState(
            system,
            is_polled=True,
            objects=len(last.keys() | unpolled | resting),
            polled_at=datetime.fromtimestamp(min(due), UTC) if due else None,
            interval=timedelta(seconds=max(interval_s.values())) if interval_s else None,
            unpolled=tuple(sorted(unpolled)),
            stopped=stopped.get(system, {}),
            paused=tuple(sorted(resting)),
            quota_ratio=quotas.get(system),
        )
    return states


def target_states(samples: Iterable[Sample]) -> dict[str, TargetState]:
    """Return what dispatchers tell, by target: paused where one of them says so."""
    paused: dict[str, bool] = {}
    waiting: dict[str, dict[str, int]] = {}
    stopped: dict[str, set[str]] = {}
    for each in samples:
        target = each.labels.get("target", "")
        if each.name == PAUSED:
            paused[target] = paused.get(target, False) or bool(each.value)
        elif each.name == STOPPED_KINDS and each.value:
            stopped.setdefault(target, set()).add(each.labels.get("kind", ""))
        elif each.name == OPEN:
            counts = waiting.setdefault(target, {})
            state = each.labels.get("state", "")
            counts[state] = counts.get(state, 0) + int(each.value)
    return {
        target: TargetState(
            target,
            paused.get(target),
            waiting.get(target, {}),
            stopped=tuple(sorted(stopped.get(target, ()))),
        )
        for target in sorted(paused.keys() | waiting.keys() | stopped.keys())
    }
