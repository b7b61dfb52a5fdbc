"""Runs cases on all cores, in processes that may end: what ends one is a finding as well."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import IO, Final

from tests.fuzz.case import Finding, Fuzzer, Kind, run_case

_SPAWN: Final = multiprocessing.get_context("spawn")
HUNG_EXIT: Final = 1
"""Code with which `faulthandler` ends a process that hangs."""
LOG_SHOWN: Final = 3_000


@dataclass(frozen=True, slots=True)
class Job:
    """A case to run."""

    fuzzer: str
    number: int
    size: int


@dataclass(frozen=True, slots=True)
class Done:
    """A case that ran; `inputs` were looked at in so many seconds of processor time."""

    job: Job
    inputs: int
    seconds: float
    findings: Sequence[Finding]


@dataclass
class _Process:
    connection: Connection
    process: BaseProcess
    log: IO[str]
    job: Job | None = None
    begun_s: float = 0.0


def jobs_of(fuzzers: Sequence[Fuzzer], inputs: int) -> list[Job]:
    """Share `inputs` over the fuzzers by weight, in cases of their sizes, all of them in turn."""
    total = sum(fuzzer.weight for fuzzer in fuzzers)
    shares = [inputs * fuzzer.weight // total for fuzzer in fuzzers]
    shares[0] += inputs - sum(shares)
    jobs: list[tuple[float, Job]] = []
    for fuzzer, share in zip(fuzzers, shares, strict=True):
        count = -(-share // fuzzer.size)
        for number in range(count):
            size = min(fuzzer.size, share - number * fuzzer.size)
            jobs.append(((number + 0.5) / count, Job(fuzzer.name, number, size)))
    return [job for _, job in sorted(jobs, key=lambda item: item[0])]


def run_jobs(
    jobs: Sequence[Job],
    seed: str,
    *,
    processes: int | None = None,
    catalogue: str = "tests.fuzz.catalogue",
) -> Iterator[Done]:
    """Run the jobs, as many at once as there are cores, and yield each as it ends.

    `catalogue`: the module whose BY_NAME holds the fuzzers.
    """
    waiting = list(reversed(jobs))
    pool = [
        _start(seed, catalogue) for _ in range(min(len(jobs), processes or os.cpu_count() or 1))
    ]
    try:
        for worker in pool:
            _next_job(worker, waiting)
        while busy := [worker for worker in pool if worker.job is not None]:
            ready = wait([worker.connection for worker in busy])
            for worker in [each for each in busy if each.connection in ready]:
                yield _result(worker)
                if worker.process.is_alive():
                    _next_job(worker, waiting)
                else:
                    pool.remove(worker)
                    pool.append(_start(seed, catalogue))
                    _next_job(pool[-1], waiting)
    finally:
        for worker in pool:
            worker.process.terminate()
            worker.process.join()


def _result(worker: _Process) -> Done:
    job = worker.job
    assert job is not None
    worker.job = None
    try:
        done: Done = worker.connection.recv()
        return done
    except EOFError:
        worker.process.join()
    code = worker.process.exitcode
    kind = Kind.HANG if code == HUNG_EXIT else Kind.CRASH
    signature = f"the process ended with code {code}"
    worker.log.seek(0)
    detail = f"{signature}\n{worker.log.read()[-LOG_SHOWN:]}"
    finding = Finding(kind, job.fuzzer, job.number, job.size, signature, detail)
    return Done(job, job.size, time.monotonic() - worker.begun_s, [finding])


def _next_job(worker: _Process, waiting: list[Job]) -> None:
    if waiting:
        worker.job, worker.begun_s = waiting.pop(), time.monotonic()
        worker.connection.send(worker.job)


def _start(seed: str, catalogue: str) -> _Process:
    ours, theirs = _SPAWN.Pipe()
    # What libraries print, such as panics that become errors, is shown where a process ends by it.
    log = tempfile.NamedTemporaryFile("r", prefix="fuzz-", errors="replace")  # noqa: SIM115
    process = _SPAWN.Process(target=_serve, args=(theirs, seed, catalogue, log.name), daemon=True)
    process.start()
    theirs.close()
    return _Process(ours, process, log)


def _serve(connection: Connection, seed: str, catalogue: str, log: str) -> None:
    written = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(written, sys.stdout.fileno())
    os.dup2(written, sys.stderr.fileno())
    # One thread a process: there is one process a core, and polars would start one a core in each.
    os.environ |= {"POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
    fuzzers: dict[str, Fuzzer] = importlib.import_module(catalogue).BY_NAME
    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        begun_s = time.process_time()
        case = run_case(fuzzers[job.fuzzer], seed, job.number, job.size)
        used_s = time.process_time() - begun_s
        connection.send(Done(job, case.counted, used_s, _few(case.findings)))


def _few(findings: Sequence[Finding], most: int = 5) -> list[Finding]:
    """Keep details of the first findings of a signature; a bad case may have thousands."""
    seen: Counter[str] = Counter()
    kept = []
    for finding in findings:
        seen[finding.signature] += 1
        is_first = seen[finding.signature] <= most
        kept.append(
            finding
            if is_first
            else Finding(
                finding.kind, finding.fuzzer, finding.case, finding.size, finding.signature, ""
            )
        )
    return kept
