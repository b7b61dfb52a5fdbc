"""What a line of the latency benchmark says, and what processor time it counts."""

import subprocess
import sys

import psutil
import pytest

from bench.latency import CpuShare, CpuShares, Line, text
from bench.probes import Latency
from bench.processes import CpuMeter

BURN = """
import subprocess, sys, time
while time.process_time() < 0.1: pass
if len(sys.argv) > 1:
    subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
else:
    print(flush=True)
    sys.stdin.read()
"""


def test_processor_time_is_of_a_process_and_all_it_has_started() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURN, BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # both have burned
        meter = CpuMeter([psutil.Process(process.pid)])
        found = meter.seconds()
        process.communicate()
    assert found > 0.15
    assert meter.seconds() == found  # what has ended still counts


def test_processor_time_is_counted_from_the_end_of_the_warm_up() -> None:
    seconds = {"system": 7.0, "broker": 3.0}
    shares = CpuShares(lambda: seconds["system"], lambda: seconds["broker"])
    shares.begin()
    seconds.update(system=9.0, broker=3.5)
    assert shares.share(1_000) == CpuShare(system=2.0, broker=0.5)


def test_a_line_says_waiting_and_processor_time() -> None:
    found = Latency(2_000, 0, 17.04, 41.0, 55.0, 60.0)
    line = text(Line("psastream engine", "1", 100, found, cpu=CpuShare(3.2104, 1.5)))
    assert " ".join(line.split()) == (
        "psastream engine 100/s 2,000 probes p50 17.0 p99 41.0 p99.9 55.0 max 60.0 ms "
        "processor ms a change 3.210, broker 1.500"
    )


@pytest.mark.parametrize(("missing", "end"), [(0, "ms"), (3, "3 NOT SEEN")])
def test_a_line_says_what_was_not_seen(missing: int, end: str) -> None:
    assert text(Line("a", "1", 1, Latency(1, missing, 1.0, 1.0, 1.0, 1.0))).endswith(end)
