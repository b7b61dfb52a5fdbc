"""What commands tell people fits a terminal of 80 columns, whatever others have written in it.

Wider are only single words, for they may be names, keys, paths or addresses that are to be copied,
and what `COPIED` names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import psastream
from psastream.command_states import Ordered, State, line_of, summary
from psastream.command_states import lines_of as lines_of_command
from psastream.exits import print_error
from psastream.letter_list import lines_of_letter
from psastream.letters import told
from psastream.lines import say, say_of
from runtime.extras import install_hint
from runtime.secrets import MASK, remember
from schemas.errors import BrokerUnavailableError, ConfigError
from tests.support.terminals import WIDTH, lines_on_terminal

PRODUCT = Path(psastream.__file__).parent
AT = datetime(2026, 11, 28, 10, tzinfo=UTC)
LONG = "the vendor has a great deal to say about what it does not take " * 5
COPIED = {
    "up.py": "variables to be copied into another shell",
    "commands/firm.py": "the text of a picture",
    "commands/keys.py": "a line of a file of keys",
    "commands/schemas.py": "a document in YAML",
    "commands/topics.py": "rows as lines of JSON",
    "pages.py": "a page as its Markdown, to a pipe",
    "catalogue.py": "names of topics, in columns that test_catalogue.py measures",
    "query/asking.py": "a query to be copied, a table that rich fits",
    "read_model/status.py": "keys of rows, a table that rich fits",
}
"""Modules that print what is as wide as it is, or is fitted elsewhere, and what that is."""
SMALL = {"cli.py": "the version", "prove.py": "counts of a group, keys of partitions"}
"""Modules that print numbers and words of their own, which are short."""
PRINTS = ("print", "typer.echo", "sys.stdout.write", "sys.stderr.write")
FITTED = ("lines.py", "check/run.py", "status/run.py")
"""Modules whose lines are of a width: what is printed elsewhere goes through the first of them."""


def prints() -> Iterator[tuple[str, ast.Call]]:
    """Every place of the product that prints, but through `psastream.lines`."""
    for path in sorted(PRODUCT.rglob("*.py")):
        name = str(path.relative_to(PRODUCT))
        for node in ast.walk(ast.parse(path.read_text())) if name not in FITTED else ():
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in PRINTS or called.endswith("Console().print"):
                yield name, node


def is_short(node: ast.Call) -> bool:
    """Whether it prints JSON, nothing, or a text of the product that no value makes longer."""
    if "json" in ast.unparse(node) or not node.args:
        return True
    texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
    if len(texts) < len(node.args):
        return False
    return all(len(line) <= WIDTH for text in texts for line in str(text).splitlines())


def test_what_is_wider_than_a_terminal_is_printed_where_it_says_so() -> None:
    wide = {name for name, node in prints() if not is_short(node)}
    assert wide == COPIED.keys() | SMALL.keys()


def command() -> Ordered:
    said = {"name": LONG, "note": None, "amount": Decimal("1.50")}
    return Ordered(
        "netsuite:project:0123456789-0123456789", "netsuite", "upsert_project", State.REFUSED, 2,
        Decimal("1234.50"), "EUR", None, AT, "c" * 64, said, 3, "77", "netsuite:project:77",
        "USER_ERROR", LONG, LONG,
    )  # fmt: skip


LETTER = {
    "letter": "src.inhouse.time_entries|1|50",
    "topic": "src.inhouse.time_entries",
    "agent": "normalize",
    "raised_at": AT.isoformat(),
    "error_code": "mapping.invalid_entity",
    "detail": LONG,
    "hint": LONG,
    "correlation_id": "c" * 64,
    "key": {"id": 5},
    "value": {"after": {"notes": LONG, "hours": ["-1"]}},
}


def show_command() -> None:
    for head, said in lines_of_command(command()):
        say(said, head)
    say_of(*line_of(command(), at=AT))
    for line in summary([command()] * 3, 2):
        say(line)


def show_letter() -> None:
    for head, said in lines_of_letter(LETTER):
        say(said, head)


def show_errors() -> None:
    print_error(BrokerUnavailableError(LONG, hint=LONG))
    for extra in ("sql", "sandbox"):
        print_error(ConfigError("it is not installed", hint=install_hint(extra)))


def tell_of_letters() -> None:
    for line in told([LETTER | {"raised_at": AT, "error_code": "mapping.one_more_long_code"}]):
        say(f"dead letters: {line} (psastream dlq list)")


@pytest.mark.parametrize("act", [show_command, show_letter, show_errors, tell_of_letters])
def test_nothing_is_wider_than_a_terminal(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]
) -> None:
    lines = lines_on_terminal(monkeypatch, act)
    assert [line for line in lines if len(line) > WIDTH and " " in line.strip()] == []
    assert " ".join(LONG.split()[:3]) in " ".join(lines) or act in (show_errors, tell_of_letters)


def test_what_goes_to_no_terminal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(LONG, "  refused: ")
    assert capsys.readouterr().out == f"  refused: {LONG}\n"


def test_a_word_is_never_broken_and_gaps_within_a_line_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = "/a/folder" * 12
    lines = lines_on_terminal(monkeypatch, lambda: say(f"a  b  {path} c", "to: "))
    assert lines == ["to: a  b", f"    {path}", "    c"]


def test_a_secret_is_masked_before_lines_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "open sesame " * 8
    remember(secret.strip())
    lines = lines_on_terminal(monkeypatch, lambda: say(f"the password {secret.strip()}"))
    assert lines == [f"the password {MASK}"]
