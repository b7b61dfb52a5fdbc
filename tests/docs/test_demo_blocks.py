"""What pages show of a running firm, run beside the demo of the first hour."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from sandbox.vendors.oauth import ENVIRONMENT_FILE
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


def shell_of(demo: KeptDemo, folder: Path) -> Shell:
    """A shell that knows the addresses of the demo, and how to sign in to its vendors."""
    database = conninfo_to_dict(demo.addresses["postgres"])
    names = {"HOST": "host", "PORT": "port", "USER": "user", "DATABASE": "dbname"}
    variables = {
        **json.loads((demo.data_dir / "credentials" / ENVIRONMENT_FILE).read_text()),
        **{f"INHOUSE_PSA_{name}": str(database[key]) for name, key in names.items()},
        "INHOUSE_PSA_PASSWORD": "",
    }
    return Shell(folder, variables, begin=f". {demo.data_dir / 'env.sh'}")


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(first_hour: KeptDemo, folder: Path, page: str) -> None:
    shell = shell_of(first_hour, folder)
    for block in needing("demo"):
        for command in block.commands if block.page == page else ():
            if any(word in command for word in GOES_ON) and "#" not in command:
                running = shell.begun(command, folder / "log")
                running.says("\n")
                assert running.end() == 0, running.log.read_text()
            else:
                shell.run(command)
    assert [text for text in SAID.get(page, ()) if text not in shell.printed] == []
