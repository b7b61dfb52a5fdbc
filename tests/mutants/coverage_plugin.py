"""A pytest plugin: which lines of which files each test runs, and its CPU seconds, as JSON.

What a fixture of a module or of the session runs counts for every test that asks for it.
`PSASTREAM_TEST_LINES` names the file it writes.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import coverage
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("tables", "streams/engine", "connectors/dispatch", "connectors/polled")

_recorder = coverage.Coverage(
    data_file=None, config_file=False, include=[f"{ROOT / package}/*" for package in PACKAGES]
)
_cpu_s: dict[str, float] = {}
_shared: dict[str, set[str]] = defaultdict(set)  # fixtures that outlive a test, by test
_contexts: list[str] = [""]


def pytest_sessionstart() -> None:
    _recorder.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    for fixtures in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
        _shared[item.nodeid] |= {_name(each) for each in fixtures if each.scope != "function"}
    started = time.process_time()
    with _context(item.nodeid):
        try:
            return (yield)
        finally:
            _cpu_s[item.nodeid] = time.process_time() - started


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[object]:
    if fixturedef.scope == "function":
        return (yield)
    with _context(_name(fixturedef)):
        return (yield)


@contextmanager
def _context(name: str) -> Iterator[None]:
    _contexts.append(name)
    _recorder.switch_context(name)
    try:
        yield
    finally:
        _contexts.pop()
        _recorder.switch_context(_contexts[-1])


def _name(fixture: pytest.FixtureDef[Any]) -> str:
    return f"{fixture.baseid}::fixture::{fixture.argname}"


def pytest_sessionfinish() -> None:
    _recorder.stop()
    data = _recorder.get_data()
    users: dict[str, set[str]] = defaultdict(set)
    for test, fixtures in _shared.items():
        users[test].add(test)
        for fixture in fixtures:
            users[fixture].add(test)
    lines: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for file in data.measured_files():
        path = str(Path(file).relative_to(ROOT))
        for line, contexts in data.contexts_by_lineno(file).items():
            for test in {user for context in contexts for user in users[context]}:
                lines[test][path].add(line)
    found = {
        test: {"cpu_s": _cpu_s[test], "lines": {path: sorted(at) for path, at in files.items()}}
        for test, files in lines.items()
    }
    Path(os.environ["PSASTREAM_TEST_LINES"]).write_text(json.dumps(found))
