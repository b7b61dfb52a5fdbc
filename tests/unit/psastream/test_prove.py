"""When the accounting of a partition holds, and what is said of it."""

import json

import pytest

from psastream.prove import LetterLine, Line, Proof, print_proof, proof_json, tallies_of
from streams.engine import Accounting
from streams.engine.tally import Tally, tally_key


def line(consumed: int, found: int, *, is_whole: bool) -> Line:
    accounting = Accounting(applied=consumed - 2, stale=1, dead_lettered=1)
    return Line("g", "src", 0, Tally(0, 99, accounting), found, is_whole)


@pytest.mark.parametrize(
    ("consumed", "found", "is_whole", "holds"),
    [
        (10, 10, True, True),
        (10, 11, True, False),  # one has vanished
        (10, 9, True, False),  # one was counted twice
        (10, 9, False, True),  # one is compacted away
        (10, 11, False, False),
    ],
)
def test_i5_all_that_is_found_is_accounted_for(
    consumed: int, found: int, is_whole: bool, holds: bool
) -> None:
    assert line(consumed, found, is_whole=is_whole).holds is holds


def test_i5_of_a_system_that_the_landscape_has_dropped_nothing_is_proved() -> None:
    """Its topics may be deleted; what the state tells of them stays."""
    first, last = (Tally(0, end, Accounting(applied=end)) for end in (5, 6))
    records = [
        (0, tally_key("src.old.projects"), last.to_bytes()),
        (0, tally_key("src.new.projects"), first.to_bytes()),
        (1, tally_key("src.new.projects"), first.to_bytes()),
        (0, b"src.new.projects", b"no tally"),
        (0, tally_key("src.new.projects"), last.to_bytes()),
        (1, tally_key("src.new.projects"), None),
    ]
    found = tallies_of(records, ["src.new.projects"])
    assert found == {("src.new.projects", 0): last, ("src.new.projects", 1): first}


def test_dead_letters_must_be_there_unless_they_have_expired() -> None:
    assert LetterLine("src", counted=2, found=2, is_whole=True).holds
    assert not LetterLine("src", counted=2, found=1, is_whole=True).holds
    assert LetterLine("src", counted=2, found=1, is_whole=False).holds


def test_a_proof_names_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    proof = Proof([line(10, 10, is_whole=True), line(10, 12, is_whole=True)], [])
    assert not proof.holds
    assert [each["holds"] for each in json.loads(proof_json(proof))["lines"]] == [True, False]
    print_proof(proof)
    printed = capsys.readouterr().out
    assert "FAIL  g                  20 = 16 applied + 2 stale + 0 parked + 2 dead" in printed
    assert "      src|0  0-99: 10 accounted, 12 found, +2" in printed
    assert printed.count("src|0") == 1
    assert "does NOT hold: 1 differ" in printed


def test_a_proof_that_holds_is_a_line_a_group_unless_all_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    proof = Proof([line(10, 10, is_whole=True), line(10, 9, is_whole=False)], [])
    print_proof(proof)
    assert capsys.readouterr().out.splitlines() == [
        "ok    g                  20 = 16 applied + 2 stale + 0 parked + 2 dead",
        "accounting holds: 20 records of 2 partitions",
        "  = applied + stale + parked + dead-lettered",
    ]
    print_proof(proof, is_whole=True)
    printed = capsys.readouterr().out
    assert "10 found, =" in printed and "9 found, some gone" in printed
