"""`make prove-capture` in short, and that its verdict fails where something is missed."""

import pytest

from tests.prove.capture import OBJECTS, capture, main
from tests.prove.capture_judge import Judge
from tests.prove.capture_vendor import LAG_S, Table, Version

RECORDS = 2_000
TIES = 60


def test_nothing_is_missed_that_a_plain_poller_misses() -> None:
    outcome = capture(RECORDS, ties=TIES)
    assert outcome.missed == 0
    assert [judge.doubled for judge in outcome.judges] == [0, 0]
    assert sum(len(judge.missed) for judge in outcome.plain) > 0
    assert (outcome.vendor.changed, outcome.kills > 0) == (RECORDS, True)
    for obj in OBJECTS:
        table = outcome.vendor.tables[obj]
        assert table.deletes > 0
        assert table.restored > 0
    assert sum(judge.swept for judge in outcome.judges) > 0
    assert capture(RECORDS, ties=TIES).lines() == outcome.lines()


def test_without_the_overlap_the_verdict_fails(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--records", str(RECORDS), "--ties", str(TIES)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("missed=0 doubled=0 records=2000 ")
    assert main([*arguments, "--overlap", "0"]) == 1
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.startswith("missed=")
    assert not verdict.startswith("missed=0 ")


@pytest.mark.parametrize(
    ("version", "told", "missed"),
    [
        (Version(1, 0, 100.0), [0, 1], 0),
        (Version(1, 0, 100.0), [0], 1),
        (Version(1, 0, 100.0), [1, 0], 1),  # the older content came last
        (Version(0, 0, 100.0, is_deleted=True), [0, None], 0),
        (Version(0, 0, 100.0, is_deleted=True), [0], 1),
        (Version(0, 0, 100.0), [0, None], 1),  # a row that is there was told as deleted
    ],
)
def test_the_judge_counts_once_what_is_wrong_when_it_is_due(
    version: Version, told: list[int | None], missed: int
) -> None:
    table = Table("logged")
    table.rows["r"] = []
    judge = Judge(table)
    table.put("r", Version(0, 0, 0.0))
    table.put("r", version)
    for number in told:
        judge.publish("r", number)
    judge.check(100.0 + LAG_S - 1)
    assert len(judge.missed) == 0
    for _ in range(2):
        judge.check(100.0 + LAG_S)
        assert len(judge.missed) == missed
    late = None if version.is_deleted else version.number
    judge.publish("r", late)  # what comes too late was missed all the same
    judge.check(500.0)
    judge.end()
    assert len(judge.missed) == missed


def test_the_judge_leaves_to_sweeps_what_went_without_a_trace() -> None:
    table = Table("flagged")
    table.rows["r"] = []
    judge = Judge(table)
    table.put("r", Version(0, 0, 0.0))
    judge.publish("r", 0)
    judge.publish("r", 0)
    table.put("r", Version(-1, 0, 100.0, is_silent=True))
    judge.check(1_000.0)
    assert (judge.missed, judge.doubled, judge.swept) == (set(), 1, 0)
    judge.check(1_000.0, is_sweep=True)
    assert (len(judge.missed), judge.swept) == (1, 0)
