"""The page of Singer taps, done as it says: its files written, its commands run.

That the tap of the page reads so is shown with the tap itself: tests/integration/test_singer.py.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.polled.main import load_source
from connectors.singer.source import SingerConnectorConfig
from connectors.systems import Systems
from psastream.cli import app
from runtime.secrets import forget
from tests.support.pages import write_files


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = write_files("singer.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    said = [CliRunner().invoke(app, shlex.split(line)[1:]) for line in commands]
    assert [each.exit_code for each in said] == [0, 0], [each.output for each in said]
    tried = said[-1].output.split()
    assert {"project_ref=worklog:project:3", "seconds=3000", "currency=EUR"} <= set(tried)


def test_the_connector_file_of_the_page_makes_a_source(tmp_path: Path) -> None:
    write_files("singer.md", tmp_path)
    file = tmp_path / "worklog.json"
    file.write_text(
        file.read_text().replace("/opt/taps/worklog/bin/tap-rest-api-msdk", sys.executable)
    )
    try:
        source = load_source(
            file, {"WORKLOG_TOKEN": "t0kenCanary"}, Systems([tmp_path / "worklog"])
        )
    finally:
        forget("t0kenCanary")
    assert isinstance(source.config, SingerConnectorConfig)
    assert source.config.objects == ("entry",)
