"""What pages show of a running firm, run beside the demo of the first hour."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.bi_pictures import image, pictures
from tests.support.blocks import REPOSITORY, Shell, fences, needing, not_printed, write_files
from tests.support.kept_demo import KeptDemo
from tests.support.read_model import own_database

pytestmark = pytest.mark.stack

GOES_ON = ("--follow", "--watch", "readmodel run")
TUTORIAL = REPOSITORY / "docs" / "bi-tutorial.md"
PAGES = sorted({block.page for block in needing("demo")})
SAID = {
    "docs/bi-tutorial.md": ("22017.000000", "not for ana"),
    "docs/first-hour.md": ("Nordlicht", "Tax Code", "psa.status.project", "Ada Adler"),
    "docs/operations.md": ('"verdict"', "upsert_project"),
    "docs/sql.md": ("margin_by_project_month",),
}
"""What the answers of a page hold at least."""


@pytest.fixture(scope="module")
def read_model(first_hour: KeptDemo) -> Iterator[str]:
    """A database for a read model of one's own."""
    with own_database(first_hour.addresses["postgres"]) as url:
        yield url


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(
    first_hour: KeptDemo, read_model: str, folder: Path, page: str
) -> None:
    write_files(page, folder)
    given = {
        "PSASTREAM_READ_MODEL_URL": read_model,
        "PSASTREAM_PROCESSES": first_hour.variables["PSASTREAM_PROCESSES"],
    }
    shell = Shell(folder, begin=f". {first_hour.data_dir / 'env.sh'}", given=given)
    for block in needing("demo"):
        for command in block.commands if block.page == page else ():
            if any(word in command for word in GOES_ON) and "#" not in command:
                running = shell.begun(command, folder / "log")
                running.says("\n")
                assert running.end() == 0, running.log.read_text()
            else:
                shell.run(command)
    assert [text for text in SAID.get(page, ()) if text not in shell.printed] == []
    assert not_printed(page, shell.printed, but="bi") == []


def test_the_margins_of_the_tutorial_on_bi_are_those_of_the_books(first_hour: KeptDemo) -> None:
    """The demo's end has been compared with the books; it cuts them to two digits."""
    assert "all books agree" in first_hour.printed
    table = next(text for _, language, _, text in fences(TUTORIAL) if language == "text")
    rows = [line.split("|") for line in table.splitlines() if line.count("|") == 3][1:]
    margins = [f"{Decimal(margin.strip()):,.2f}" for *_, margin in rows]
    assert len(margins) == 12
    assert [margin for margin in margins if f" {margin} " not in first_hour.printed] == []


def test_pictures_show_what_first_queries_answer(
    first_hour: KeptDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSASTREAM_BOOTSTRAP_SERVERS", first_hour.addresses["kafka"])
    monkeypatch.setenv("PSASTREAM_REGISTRY_URL", first_hour.addresses["schema registry"])
    drawn = dict(pictures(first_hour.addresses["read model"]))
    assert [page for page, text in drawn.items() if image(page).read_text() != text] == [], (
        "run python -m tests.support.bi_pictures in the shell of a demo"
    )
