"""The documentation at the command line: pages, and what a code or an alert says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markdown import Markdown

from psastream.lines import say, terminal_width
from schemas.errors import ConfigError
from schemas.mapping.sql_text import suggestion

_PACKAGED: Final = Path(__file__).parent / "docs"
_CHECKOUT: Final = Path(__file__).parents[1] / "docs"
_ERRORS: Final = "errors"
_RUNBOOKS: Final = "runbooks/"
_ALERTS: Final = f"{_RUNBOOKS}README"
_TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)
_ANCHOR: Final = re.compile(r'<a id="[^"]*"></a>')
_ERROR: Final = re.compile(
    r'^\| <a id="([^"]+)"></a>`[^`]+` \| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$', re.MULTILINE
)
_ALERT: Final = re.compile(r"^\| `(Psastream\w+)` \| (\w+) \| \[([\w-]+)\]", re.MULTILINE)
_RAISED: Final = re.compile(r"`((?:billing|engagement|order|person)\.[a-z_]+)`")
"""Codes of exceptions that tables raise, as pages name them."""
_MARKS: Final = re.compile(r"[`*]|\[([^\]]*)\]\([^)]*\)|^ *- ")


@dataclass(frozen=True, slots=True)
class Explained:
    """A code: what the process does about it, what it means, and the pages that name it."""

    code: str
    does: str
    meaning: str
    pages: tuple[str, ...]


def print_pages() -> None:
    """Print the names of all pages, with their titles."""
    for name, text in _pages():
        say(_title(text), f"{name}  ")


def print_page(name: str) -> None:
    """Print a page, of an alert its runbook: as it is read on a terminal, elsewhere as Markdown.

    Raises ConfigError where there is no such page.
    """
    pages = dict(_pages())
    wanted = name.removeprefix("docs/").removesuffix(".md")
    alerts = _alerts(pages)
    if wanted in alerts:
        wanted = alerts[wanted][1]
    if wanted not in pages:
        raise ConfigError(
            f"there is no page {name}{suggestion(wanted, [*pages, *alerts])}",
            hint="`psastream docs` lists them",
        )
    text = _ANCHOR.sub("", pages[wanted])
    if terminal_width() is None:
        sys.stdout.write(text)
    else:
        Console().print(Markdown(text))


def print_explanation(code: str) -> None:
    """Print what a code or an alert says. Raises ConfigError where there is none such."""
    pages = dict(_pages())
    if code in (alerts := _alerts(pages)):
        severity, page = alerts[code]
        say(_title(pages[page]), f"{code}: ")
        say(severity, "  severity: ")
        say(_meaning(pages[page]), "  ")
        say(f"psastream docs {page}", "  what to do: ")
        return
    if passages := _passages(pages, code):
        say(
            "an exception that a table raises; psastream exceptions show says it of one",
            f"{code}: ",
        )
        for page, passage in passages:
            say(passage, "  ")
            say(f"psastream docs {page}", "  more: ")
        return
    found = explained(code)
    say(found.meaning, f"{found.code}: ")
    say(found.does, "  the process: ")
    for page in found.pages:
        say(f"psastream docs {page}", "  more: ")


def explained(code: str) -> Explained:
    """Return what the pages say of an error's code. Raises ConfigError where there is none such."""
    pages = dict(_pages())
    known = {found[1]: found for found in _ERROR.finditer(pages[_ERRORS])}
    if code not in known:
        raised = {name for text in pages.values() for name in _RAISED.findall(text)}
        raise ConfigError(
            f"there is no code {code}{suggestion(code, [*known, *_alerts(pages), *raised])}",
            hint=f"psastream docs {_ERRORS} has the codes of errors, psastream docs {_ALERTS}"
            " the alerts",
        )
    word = re.compile(rf"(?<![\w.]){re.escape(code)}(?![\w.]*\w)")
    naming = [name for name, text in pages.items() if name != _ERRORS and word.search(text)]
    return Explained(code, known[code][3], known[code][4], (*naming, _ERRORS))


def _alerts(pages: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return severity and runbook of each alert."""
    return {
        alert: (severity, _RUNBOOKS + page)
        for alert, severity, page in _ALERT.findall(pages[_ALERTS])
    }


def _title(text: str) -> str:
    found = _TITLE.search(text)
    return found[1] if found else ""


def _meaning(runbook: str) -> str:
    """The first paragraph of a runbook's section `Meaning`, without marks."""
    _, _, after = runbook.partition("## Meaning")
    return _unmarked(after.strip().partition("\n\n")[0].replace("\n", " "))


def _passages(pages: Mapping[str, str], code: str) -> list[tuple[str, str]]:
    """Return what pages say of a code that tables raise: page, and its line or the row's cells."""
    if not _RAISED.fullmatch(f"`{code}`"):
        return []
    return [
        (name, _unmarked(line))
        for name, text in pages.items()
        if not name.startswith("adr/")  # why it is so, not what to do
        for line in text.splitlines()
        if f"`{code}`" in line
    ]


def _unmarked(line: str) -> str:
    """A line of Markdown as text; cells of a row with `: ` between them."""
    if line.startswith("|"):
        line = ": ".join(cell.strip() for cell in line.strip("| ").split(" | "))
    return _MARKS.sub(r"\1", line).strip()


def _pages() -> Iterator[tuple[str, str]]:
    """Yield name and text of each page: of the package, or of the checkout that runs."""
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    for path in sorted(folder.rglob("*.md")):
        yield str(path.relative_to(folder).with_suffix("")), path.read_text()
