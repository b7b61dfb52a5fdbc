"""The page of Singer taps: its connector file makes a source.

That the tap of the page reads so is shown with the tap itself: tests/integration/test_singer.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from connectors.polled.main import load_source
from connectors.singer.source import SingerConnectorConfig
from connectors.systems import Systems
from runtime.secrets import forget
from tests.support.blocks import write_files


def test_the_connector_file_of_the_page_makes_a_source(tmp_path: Path) -> None:
    write_files("docs/singer.md", tmp_path)
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
