"""Each fault of a bad vendor breaks the clause that is about it, and no other."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import pytest

from connectors.systems import Systems
from psastream.conformance.clauses import CLAUSES, FIRST
from psastream.conformance.suite import Finding, judge
from psastream.system import read_system
from tests.conformance import test_bad_deltas, test_bad_queues
from tests.conformance.bad_vendor import MAPPING, vendor_with, write_visits
from tests.support.examples import TIMES
from tests.support.folders import folder_of

FAULTS: Final = {
    "skips ties": "ties",
    "knows better": "late rows",
    "sweeps the news": "silent changes",
    "short is the end": "short pages",
    "pages for ever": "endless paging",
    "follows links": "own host",
    "no right is no row": "refusal is not empty",
    "hammers": "patience",
    "never gives up": "lasting faults",
    "leaks": "secrets",
    "binary money": "exact values",
    "stamps its reads": "told once",
    "trusts the order": "restart",
    "drops what it cannot read": "odd rows",
    "expects rows": "odd rows",
    "stops at strangers": "new columns",
    "expects values": "nulls",
    "counts on one of each": "doubled rows",
    "absent is null": "missing columns",
    "id of its own": "one id",
    "no deletes": "deletes",
    "no fresh token": "fresh token",
    "hopes for other credentials": "denied",
    "one page is all": "whole list",
    "news are new rows": "changes",
    "deleted is deleted": "restored rows",
    "half a list is a list": "passing faults",
    "spends the day's allowance": "documented answers",
}
"""Fault of the code and the clause that is broken by it."""
ALSO: Final = {
    "half a list is a list": {"restart"},
    "never gives up": {"passing faults"},
    "stamps its reads": {"doubled rows", "exact values"},
    "trusts the order": {"passing faults"},
    "news are new rows": {"odd rows"},
}
"""What else a fault breaks by its nature."""
OTHERS: Final = 3
"""Clauses that a fault must leave whole, drawn for each; all of them in `make properties`."""
FOLDERS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "samples": (MAPPING.replace("true: active, false: closed", "true: closed, false: active"), {}),
    "emptied list": (MAPPING, {"max.delete.ratio": 1}),
}
"""Clauses that are broken by what a folder says: its mapping and its connector file."""


DECLARED: Final[dict[str, tuple[str, str, str, str]]] = {
    "window": ("hubspot", "deal", "code: [VALIDATION_ERROR]", "code: [OTHER]"),
    "documented answers": ("hubspot", "deal", "words: daily", "words: yearly"),
    "whole list": ("hubspot", "deal", "absent_is_end: true", "absent_is_end: false"),
    "changes": ("harvest", "expense", "[updated_at, created_at]}", "[updated_at], format: date}"),
    "moving pages": (
        "harvest", "expense", "{type: json_link, next_url_path: links.next, limit_param: per_page}",
        "{type: json_link, next_url_path: links.next, limit_param: per_page, slides: false}",
    ),
}  # fmt: skip
"""Clause, and what a declaration says for what the API documents: system, object, right, wrong."""
NUMBERED: Final = (
    "{type: link, path: links.next, token_param: cursor}",
    "{type: page, param: page, link_path: links.next}",
)
"""How an API documents pages that it counts, and tells the address of the next."""


def broken(
    parent: Path,
    *faults: str,
    clauses: tuple[str, ...] = (),
    mapping: str = MAPPING,
    **source: object,
) -> dict[str, str]:
    """What is seen of each clause that a vendor with faults breaks."""
    folder = write_visits(parent, mapping, **source)
    system = Systems([folder]).read("visits")
    found = judge(folder, system, vendor_with(*faults), clauses=clauses)
    return {finding.clause: finding.broken for finding in found if finding.broken}


def test_a_sound_vendor_breaks_nothing(tmp_path: Path) -> None:
    assert broken(tmp_path) == {}


@pytest.mark.parametrize(("fault", "clause"), FAULTS.items())
def test_a_fault_breaks_the_clause_that_is_about_it_alone(
    tmp_path: Path, fault: str, clause: str
) -> None:
    others = sorted(CLAUSES.keys() - {clause, *FIRST, *ALSO.get(fault, ())})
    drawn = random.Random(fault).sample(others, OTHERS) if TIMES == 1 else others
    drawn = [] if clause in FIRST else drawn
    assert broken(tmp_path, fault, clauses=(clause, *drawn)).keys() == {clause}


@pytest.mark.parametrize("clause", FOLDERS)
def test_a_folder_breaks_the_clause_that_is_about_it(tmp_path: Path, clause: str) -> None:
    mapping, source = FOLDERS[clause]
    assert broken(tmp_path, clauses=(clause,), mapping=mapping, **source).keys() == {clause}


@pytest.mark.parametrize("clause", DECLARED)
def test_a_declaration_that_is_wrong_breaks_the_clause_that_is_about_it(
    tmp_path: Path, clause: str
) -> None:
    like, obj, right, wrong = DECLARED[clause]
    folder = folder_of(tmp_path, f"{like}_eu", like)
    mapping = (folder / "mapping.yaml").read_text()
    declared = mapping.replace("vendor: rest\n", "").replace(f"vendor: {like}\n", "vendor: rest\n")
    (folder / "mapping.yaml").write_text(declared)
    for name, old, new in (
        ("source.json", f"src.{like}", f"src.{like}_eu"),
        ("rest.yaml", right, wrong),
        *([("conformance.yaml", *NUMBERED)] if clause == "moving pages" else []),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    system, vendor = read_system(folder)
    found = judge(folder, system, vendor, [obj], (clause,))
    assert [finding.clause for finding in found if finding.broken] == [clause]


def test_every_clause_is_broken_by_some_fault() -> None:
    assert (
        CLAUSES.keys()
        - {*FAULTS.values(), *FOLDERS, *DECLARED}
        - {*test_bad_deltas.FAULTS.values(), *test_bad_queues.FAULTS.values()}
        == set()
    )


def test_what_was_seen_is_told(tmp_path: Path) -> None:
    seen = broken(tmp_path, "no deletes", clauses=("deletes",))
    assert seen == {"deletes": "told as deleted: nothing; deleted: 7003"}


def test_where_rows_have_no_id_nothing_else_is_judged(tmp_path: Path) -> None:
    folder = write_visits(tmp_path)
    system = Systems([folder]).read("visits")
    found = judge(folder, system, vendor_with("id of its own"))
    assert found[0] == Finding("visit", "one id", broken=found[0].broken)
    assert {finding.spared for finding in found[1:]} == {"'one id' is broken"}
