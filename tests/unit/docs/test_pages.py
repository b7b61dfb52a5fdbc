"""Pages and codes at the command line, and that what messages name is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from psastream.cli import app
from psastream.pages import print_page
from tests.support.catalogue_pages import DOCS
from tests.support.terminals import WIDTH, lines_on_terminal
from tests.support.wheel import PACKAGES, REPOSITORY

NAMED = re.compile(r"psastream docs ([a-z][a-z/-]*)")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the product that is no docstring, whole ones and parts of f-strings."""
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            source = path.read_text()
            if "docs" not in source:
                continue
            nodes = list(ast.walk(ast.parse(source)))
            alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            for node in nodes:
                if isinstance(node, ast.Constant) and id(node) not in alone:
                    yield str(path), str(node.value)


def test_messages_name_pages_that_are_there_wherever_the_product_is() -> None:
    """A file of the checkout is not in an installed package."""
    told = list(texts())
    named = {name for _, text in told for name in NAMED.findall(text)}
    assert {"configuration", "runbooks/database-silent"} <= named
    assert [name for name in named if not (DOCS / f"{name}.md").is_file()] == []
    assert [(path, text) for path, text in told if re.search(r"docs/[a-z/-]+\.md", text)] == []


def test_every_page_is_listed_with_its_title() -> None:
    listed = run("docs").stdout.splitlines()
    assert len(listed) == len(list(DOCS.rglob("*.md")))
    assert "errors  Errors" in listed
    assert all(line.partition("  ")[2] for line in listed)


@pytest.mark.parametrize("name", ["runbooks/dead-letters", "docs/runbooks/dead-letters.md"])
def test_a_page_is_printed_as_it_is_to_a_pipe(name: str) -> None:
    assert run("docs", name).stdout == (DOCS / "runbooks" / "dead-letters.md").read_text()


@pytest.mark.parametrize("name", ["errors", "runbooks/commands-rejected"])
def test_a_page_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    lines = lines_on_terminal(monkeypatch, lambda: print_page(name))
    shown = [re.sub(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", line) for line in lines]
    assert max(map(len, shown)) <= WIDTH
    assert not any("<a id" in line for line in shown)


def test_a_code_is_explained_with_the_pages_that_name_it() -> None:
    told = run("explain", "record.invalid_entity").stdout.splitlines()
    assert told[0].startswith("record.invalid_entity: ")
    assert told[1] == "  the process: dead-letters, goes on"
    assert told[-1] == "  more: psastream docs errors"
    for line in told[2:]:
        page = line.removeprefix("  more: psastream docs ")
        assert "record.invalid_entity" in (DOCS / f"{page}.md").read_text()


def test_every_alert_is_explained_with_its_runbook() -> None:
    rules = (REPOSITORY / "deploy" / "prometheus" / "rules").glob("*.yml")
    text = "".join(path.read_text() for path in rules)
    alerts = re.findall(r"alert: (\w+)(?:.|\n)*?runbook: docs/(\S+)\.md", text)
    assert ("PsastreamStateGap", "runbooks/state-gap") in alerts
    for alert, page in alerts:
        told = run("explain", alert).stdout.splitlines()
        title = (DOCS / f"{page}.md").read_text().splitlines()[0].removeprefix("# ")
        assert told[0] == f"{alert}: {title}"
        assert told[1].startswith("  severity: ")
        assert len(told[2]) > 20, alert
        assert told[3] == f"  what to do: psastream docs {page}"
    page = (DOCS / "runbooks" / "state-gap.md").read_text()
    assert run("docs", "PsastreamStateGap").stdout == page


def test_every_exception_of_a_table_is_explained() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "tables").rglob("*.py"))
    codes = set(re.findall(r'"((?:billing|engagement|order|person)\.[a-z_]+)"', sources))
    assert {"order.unshown", "engagement.not_asked", "billing.over_cap"} <= codes
    for code in codes:
        head, passage, *_, more = run("explain", code).stdout.splitlines()
        assert head.startswith(f"{code}: an exception")
        assert code in passage
        assert more.startswith("  more: psastream docs ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "PsastreamStatGap"), "did you mean PsastreamStateGap?"),
        (("docs", "PsastreamStatGap"), "did you mean PsastreamStateGap?"),
        (("explain", "order.unshwn"), "did you mean order.unshown?"),
        (("explain", "fatal.confg"), "there is no code fatal.confg; did you mean fatal.config?"),
        (("docs", "erors"), "there is no page erors; did you mean errors?"),
        (("docs", "../README"), "there is no page ../README"),
    ],
)
def test_what_there_is_not_is_told(arguments: tuple[str, ...], said: str) -> None:
    shown = run(*arguments)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert said in shown.stderr
