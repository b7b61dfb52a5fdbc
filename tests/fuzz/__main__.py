"""Run the fuzzers: `python -m tests.fuzz --inputs 1000000 --seed 1`.

Prints a line for each fuzzer, what was found with the command that repeats it, and the total; the
exit code is 1 where anything was found.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.fuzz.case import Finding, Kind, Tally, run_case
from tests.fuzz.catalogue import BY_NAME, FUZZERS
from tests.fuzz.pool import Job, jobs_of, run_jobs

SHOWN = 3  # findings of one signature
DETAIL = 4_000


def main() -> int:
    options = _options()
    chosen = [BY_NAME[name] for name in options.only or BY_NAME]
    if options.case is not None:
        return _repeat(options)
    tallies = {fuzzer.name: Tally() for fuzzer in chosen}
    seen: Counter[tuple[str, Kind, str]] = Counter()
    begun_s = time.monotonic()
    for done in run_jobs(
        jobs_of(chosen, options.inputs), options.seed, processes=options.processes
    ):
        tally = tallies[done.job.fuzzer]
        tally.inputs += done.inputs
        tally.seconds += done.seconds
        for finding in done.findings:
            tally.kinds[finding.kind] += 1
            seen[finding.fuzzer, finding.kind, finding.signature] += 1
            if seen[finding.fuzzer, finding.kind, finding.signature] <= SHOWN:
                _show(finding, options.seed)
    for (name, kind, signature), count in seen.items():
        print(f"  {name}: {count:,} of {kind.value}: {signature}")
    total = Tally()
    for name, tally in tallies.items():
        rate = 1_000 * tally.seconds / max(tally.inputs, 1)
        print(f"{tally.line(name)}, {tally.seconds:.0f} s of a core, {rate:.1f} a thousand")
        total.inputs += tally.inputs
        total.kinds += tally.kinds
    print(f"seed {options.seed}, {time.monotonic() - begun_s:.0f} s")
    print(total.line("fuzz"))
    return 1 if total.kinds.total() else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", action="append", choices=[f.name for f in FUZZERS])
    parser.add_argument("--processes", type=int, help="by default one a core")
    parser.add_argument("--case", type=int, help="repeat one case of --only in this process")
    parser.add_argument("--size", type=int, help="inputs of that case, if not the usual number")
    return parser.parse_args()


def _repeat(options: argparse.Namespace) -> int:
    fuzzer = BY_NAME[(options.only or [FUZZERS[0].name])[0]]
    job = Job(fuzzer.name, options.case, options.size or fuzzer.size)
    case = run_case(fuzzer, options.seed, job.number, job.size)
    for finding in case.findings:
        _show(finding, options.seed)
    print(f"{case.counted:,} inputs, {len(case.findings):,} findings")
    return 1 if case.findings else 0


def _show(finding: Finding, seed: str) -> None:
    print(f"--- {finding.fuzzer}: {finding.kind.value}: {finding.signature}")
    print(finding.detail[-DETAIL:].rstrip())
    print(
        f"--- again: make fuzz FUZZ_SEED={seed} ONLY={finding.fuzzer} "
        f"CASE={finding.case} SIZE={finding.size}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
