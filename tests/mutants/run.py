"""Sample mutants, run the tests that reach each, and name those that no test notices.

`make mutants N=200 SEED=1`. Exit code 1 where less than 95 % of the sample are noticed. A mutant
that nothing could notice is listed with its reason in `equivalent.toml`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.mutants.places import Mutant

ROOT: Final = Path(__file__).parents[2]
EQUIVALENT: Final = Path(__file__).with_name("equivalent.toml")
PACKAGES: Final = ("tables", "streams/engine", "connectors/dispatch", "connectors/polled")
PURE: Final = {
    "unit": ["tests/unit", "tests/integration/test_engine_state_store.py"],  # needs a disk alone
    "property": ["tests/property"],
}
WANTED_PERCENT: Final = 95
WORKERS: Final = 2
# Imported once: each trial forks a process that has them and no thread; polars would start some.
PRELOADED: Final = [
    "aiohttp", "aiokafka", "confluent_kafka", "fastavro", "hypothesis", "orjson",
    "pydantic", "pytest", "structlog", "yaml",
]  # fmt: skip
FIRST_TESTS, FIRST_S = 25, 4.0  # most mutants are noticed by the tests nearest to them
BUDGET_S: Final = 60.0  # of CPU that tests took without a mutant
SPARE_S: Final = 30


@dataclass(frozen=True, slots=True)
class Reach:
    """What the tests reach: CPU seconds by test, tests by file and line, lines by test."""

    cpu_s: dict[str, float]
    tests: dict[str, dict[int, list[str]]]
    breadth: dict[str, int]

    def of(self, path: str, lines: range) -> list[str]:
        """Tests that reach any of the lines, the narrowest of each file first."""
        by_line = self.tests.get(path, {})
        found = {test for line in lines for test in by_line.get(line, ())}
        turns: Counter[str] = Counter()  # a file alone may be blind: the first of each, the second
        order: dict[str, tuple[bool, int, int]] = {}
        for test in sorted(found, key=lambda it: (self.breadth[it], it)):
            turns[_file(test)] += 1
            order[test] = self.cpu_s[test] > 1, turns[_file(test)], self.breadth[test]
        return sorted(order, key=order.__getitem__)

    def of_module(self, path: str) -> list[str]:
        lines = self.tests.get(path, {})
        return self.of(path, range(min(lines), max(lines) + 1)) if lines else []


def reach(directory: Path) -> Reach:
    """From one run of the tests, or from the last one where nothing has changed since."""
    directory.mkdir(parents=True, exist_ok=True)
    state = hashlib.sha256()
    for folder in (*(package.split("/")[0] for package in PACKAGES), "schemas", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            state.update(path.read_bytes())
    files = [directory / f"{state.hexdigest()[:16]}-{part}.json" for part in PURE]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
             "-m", "not crash and not stack", "-p", "tests.mutants.coverage_plugin",
             *PURE[file.stem.partition("-")[2]]],
            cwd=ROOT,
            env={**os.environ, "PSASTREAM_TEST_LINES": str(file),
                 "PSASTREAM_TEST_PROFILE": "mutants"},
            stdout=file.with_suffix(".log").open("w"),
        )
        for file in files
        if not file.exists()
    ]  # fmt: skip
    codes = [process.wait() for process in running]
    if any(codes):
        logs = ", ".join(str(log) for log in sorted(directory.glob("*.log")))
        sys.exit(f"mutants: tests fail without a mutant; see {logs}")
    found: dict[str, Any] = {}
    for file in files:
        found |= json.loads(file.read_text())
    tests: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    breadth = {}
    for test, record in found.items():
        breadth[test] = sum(len(lines) for lines in record["lines"].values())
        for path, lines in record["lines"].items():
            for line in lines:
                tests[path][line].append(test)
    return Reach({test: record["cpu_s"] for test, record in found.items()}, tests, breadth)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mutant, its module's source and the tests that reach it."""

    mutant: Mutant
    source: str
    tests: list[str]

    @property
    def line_text(self) -> str:
        return self.source.splitlines()[self.mutant.line - 1].strip()

    @property
    def key(self) -> tuple[str, str, str]:
        """What survives moved lines: file, text of the line, operator."""
        return self.mutant.path, self.line_text, self.mutant.operator


def candidates(known: Reach) -> tuple[list[list[Candidate]], int]:
    """The mutants of each place that tests reach, and how many places none reaches."""
    from tests.mutants.places import Layout, mutants_of

    places: list[list[Candidate]] = []
    unreached = 0
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            source, name = path.read_text(), str(path.relative_to(ROOT))
            layout = Layout.of(source)
            by_place: dict[tuple[int, int], list[Mutant]] = defaultdict(list)
            for mutant in mutants_of(path, ROOT):
                by_place[mutant.line, mutant.column].append(mutant)
            for place, found in sorted(by_place.items()):
                tests = known.of(name, layout.lines(*place))
                if layout.runs_at_import(*place):
                    # Which test imports the module first is chance.
                    tests = list(dict.fromkeys([*tests, *known.of_module(name)]))
                unreached += not tests
                if tests:
                    places.append([Candidate(mutant, source, tests) for mutant in found])
    return places, unreached


