"""One dialect in all of the code, and nothing that grows beyond what a reader holds in mind."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.topics import BY_NAME

ROOT = Path(__file__).parents[2]
PRODUCT = ("schemas", "tables", "streams", "runtime", "connectors", "psastream")
MODULES = [path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py"))]
LINES_MAX = 750
FUNCTION_LINES_MAX = 100
TOPIC = re.compile(r"psa\.[a-z_]+(?:\.[a-z_]+)*")
UNBOUNDED = {"get_watermark_offsets", "list_topics", "offsets_for_times"}
"""What librdkafka asks a broker that is gone for minutes, or for ever, unless told how long."""
NAMESPACES = {"psa.metric", "psa.source"}  # of records


def untidy(source: str) -> Iterator[str]:
    """Yield what is not said as everywhere else, or too long."""
    lines = source.count("\n")
    if lines > LINES_MAX:
        yield f"{lines} lines"
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)):
                if ast.unparse(func) == "structlog.get_logger" and name != "_log":
                    yield f"the logger {name}, not _log"
            case ast.Call(func=ast.Attribute(attr=asked), keywords=named) if asked in UNBOUNDED:
                if not any(each.arg == "timeout" for each in named):
                    yield f"{asked} without a time limit"
            case ast.Constant(value=str(text)) if TOPIC.fullmatch(text):
                if text not in BY_NAME and text not in NAMESPACES:
                    yield f"the topic {text}, which the catalogue does not have"
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                length = (node.end_lineno or 0) - node.lineno
                if length > FUNCTION_LINES_MAX:
                    yield f"{name} of {length} lines"
                if re.search(r":(?:param|returns?|raises)\b", ast.get_docstring(node) or ""):
                    yield f"field lists in the docstring of {name}"


@pytest.mark.parametrize(
    "bad",
    [
        "log = structlog.get_logger()",
        'TOPIC = "psa.projects"',
        'def read(topic: str = "psa.metric.margins") -> None: ...',
        "async def run():\n" + "    step()\n" * (FUNCTION_LINES_MAX + 1),
        '''def read(a):\n    """Read.\n\n    :param a: what\n    """''',
        "step()\n" * (LINES_MAX + 1),
        "consumer.get_watermark_offsets(place)",
    ],
)
def test_the_check_finds_what_is_untidy(bad: str) -> None:
    assert len(list(untidy(bad))) == 1


def test_the_check_lets_tidy_code_pass() -> None:
    good = '_log = structlog.get_logger()\nTOPIC: Final = "psa.project"\ndef f(): "Raises OSError."'
    assert list(untidy(good)) == []


def test_the_code_is_tidy() -> None:
    found = {str(path.relative_to(ROOT)): list(untidy(path.read_text())) for path in MODULES}
    assert {path: problems for path, problems in found.items() if problems} == {}


def test_no_file_has_the_marks_of_a_conflict() -> None:
    folders = (*PRODUCT, "bench", "deploy", "docs", "requirements", "sandbox", "tests")
    beneath = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    files = [path for path in (*ROOT.glob("*"), *beneath) if path.is_file()]
    marks = re.compile(rb"^(?:<{7}|>{7}|\|{7}) ", re.MULTILINE)
    assert ROOT / "docs" / "configuration.md" in files
    assert [path for path in files if marks.search(path.read_bytes())] == []
