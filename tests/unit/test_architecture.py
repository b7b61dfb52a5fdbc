"""Rules of the code base that a reader would otherwise have to trust."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.systems import packaged_landscape

ROOT = Path(__file__).parents[2]
PURE = ("schemas", "tables")
IMPORTED = ["schemas", "tables", "runtime", "connectors", "streams"]
FORBIDDEN_MODULES = {"random", "time", "socket", "subprocess", "secrets", "uuid"}
FORBIDDEN_CALLS = {"now", "utcnow", "today", "getenv", "float", "open", "print", "input"}
FORBIDDEN_NAMES = {"Float32", "Float64"}
TYPE_MAPS = {"types.py", "block_writer.py", "declared.py"}  # name every type, floats too; no money

QUIET_IMPORT = """
import importlib, os, pkgutil, sys

tripped = []

def watch(event, args):
    if event.startswith("socket.") and event != "socket.gethostname":
        tripped.append((event, args))

sys.addaudithook(watch)

class Watched(dict):
    def __getitem__(self, key):
        self.note(key)
        return super().__getitem__(key)
    def get(self, key, default=None):
        self.note(key)
        return super().get(key, default)
    def __contains__(self, key):
        self.note(key)
        return super().__contains__(key)
    def note(self, key):
        if str(key).startswith(("PSASTREAM_", "SALESFORCE_", "NETSUITE_", "FLOAT_")):
            tripped.append(("environment", key))

os.environ = Watched(os.environ)
for package in {packages!r}:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, f"{{package}}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
sys.exit(f"importing did {{tripped}}" if tripped else 0)
"""


def impurities(source: str) -> Iterator[str]:
    """Yield what a pure module must not do: clocks, randomness, IO, floating-point numbers."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name in FORBIDDEN_MODULES)
            case ast.ImportFrom(module=str(module)) if module in FORBIDDEN_MODULES:
                yield module
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                if name in FORBIDDEN_CALLS:
                    yield f"{name}()"
            case ast.Constant(value=float(value)):
                yield f"the float {value}"
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in FORBIDDEN_NAMES:
                yield name
            case ast.Attribute(value=ast.Name(id="os"), attr="environ"):
                yield "os.environ"


@pytest.mark.parametrize(
    "bad",
    [
        "import random",
        "from time import monotonic",
        "now = datetime.now(tz=UTC)",
        "day = date.today()",
        "amount = float(text)",
        "amount = hours * 1.5",
        "column.cast(pl.Float64)",
        "open('x')",
        "url = os.environ['URL']",
    ],
)
def test_the_check_finds_what_is_impure(bad: str) -> None:
    assert list(impurities(bad))


@pytest.mark.parametrize(
    "good",
    [
        "from datetime import date\nfirst = date(2026, 1, 1)",
        "amount = hours * Decimal('1.5')",
        "moment = datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC)",
        "def opened(time: int) -> int:\n    return time",
    ],
)
def test_the_check_lets_pure_code_pass(good: str) -> None:
    assert not list(impurities(good))


