"""One worker process of the benchmark: `python -m bench.peers.programs.psastream_worker <number>`.

Takes its job from the environment; see `bench.peers.peer.Job.environment`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.agents import groups, published
from bench.normalized import normalized
from bench.stages import stages_timed
from runtime.registry import Registry
from streams.engine import EngineSettings, NoInstruments, create_app
from streams.worker import Worker

SCHEMAS = Path(__file__).parents[1]


def main(number: int) -> int:
    """Work until SIGTERM."""
    job = {name.removeprefix("BENCH_").lower(): value for name, value in os.environ.items()}
    settings = EngineSettings(
        app_id=job["group"],
        bootstrap_servers=job["bootstrap_servers"],
        state_dir=Path(job["folder"]) / f"worker-{number}",
        session_timeout_s=10.0,
        max_chunk_records=100_000,
    )
    margins = published(
        job["margin_topic"],
        (SCHEMAS / "margin.avsc").read_text(),
        int(job["margin_schema_id"]),
        {"hours": 2, "revenue": 6, "cost": 6},
    )
    utilizations = published(
        job["utilization_topic"],
        (SCHEMAS / "utilization.avsc").read_text(),
        int(job["utilization_schema_id"]),
        {"billable_hours": 2, "total_hours": 2},
    )
    partitions, group = int(job["partitions"]), job["group"]
    rows_topic = job.get("rows_topic", job["source_topic"])
    specs = groups(rows_topic, margins, utilizations, partitions, group)
    if rows_topic != job["source_topic"]:
        registry = Registry(job["registry_url"])
        specs.append(normalized(job["source_topic"], rows_topic, partitions, group, registry))
    return Worker(create_app(settings, specs, NoInstruments())).run()


def stages_file(number: int) -> Path | None:
    """Where `make profile` wants the stages of this process, if it does."""
    folder = os.environ.get("BENCH_STAGES")
    return Path(folder) / f"{number}.json" if folder else None


if __name__ == "__main__":
    this = int(sys.argv[1])
    with stages_timed(stages_file(this)):
        code = main(this)
    sys.exit(code)
