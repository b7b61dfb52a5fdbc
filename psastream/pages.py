"""The documentation at the command line: pages, and what a code of an error says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
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
_TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)
_ANCHOR: Final = re.compile(r'<a id="[^"]*"></a>')
_ERROR: Final = re.compile(
    r'^\| <a id="([^"]+)"></a>`[^`]+` \| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$', re.MULTILINE
)


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
        found = _TITLE.search(text)
        say(found[1] if found else "", f"{name}  ")


def print_page(name: str) -> None:
    """Print a page: as it is read on a terminal, elsewhere as its Markdown.

    Raises ConfigError where there is no such page.
    """
    pages = dict(_pages())
    wanted = name.removeprefix("docs/").removesuffix(".md")
    if wanted not in pages:
        raise ConfigError(
            f"there is no page {name}{suggestion(wanted, pages)}",
            hint="`psastream docs` lists them",
        )
    text = _ANCHOR.sub("", pages[wanted])
    if terminal_width() is None:
        sys.stdout.write(text)
    else:
        Console().print(Markdown(text))


def print_explanation(code: str) -> None:
    """Print what a code says. Raises ConfigError where there is none such."""
    found = explained(code)
    say(found.meaning, f"{found.code}: ")
    say(found.does, "  the process: ")
    for page in found.pages:
        say(f"psastream docs {page}", "  more: ")


def explained(code: str) -> Explained:
    """Return what the pages say of a code. Raises ConfigError where there is none such."""
    pages = dict(_pages())
    known = {found[1]: found for found in _ERROR.finditer(pages[_ERRORS])}
    if code not in known:
        raise ConfigError(
            f"there is no code {code}{suggestion(code, known)}",
            hint=f"psastream docs {_ERRORS} has all codes",
        )
    word = re.compile(rf"(?<![\w.]){re.escape(code)}(?![\w.]*\w)")
    naming = [name for name, text in pages.items() if name != _ERRORS and word.search(text)]
    return Explained(code, known[code][3], known[code][4], (*naming, _ERRORS))


def _pages() -> Iterator[tuple[str, str]]:
    """Yield name and text of each page: of the package, or of the checkout that runs."""
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    for path in sorted(folder.rglob("*.md")):
        yield str(path.relative_to(folder).with_suffix("")), path.read_text()
