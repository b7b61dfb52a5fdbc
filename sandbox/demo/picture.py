"""The end of a demo as a picture that stands alone."""

from __future__ import annotations

import io
import re
from typing import Final

from rich.console import Console

from sandbox.books.audit import Audit
from sandbox.demo.report import print_audit
from sandbox.demo.result import Result
from sandbox.demo.screen import print_result
from sandbox.demo.table import WIDTH

_FETCHED_FONTS: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(result: Result, audit: Audit) -> str:
    """Return an SVG document of a terminal that shows the end; it fetches nothing."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True)
    print_result(console, result)
    print_audit(console, audit)
    return _FETCHED_FONTS.sub("", console.export_svg(title="psastream demo", unique_id="demo"))
