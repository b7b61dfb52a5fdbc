"""Which tests are tried on a mutant."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.mutants.run import ROOT, Reach


def test_tests_of_every_file_take_turns_and_slow_ones_wait() -> None:
    cpu_s = {"a::1": 0.1, "a::2": 0.1, "a::3": 0.1, "b::1": 0.1, "b::2": 9.0}
    breadth = {"a::1": 3, "a::2": 2, "a::3": 1, "b::1": 9, "b::2": 1}
    known = Reach(cpu_s, {"m.py": {5: ["a::1", "a::2", "b::1"], 6: ["a::3", "b::2"]}}, breadth)
    assert known.of("m.py", range(5, 7)) == ["a::3", "a::2", "b::1", "a::1", "b::2"]
    assert known.of("m.py", range(6, 7)) == ["a::3", "b::2"]
    assert known.of("other.py", range(9)) == []


def test_what_a_shared_fixture_runs_is_reached_by_every_test_that_asks_for_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_shared.py").write_text(
        "import pytest\n"
        "from tables.foundation.ledger import LedgerEntry, withdraw\n"
        "@pytest.fixture(scope='module')\n"
        "def parts(): return withdraw(LedgerEntry(), 1)\n"
        "@pytest.fixture(scope='module')\n"
        "def again(parts): return parts\n"
        "def test_first(parts): assert parts\n"
        "def test_later(again): assert again\n"
        "def test_other(): pass\n"
    )
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path,
         "-p", "tests.mutants.coverage_plugin", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PSASTREAM_TEST_LINES": str(tmp_path / "lines.json")},
        check=True,
    )  # fmt: skip
    found = json.loads((tmp_path / "lines.json").read_text())
    files = {test.rpartition("::")[2]: set(record["lines"]) for test, record in found.items()}
    assert files == {
        "test_first": {"tables/foundation/ledger.py"},
        "test_later": {"tables/foundation/ledger.py"},
    }
