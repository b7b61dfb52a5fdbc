"""What pages show of a running firm, run beside the demo of the first hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.blocks import Shell, needing
from tests.support.kept_demo import KeptDemo

pytestmark = pytest.mark.stack

GOES_ON = ("--follow", "--watch")
PAGES = sorted({block.page for block in needing("demo")})
SAID = {
    "docs/first-hour.md": ("Nordlicht", "Tax Code", "psa.status.project", "Ada Adler"),
    "docs/operations.md": ('"verdict"', "upsert_project"),
    "docs/sql.md": ("margin_by_project_month",),
}
"""What the answers of a page hold at least."""


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(first_hour: KeptDemo, folder: Path, page: str) -> None:
    shell = Shell(folder, begin=f". {first_hour.data_dir / 'env.sh'}")
    for block in needing("demo"):
        for command in block.commands if block.page == page else ():
            if any(word in command for word in GOES_ON) and "#" not in command:
                running = shell.begun(command, folder / "log")
                running.says("\n")
                assert running.end() == 0, running.log.read_text()
            else:
                shell.run(command)
    assert [text for text in SAID.get(page, ()) if text not in shell.printed] == []
