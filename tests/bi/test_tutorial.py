"""The tutorial on BI word by word, dbt and Superset with it, up to a dashboard that is seen.

Without those two it runs in `tests/docs/test_demo_blocks.py`, too. The pages on both come after it,
on the same demo.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.bi.conftest import DEADLINE_S, is_healthy
from tests.support.blocks import REPOSITORY, Block, Shell, needing, not_printed, write_files
from tests.support.eventually import eventually
from tests.support.kept_demo import KeptDemo, keeping
from tests.support.taps import installed

pytestmark = pytest.mark.stack

TUTORIAL: Final = "docs/bi-tutorial.md"
LAYER: Final = "docs/bi/semantic-layer.md"
SUPERSET: Final = "docs/bi/superset.md"
URL: Final = "http://127.0.0.1:8088"
SHOWN: Final = ("19,594.15", "41,505.12", "59,356.45", "46.4%", "40,687.92")
"""What the dashboard shows of the demo: one text of each chart."""
PICTURE: Final = os.environ.get("PSASTREAM_TEST_PICTURE")
SEEN: Final = REPOSITORY / "tests" / "support" / "dashboard_seen.py"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptDemo]:
    """The demo of the first hour, whose numbers the tutorial prints."""
    (block,) = needing("kept")
    (command,) = block.commands
    log = tmp_path_factory.mktemp("demo") / "demo.log"
    data = REPOSITORY / ".psastream" / "demo"
    with keeping(shlex.split(command), REPOSITORY, log, data) as kept:
        yield kept


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder that has what the pages take from the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (".venv", ".psastream", "connectors", "requirements"):
        (folder / name).symlink_to(REPOSITORY / name)
    shutil.copytree(REPOSITORY / "deploy", folder / "deploy")
    write_files(TUTORIAL, folder)
    return folder


def blocks_of(page: str) -> list[Block]:
    found = [block for need in ("demo", "bi") for block in needing(need) if block.page == page]
    return sorted(found, key=lambda block: block.line)


def test_no_page_is_left_out() -> None:
    assert {block.page for block in needing("bi")} == {TUTORIAL, LAYER, SUPERSET}


def test_the_pages_lead_to_metrics_and_to_a_dashboard(demo: KeptDemo, folder: Path) -> None:
    assert "all books agree" in demo.printed
    shell = Shell(folder)
    *commands, serve = [command for block in blocks_of(TUTORIAL) for command in block.commands]
    for command in commands:
        shell.run(command)
    assert not_printed(TUTORIAL, shell.printed) == []
    running = shell.begun(serve, folder / "superset.log")
    try:
        eventually(lambda: is_healthy(URL), deadline_s=DEADLINE_S)
        seen = dashboard_seen(folder)
    finally:
        running.end()
    assert "Utilization by week" in seen

    at = conninfo_to_dict(demo.addresses["read model"])
    layer = Shell(
        folder,
        given={
            "READ_MODEL_HOST": str(at["host"]),
            "READ_MODEL_PORT": str(at["port"]),
            "READ_MODEL_DATABASE": str(at["dbname"]),
            "READ_MODEL_PASSWORD": "reads-reports",
        },
    )
    for block in blocks_of(LAYER):
        for command in block.commands:
            layer.run(command)
    assert layer.printed.count("query completed") == 2

    shutil.copytree(
        folder / ".psastream/demo/bundle", folder / "deploy/superset", dirs_exist_ok=True
    )
    for block in blocks_of(SUPERSET):
        for command in block.commands:
            shell.run(command)


def dashboard_seen(folder: Path) -> str:
    """All text of the dashboard; skips without a browser, fails where real parts are required."""
    browser = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if browser is None:
        reason = "the dashboard was not looked at: chromium is missing, Debian's for example"
        if os.environ.get("PSASTREAM_TEST_REQUIRE_REAL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    python = installed("playwright", "bi").with_name("python")
    picture = folder / "superset.png"
    path = "/superset/dashboard/psastream/?standalone=2"
    done = subprocess.run(
        [python, SEEN, browser, URL, path, "admin", "admin", picture, *SHOWN],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if PICTURE:
        shutil.copyfile(picture, REPOSITORY / PICTURE)
    return done.stdout
