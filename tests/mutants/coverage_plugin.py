"""A pytest plugin: which lines of which files each test runs, and its CPU seconds, as JSON.

`PSASTREAM_TEST_LINES` names the file it writes.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("tables", "streams/engine", "connectors/dispatch", "connectors/polled")

_recorder = coverage.Coverage(
    data_file=None, config_file=False, include=[f"{ROOT / package}/*" for package in PACKAGES]
)
_cpu_s: dict[str, float] = {}


def pytest_sessionstart() -> None:
    _recorder.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _recorder.switch_context(item.nodeid)
    started = time.process_time()
    try:
        return (yield)
    finally:
        _cpu_s[item.nodeid] = time.process_time() - started
        _recorder.switch_context("")


def pytest_sessionfinish() -> None:
    _recorder.stop()
    data = _recorder.get_data()
    lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for file in data.measured_files():
        path = str(Path(file).relative_to(ROOT))
        for line, tests in data.contexts_by_lineno(file).items():
            for test in filter(None, tests):
                lines[test][path].append(line)
    found = {test: {"cpu_s": _cpu_s[test], "lines": files} for test, files in lines.items()}
    Path(os.environ["PSASTREAM_TEST_LINES"]).write_text(json.dumps(found))
