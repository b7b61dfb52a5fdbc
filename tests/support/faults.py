"""Kinds of fault that outside inputs have shown, and the tests that show them gone.

A test names the kind by `@pytest.mark.fault(NUMBER, place=FILE)`; this module finds the markers
without importing the tests.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parents[1]

KINDS: Final = {
    "A1": "a refusal whose cure is no field of the command",
    "A2": "passing conflicts and unlisted answers read as refusals for good",
    "A3": "billed time that moves, is corrected, re-rated, unapproved or deleted",
    "A4": "look before create, on an index that lags behind the writes",
    "A5": "an heir that acts while its predecessor's call is still under way",
    "A6": "a frozen process that goes on after its heir",
    "A7": "texts that look like numbers compared as numbers",
    "A8": "the refusal of one record read as the account's",
    "B1": "values that the contract's type allows and the code cannot hold",
    "B2": "answers to a write or a look-up that have no readable shape",
    "B3": "rows and pages that have no readable shape",
    "B4": "texts that cannot be encoded",
    "B5": "rows without a key",
    "B6": "schemas the registry allows: other formats, several versions in one chunk",
    "B7": "damaged local state",
    "B8": "values of the vendor used before the page is checked",
    "B9": "what Debezium or Connect cannot digest",
    "B10": "tables stricter than their contracts",
    "C1": "deletes that no guard has seen",
    "C2": "a simulated vendor with its author's vocabulary",
    "C3": "facts with validity in time used as if they held always",
    "C4": "plausibility bounds that are blind to the currency",
    "C5": "choices made anew for ever; ids of vendors compared as text",
    "C6": "corrections by negative entries",
    "C7": "partial invoices, credit memos, double invoices",
    "C8": "contract rules that do not bill by the hour",
    "C9": "a measure that exists only where something happened",
    "C10": "working patterns ignored",
    "C11": "clocks that are ahead or jump",
    "C12": "a topic that was deleted and made again",
    "C13": "identity by a field that changes",
    "C14": "validity by today's list",
    "C15": "operations that the database connector does not tell",
    "C16": "not readable taken for not there",
    "C17": "refusals that mean: do it the other way",
    "C18": "ids as people type them",
    "C19": "positions compared across timelines of a database",
    "C20": "signs and line kinds of a ledger",
    "C21": "units coarser than the sources'",
    "C22": "canonical topics read as tables by key",
    "C23": "merged customers: the last writer wins",
    "C24": "a hand-off that is reversed",
    "D1": "a vendor that asks for repetition without a pause",
    "D2": "answers that unfold beyond all bounds",
    "D3": "credentials sent where a redirect points",
    "D4": "paging that never ends",
    "D5": "secrets in errors, logs, metrics and records",
    "D6": "a Connect worker that reads secrets for whoever reaches it",
    "D7": "memory bounds a partition instead of a process",
    "D8": "personal data that no tag names",
    "D9": "configuration of the wrong shape",
    "D10": "a directory that is not ours",
    "D11": "parts that cannot be reached",
    "D12": "ports, homes and caches that cannot be used",
    "D13": "probes that cannot fail",
    "D14": "noise of libraries in our log",
    "D15": "several processes of one kind on one host",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """A test that carries the marker. `test` is `<path below tests>::<name>`."""

    number: str
    place: str
    test: str


def proofs() -> list[Proof]:
    """Every marked test, by number and name. Raises ValueError for a marker of another form."""
    found = [proof for path in sorted(TESTS.rglob("test_*.py")) for proof in _marked(path)]
    order = list(KINDS)
    return sorted(found, key=lambda it: (order.index(it.number), it.test))


def named_without_marker() -> list[str]:
    """Tests named `test_<number>_…` for a kind of fault that do not carry its marker."""
    marked = {(proof.test, proof.number) for proof in proofs()}
    return [
        test
        for path in sorted(TESTS.rglob("test_*.py"))
        for test, number in _named(path)
        if (test, number) not in marked
    ]


def _named(path: Path) -> Iterator[tuple[str, str]]:
    for number, rest in re.findall(r"def test_([a-d][0-9]+)(_\w+)\(", path.read_text()):
        yield f"{path.relative_to(TESTS)}::test_{number}{rest}", number.upper()


def _marked(path: Path) -> Iterator[Proof]:
    tree = ast.parse(path.read_text())
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Attribute(attr="fault"), args=[number], keywords=[place]):
                    found = [_text(each, constants) for each in (number, place.value)]
                    if found[0] not in KINDS:
                        raise ValueError(f"{path.name}: no kind of fault has the number {found[0]}")
                    yield Proof(found[0], found[1], f"{path.relative_to(TESTS)}::{node.name}")
                case ast.Call(func=ast.Attribute(attr="fault")):
                    raise ValueError(f"{path.name}: the marker is fault(NUMBER, place=FILE)")


def _text(node: ast.expr, constants: Mapping[str, object]) -> str:
    """The text of a literal, or of a constant of the module."""
    value = constants.get(node.id) if isinstance(node, ast.Name) else None
    return str(node.value if isinstance(node, ast.Constant) else value)
