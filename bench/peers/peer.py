"""What the side-by-side benchmark asks of a system, and what it hands to it.

The work (A): read time-entry changes, keep each row, retract what a changed row contributed, and
publish two running totals. See `bench/peers/README.md` for the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one system. All topics exist, and have `partitions` partitions."""

    bootstrap_servers: str
    registry_url: str
    group: str
    """Consumer group and application id; new for every run."""
    source_topic: str
    """Filled before the run begins."""
    margin_topic: str
    utilization_topic: str
    partitions: int
    changes: int
    """Records in the source topic."""
    margin_schema_id: int
    """Registered id of `bench/peers/margin.avsc`, for systems that do not register their own."""
    utilization_schema_id: int
    folder: Path
    """Empty and private: state, logs."""
    hold_ms: int | None = None
    """How long results may be held back at most; None: as long as throughput gains from it."""

    def environment(self) -> dict[str, str]:
        """The job as environment variables, for systems that are processes of another language."""
        return {
            "BENCH_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "BENCH_REGISTRY_URL": self.registry_url,
            "BENCH_GROUP": self.group,
            "BENCH_SOURCE_TOPIC": self.source_topic,
            "BENCH_MARGIN_TOPIC": self.margin_topic,
            "BENCH_UTILIZATION_TOPIC": self.utilization_topic,
            "BENCH_PARTITIONS": str(self.partitions),
            "BENCH_CHANGES": str(self.changes),
            "BENCH_MARGIN_SCHEMA_ID": str(self.margin_schema_id),
            "BENCH_UTILIZATION_SCHEMA_ID": str(self.utilization_schema_id),
            "BENCH_FOLDER": str(self.folder),
            "BENCH_HOLD_MS": "" if self.hold_ms is None else str(self.hold_ms),
        }


@dataclass(frozen=True, slots=True)
class Launch:
    """Processes to start, and how to tell that all of the source has been worked and committed.

    `drained` names topics of which the group must have committed every record (the source first,
    then topics the system moves rows through). Empty: the processes end by themselves when done.
    """

    commands: Sequence[Sequence[str]]
    environment: Mapping[str, str]
    drained: Sequence[str] = ()


class Peer(Protocol):
    """One system. Its module holds it as `PEER`; instances are stateless."""

    name: str
    """As printed: "Kafka Streams"."""
    guarantee: str
    """Of the outputs: "exactly once" or "at least once"."""
    state: str
    """Where rows are kept: "RocksDB", "memory", ..."""
    share: float
    """Part of the changes it is given; below 1 for systems that would take many minutes."""
    is_ceiling: bool
    """Whether it only reads: its result is not compared."""

    def version(self) -> str:
        """Return the version that `launch` runs."""
        ...

    def prepare(self, cache: Path) -> None:
        """Install and compile into `cache`, untimed; quick if that has been done before."""
        ...

    def launch(self, job: Job, cache: Path) -> Launch:
        """Return what to start for one run."""
        ...
