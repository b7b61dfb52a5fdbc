"""The documentation: true to the code, links that lead somewhere, one title a page."""

import re
from itertools import chain
from pathlib import Path

import pytest
import yaml

from tests.support.catalogue import CATALOGUE
from tests.support.catalogue_pages import BLOCKS, DOCS, rendered
from tests.support.faults import named_without_marker, proofs

REPOSITORY = DOCS.parent
PAGES = sorted(
    chain(
        REPOSITORY.glob("*.md"),
        DOCS.rglob("*.md"),
        (REPOSITORY / "deploy").rglob("*.md"),
        (REPOSITORY / "connectors").rglob("*.md"),
    )
)
RUNBOOKS = sorted(path for path in DOCS.glob("runbooks/*.md") if path.name != "README.md")
DECISIONS = sorted(path for path in DOCS.glob("adr/*.md") if path.name != "README.md")

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
REPOSITORY_PATH = re.compile(
    r"`((?:schemas|tables|streams|connectors|runtime|psastream|sandbox|deploy|tests|bench|docs)"
    r"/[\w./-]*)`"
)


def page_id(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def prose(path: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", path.read_text())


def headings(path: Path, level: int) -> list[str]:
    return [text for marks, text in HEADING.findall(prose(path)) if len(marks) == level]


def anchors(path: Path) -> set[str]:
    """Anchors as GitHub makes them from headings."""
    plain = [re.sub(r"[^\w\- ]", "", text.lower()) for _, text in HEADING.findall(prose(path))]
    return {text.replace(" ", "-") for text in plain}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_a_page_has_one_title(path: Path) -> None:
    assert len(headings(path, 1)) == 1


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_a_terminal_shows_what_a_browser_does(path: Path) -> None:
    assert "&lt;" not in prose(path)


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(prose(path)):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_files_a_page_names_exist(path: Path) -> None:
    for name in REPOSITORY_PATH.findall(prose(path)):
        assert (REPOSITORY / name).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_a_page_holds_no_path_of_a_machine(path: Path) -> None:
    text = path.read_text()

    assert re.findall(r"(?<![\w.])/(?:home|work|root|tmp|Users)/", text) == []


@pytest.mark.parametrize("page", sorted(BLOCKS))
def test_tables_made_from_the_code_are_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text() == rendered(page), (
        "run: python -m tests.support.catalogue_pages"
    )


def test_topics_that_pages_name_exist() -> None:
    names = {topic.name for topic in CATALOGUE}
    # The engine's topics are named by a pattern, Connect's own are listed with the others.
    named = re.compile(r"`((?:psa|src)\.[a-z_]+(?:\.[a-z_]+)*)`")

    for path in PAGES:
        for name in named.findall(prose(path)):
            assert name in names, f"{page_id(path)}: {name}"


@pytest.mark.parametrize("path", RUNBOOKS, ids=page_id)
def test_a_runbook_says_meaning_check_fix_and_verify(path: Path) -> None:
    assert headings(path, 2) == ["Meaning", "Check", "Fix", "Verify"]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    linked = {
        (rule["alert"], rule["labels"]["severity"], Path(rule["annotations"]["runbook"]).name)
        for path in (REPOSITORY / "deploy" / "prometheus" / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| \[[\w-]+\]\(([\w-]+\.md)\) \|$", re.MULTILINE)
    listed = set(row.findall((DOCS / "runbooks" / "README.md").read_text()))

    assert listed == linked
    assert {name for _, _, name in linked} == {path.name for path in RUNBOOKS}


@pytest.mark.parametrize("path", DECISIONS, ids=page_id)
def test_a_decision_says_why_and_what_else_there_was(path: Path) -> None:
    assert re.fullmatch(r"\d{8}-[a-z0-9-]+\.md", path.name)
    assert headings(path, 2) == ["Context", "Decision", "Alternatives", "Consequences"]
    assert "**Summary.**" in path.read_text()


def test_every_decision_is_listed() -> None:
    listed = set(LINK.findall((DOCS / "adr" / "README.md").read_text()))

    assert listed == {path.name for path in DECISIONS}


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) < 150


def test_invariants_are_numbered_in_order() -> None:
    rows = re.findall(r"^\| (I\d+) \|", (DOCS / "invariants.md").read_text(), re.MULTILINE)

    assert rows == [f"I{number}" for number in range(1, 13)]


def test_a_fault_is_decided_in_a_file_that_exists() -> None:
    places = {proof.place for proof in proofs()}

    assert {place for place in places if not (REPOSITORY / place).is_file()} == set()


def test_what_is_named_after_a_kind_of_fault_is_listed_with_it() -> None:
    assert named_without_marker() == []