def survives(candidate: Candidate, known: Reach) -> bool:
    """Whether every test passes; the nearest are tried first, then as many as the budget has."""
    from tests.mutants.places import mutated

    source = mutated(candidate.mutant, candidate.source)
    first = _within(candidate.tests[:FIRST_TESTS], known, FIRST_S)
    rest = [test for test in _within(candidate.tests, known, BUDGET_S) if test not in set(first)]
    return all(
        _trial(candidate.mutant.path, source, tests, known) for tests in (first, rest) if tests
    )


def _file(test: str) -> str:
    return test.partition("::")[0]


def _within(tests: Sequence[str], known: Reach, budget_s: float) -> list[str]:
    chosen: list[str] = []
    for test in tests:
        budget_s -= known.cpu_s[test]
        if chosen and budget_s < 0:
            break
        chosen.append(test)
    return sorted(chosen, key=_file)  # fixtures of a module are set up once


def _trial(path: str, source: str, tests: list[str], known: Reach) -> bool:
    """Whether the tests pass on a module of this source."""
    from tests.mutants.patience import await_end
    from tests.mutants.trial import try_tests

    limit_s = SPARE_S + int(4 * sum(known.cpu_s[test] for test in tests))
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=try_tests, args=(str(ROOT), path, source, tests, limit_s))
    process.start()
    await_end(process)  # of CPU seconds it has a limit of its own
    assert process.exitcode not in (4, 5), f"pytest could not run {tests}"
    return process.exitcode == 0


def change(candidate: Candidate) -> str:
    """The line as it is and as the mutant has it."""
    from tests.mutants.places import mutated

    before = candidate.source.splitlines()
    after = mutated(candidate.mutant, candidate.source).splitlines()
    pairs = [(a, b) for a, b in zip(before, after, strict=False) if a != b]
    old, new = pairs[0] if pairs else (candidate.line_text, "(removed)")
    return f"      - {old.strip()}\n      + {new.strip()}"


def equivalents() -> dict[tuple[str, str, str], str]:
    """Reasons by file, text of the line and operator."""
    rows = tomllib.loads(EQUIVALENT.read_text()).get("mutant", [])
    return {(row["file"], row["line"], row["operator"]): row["reason"] for row in rows}


def sample(places: list[list[Candidate]], count: int, seed: int) -> Iterator[Candidate]:
    """One mutant of each of `count` places, by the seed.

    A change elsewhere draws no other place, so that a survivor is seen again until it is noticed.
    """

    def drawn(candidate: Candidate, *more: object) -> bytes:
        text = f"{seed}|{candidate.mutant.path}|{candidate.line_text}|{more}"
        return hashlib.sha256(text.encode()).digest()

    places = sorted(places, key=lambda place: drawn(place[0], place[0].mutant.column))
    for place in places[:count]:
        number = min(range(len(place)), key=lambda at: drawn(place[at], at))
        yield place[number]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="paths that begin so")
    parser.add_argument("--data-dir", type=Path, default=ROOT / ".psastream" / "mutants")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    known = reach(options.data_dir)
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    places, unreached = candidates(known)
    places = [each for each in places if each[0].mutant.path.startswith(options.only)]
    harmless = equivalents()
    chosen = list(sample(places, options.count, options.seed))
    tried = [candidate for candidate in chosen if candidate.key not in harmless]
    survivors = []
    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes = pool.map(lambda candidate: survives(candidate, known), tried)
        for number, (candidate, survived) in enumerate(zip(tried, outcomes, strict=True), start=1):
            if number % 20 == 0:
                print(f"{number} of {len(tried)} tried", file=sys.stderr, flush=True)
            if survived:
                survivors.append(candidate)
                mutant = candidate.mutant
                print(f"survived  {mutant.path}:{mutant.line}:{mutant.column} {mutant.operator}")
                print(change(candidate), flush=True)
    killed = len(tried) - len(survivors)
    percent = 100 * killed / len(tried) if tried else 100.0
    print(
        f"seed {options.seed}: {len(chosen)} mutants of {len(places)} places in"
        f" {time.monotonic() - started:.0f} s: {killed} killed, {len(survivors)} survived,"
        f" {len(chosen) - len(tried)} equivalent: {percent:.1f} %"
        f" ({unreached} places are reached by tests on real parts only)"
    )
    return 0 if percent >= WANTED_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
