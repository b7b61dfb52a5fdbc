"""What the pages on tools for business intelligence show."""

import re
from typing import Final

from tests.support.catalogue_pages import DOCS

BI: Final = DOCS / "bi"
ON_THE_READ_MODEL: Final = ("power-bi.md", "superset.md", "metabase.md", "excel.md")


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of a page."""
    fenced = rf"^```{language}\n(.*?)^```"
    return re.findall(fenced, (BI / page).read_text(), re.MULTILINE | re.DOTALL)


def statements(page: str) -> list[str]:
    """Statements of the blocks of SQL on a page."""
    return [each for block in blocks(page, "sql") for each in block.split(";\n") if each.strip()]
