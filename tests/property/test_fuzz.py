"""The fuzzers in short, and that their frame finds what it is there to find.

`make fuzz` runs them at length.
"""

from __future__ import annotations

import pytest

from tests.fuzz.case import Fuzzer, Kind, run_case
from tests.fuzz.catalogue import FUZZERS
from tests.fuzz.pool import jobs_of, run_jobs
from tests.support import broken_fuzzers

SHARE = 12  # of a case's usual size


@pytest.mark.parametrize("fuzzer", FUZZERS, ids=lambda fuzzer: fuzzer.name)
def test_a_short_run_finds_nothing(fuzzer: Fuzzer) -> None:
    case = run_case(fuzzer, "short", 0, max(1, fuzzer.size // SHARE), is_watched=False)
    assert [finding.detail for finding in case.findings] == []
    assert case.counted > 0


def test_inputs_are_shared_by_weight_and_none_is_left_out() -> None:
    jobs = jobs_of(FUZZERS, 1_000_000)
    assert sum(job.size for job in jobs) == 1_000_000
    assert {job.fuzzer for job in jobs[: len(jobs) // 2]} == {fuzzer.name for fuzzer in FUZZERS}
    assert all(0 < job.size <= fuzzer.size for fuzzer in FUZZERS for job in jobs
               if job.fuzzer == fuzzer.name)  # fmt: skip


def test_every_kind_of_finding_is_found_and_the_run_goes_on() -> None:
    jobs = jobs_of(broken_fuzzers.FUZZERS, 120)
    done = list(run_jobs(jobs, "1", processes=1, catalogue="tests.support.broken_fuzzers"))
    assert sorted(each.job.fuzzer for each in done) == sorted(job.fuzzer for job in jobs)
    kinds = {each.job.fuzzer: {finding.kind for finding in each.findings} for each in done}
    assert kinds == {
        "sound": set(),
        "crashes": {Kind.CRASH},
        "ends": {Kind.CRASH},
        "hangs": {Kind.HANG},
        "drops": {Kind.SILENT_DROP},
        "disagrees": {Kind.DISAGREEMENT},
    }
    hung = next(each.findings[0] for each in done if each.job.fuzzer == "hangs")
    assert "_hangs" in hung.detail


def test_a_case_is_repeated_by_its_numbers() -> None:
    fuzzer = broken_fuzzers.BY_NAME["crashes"]
    one, again, other = (
        run_case(fuzzer, seed, 3, 40, is_watched=False) for seed in ("1", "1", "2")
    )
    assert one.findings == again.findings != other.findings