@pytest.mark.parametrize(
    "path",
    [path for package in PURE for path in sorted((ROOT / package).rglob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_i10_the_core_is_pure(path: Path) -> None:
    found = set(impurities(path.read_text()))
    assert found - (FORBIDDEN_NAMES if path.name in TYPE_MAPS else set()) == set()


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


VENDORS_FOLDER = ROOT / "connectors" / "vendors"
VENDORS = sorted(path.parent.name for path in VENDORS_FOLDER.glob("*/mapping.yaml"))


def vendors_named(source: str) -> set[str]:
    """Vendors that a text names, as their folders or as they call themselves.

    Not what Python, Avro and PostgreSQL call a number, no list of currencies, and no part of a
    longer word.
    """
    numbers = r"\bFloat(?:32|64)\b|\bfloat[48]?\b(?![:_.]\w)(?<!vendors\.float)|parse_float"
    text = re.sub(numbers, "", re.sub(r"(?:\b[A-Z]{3} ){4,}[A-Z]{3}\b", "", source))
    forms = {name: name.replace("_", "[ _-]?") for name in VENDORS}
    return {
        name
        for name, form in forms.items()
        if re.search(rf"(?<![A-Za-z])(?i:{form})(?![a-z]|[A-Z]{{2}})", text)
    }


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('if system == "salesforce": ...', {"salesforce"}),
        ("# as NetSuite does", {"netsuite"}),
        ("# as ADP does", {"adp"}),
        ('"ADP BYR ESP ITL LUF MGF"', set()),
        ("class RunnSource: is_running = RUNNING", {"runn"}),
        ('"float:allocation"', {"float"}),
        ("connectors.vendors.float.sink", {"float"}),
        ("# Float gives an id", {"float"}),
        ("def take(rate: float | None) -> float: ...", set()),
        ('"float": pl.Float32()', set()),
        ("schema: Float64", set()),
        ('"float8": "double"', set()),
    ],
)
def test_the_check_finds_vendors(source: str, named: set[str]) -> None:
    assert vendors_named(source) == named


def test_no_vendor_is_named_outside_its_folder() -> None:
    packages = ("schemas", "tables", "streams", "runtime", "psastream", "connectors")
    named = {
        (str(path.relative_to(ROOT)), vendor)
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if VENDORS_FOLDER not in path.parents
        for vendor in vendors_named(path.read_text())
    }
    assert named == set()


MANY = 3
PLAYED = "the story is told with these systems, and another needs acts of its own"
SAMPLED = "landscapes of firms that somebody made up"
CHOOSES = {
    "sandbox/books/effects.py": PLAYED,
    "sandbox/books/offices.py": PLAYED,
    "sandbox/demo/options.py": PLAYED,
    "sandbox/story/offices.py": PLAYED,
    "tests/unit/sandbox/test_demo.py": PLAYED,
    "tests/unit/sandbox/test_office_records.py": PLAYED,
    "tests/unit/sandbox/test_story.py": PLAYED,
    "tests/deploy/test_broken_values.py": SAMPLED,
    "tests/deploy/test_chart.py": SAMPLED,
    "tests/unit/psastream/test_landscape.py": SAMPLED,
    "tests/unit/schemas/test_landscape.py": SAMPLED,
    "tests/conformance/test_vendors.py": "which of many are held to all clauses only in proofs",
}
"""Files that name several vendors because they choose them, each with what they choose."""


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is but a text."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def said_in_code(path: Path) -> str:
    """What a file says but for comments and docstrings."""
    text = path.read_text()
    if path.suffix != ".py":
        return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            is_text = (
                isinstance(it, ast.Expr) and isinstance(it.value, ast.Constant) for it in body
            )
            kept = [it for it, told in zip(body, is_text, strict=True) if not told]
            setattr(node, "body", kept or [ast.Pass()])  # noqa: B010 - not every node has one
    return ast.unparse(tree)


def listed_in(path: Path) -> set[str]:
    """Vendors that a file names besides the systems of the packaged landscape.

    Those are the firm of all examples.
    """
    return vendors_named(said_in_code(path)) - set(packaged_landscape().systems)


def test_the_check_finds_a_list(tmp_path: Path) -> None:
    first, second, third, *_ = sorted(set(VENDORS) - set(packaged_landscape().systems))
    code = tmp_path / "code.py"
    code.write_text(f'"""Of {first}."""\n# {first}\nNAMES = ("{second}", "{third}", "netsuite")')
    assert listed_in(code) == {second, third}
    (tmp_path / "Makefile").write_text(f"# {first}\nnames := {second} {third}\n")
    assert listed_in(tmp_path / "Makefile") == {second, third}


def may_list(path: Path) -> bool:
    """Whether a file may name so many at all: parsing all takes long."""
    text = re.sub("[ _-]", "", path.read_text()).lower()
    return sum(name.replace("_", "") in text for name in VENDORS) >= MANY


def test_what_lists_vendors_has_a_reason() -> None:
    """A list by hand is a file that each new vendor changes; what folders hold is found there."""
    folders = ("sandbox", "tests", "deploy", "bench", ".ci")
    kinds = (".py", ".toml", ".yml", ".yaml", ".sh")
    beneath = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    files = [path for path in (*ROOT.glob("*"), *beneath) if path.suffix in kinds]
    own = (ROOT / "sandbox" / "vendors", ROOT / "deploy" / "helm" / "psastream" / "files")
    of_vendors = {path for folder in own for path in folder.glob("*/**/*")}
    named = {
        str(path.relative_to(ROOT))
        for path in (*files, ROOT / "Makefile")
        if path not in of_vendors and may_list(path) and len(listed_in(path)) >= MANY
    }
    assert named == set(CHOOSES)


def test_tables_is_ours() -> None:
    """PyTables has the same import name."""
    import tables

    assert Path(str(tables.__file__)).parent == ROOT / "tables"


def test_importing_opens_nothing_and_reads_no_setting() -> None:
    """All packages in one process: what any module does when first imported is seen once."""
    program = QUIET_IMPORT.format(packages=IMPORTED)
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
