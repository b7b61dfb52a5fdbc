"""When the accounting of a partition holds, and what is said of it."""

import json

import pytest

from psastream.prove import LetterLine, Line, Proof, print_proof, proof_json
from streams.engine import Accounting
from streams.engine.tally import Tally


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
    assert "+2" in printed
    assert "does NOT hold" in printed
