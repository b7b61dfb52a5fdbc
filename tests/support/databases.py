"""The connector files that `docs/databases.md` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.support.blocks import fences
from tests.support.catalogue_pages import DOCS

PAGE: Final = DOCS / "databases.md"
DATABASES: Final = ("mysql", "sqlserver", "oracle")
SIGN_IN: Final = "history-sign-in.json"


def page_files() -> Mapping[str, str]:
    """The text of each file by its name."""
    return {name: text for _, language, name, text in fences(PAGE) if language == "json" and name}
