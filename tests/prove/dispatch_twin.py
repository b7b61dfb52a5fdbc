"""The simulated targets of the proof: set up as people do, then failing and lagging by the seed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from connectors.dispatch.main import load_sink
from psastream.conformance.targets import SinkSubject
from sandbox.vendors.faults import FaultKind
from tests.prove.dispatch_judge import Names
from tests.prove.dispatch_plan import Chain, about, target_class
from tests.support.vendors import Vendors, running_vendors

FAULTS: Final = (
    (FaultKind.COMMIT_THEN_TIMEOUT, 0.20),
    (FaultKind.RATE_LIMITED, 0.05),
    (FaultKind.SERVER_ERROR, 0.05),
    (FaultKind.COMMIT_THEN_ERROR, 0.05),
)
"""Shares of the writes."""
QUOTAS: Final = ("certinia", "salesforce")
"""Whose only refusal of too much is a day's allowance, after which nothing is asked for minutes."""
FAST: Final = {
    "request.timeout.ms": 4_000,
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 500,
    "auth.retry.ms": 500,
    "requests.per.second": None,
    "max.in.flight": 16,
    "max.queued": 5_000,
}
SETTINGS: Final[Mapping[str, Mapping[str, object]]] = {
    # Of both dispatchers together more than an account allows.
    "netsuite": {"concurrency": 200},
    # Else thousands of projects are many pages, of which none holds still while projects are made.
    "float": {"filters_by_code": True},
}


@contextmanager
def twin_of(
    directory: Path, all_subjects: Sequence[SinkSubject], lag_s: float, seed: int
) -> Iterator[tuple[Vendors, dict[str, Path]]]:
    """A twin that is set up, and the sinks' files."""
    with running_vendors(directory, seed=seed) as twin:
        _prepare(twin, all_subjects)
        settle_ms = int(lag_s * 1000) + 2_000
        configs = {}
        for subject in all_subjects:
            path = configs[subject.system] = directory / f"{subject.system}.json"
            document = {**subject.document, **FAST, "settle.ms": settle_ms}
            if "${" not in document["url"]:
                document["url"] = f"{twin.url}/{target_class(subject).vendor}"
            path.write_text(json.dumps(document))
            said = load_sink(path, twin.environment).model_dump()
            asked = [str(said[name]) for name in said if name.endswith("url")]
            assert all(url.startswith(twin.url) for url in asked), f"{subject.system}: {asked}"
        yield twin, configs


def disturb(twin: Vendors, all_subjects: Sequence[SinkSubject], lag_s: float) -> None:
    """Let writes fail and lists lag from now on."""
    for subject in all_subjects:
        left = 1.0
        vendor: Any = subject.system
        twin.admin.configure(vendor, search_lag_s=lag_s)
        for kind, share in FAULTS:
            is_spared = kind is FaultKind.RATE_LIMITED and subject.system in QUOTAS
            twin.admin.add_fault(
                vendor,
                FaultKind.UNAVAILABLE if is_spared else kind,
                probability=share / left,
                scope="write",
                delay_s=10.0,
            )
            left -= share


def give(
    twin: Vendors, all_subjects: Sequence[SinkSubject], chains: Sequence[Chain]
) -> list[Chain]:
    """Make what people make where we make no record; return the commands about that."""
    ids: dict[str, Iterator[str]] = {}
    for subject in all_subjects:
        if (given := target_class(subject).given) is not None:
            table, row, field = given
            count = sum(chain[0].target == subject.system for chain in chains)
            vendor: Any = subject.system
            made = twin.admin.create_many(vendor, table, [dict(row)] * count)
            ids[subject.system] = iter([str(each[field]) for each in made])
    return [about(it, next(ids[it[0].target])) if it[0].target in ids else it for it in chains]


def names_of(all_subjects: Sequence[SinkSubject]) -> Names:
    """Return where each target's records bear our ids."""
    return {subject.system: target_class(subject).tables for subject in all_subjects}


def _prepare(twin: Vendors, all_subjects: Sequence[SinkSubject]) -> None:
    """Set up at each target what people have set up before a command comes."""
    twin.admin.lift_rate_limits()
    for subject in all_subjects:
        target: Any = object.__new__(target_class(subject))  # of a twin that runs already
        target.environment = twin.environment

        async def admin(method: str, path: str, body: object = None) -> Any:
            return twin.admin._send(method, path, body)

        target.admin = admin
        asyncio.run(target.prepare())
        vendor: Any = subject.system
        twin.admin.configure(vendor, **SETTINGS.get(vendor, {}))
