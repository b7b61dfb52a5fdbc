"""Licences that a firm may use beside its own code, and how a text that names some is judged."""

from __future__ import annotations

import re
from typing import Final

ALLOWED: Final = (
    "0BSD", "3-Clause BSD", "Apache", "BSD", "CC0-1.0", "ISC", "MIT", "MPL-2.0",
    "Mozilla Public License 2.0", "PSF-2.0", "Python Software Foundation", "Python-2.0", "Repoze",
    "Unlicense", "Zlib",
)  # fmt: skip
"""Words that every part of a licence must begin with one of."""
LOOKED_AT: Final = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
"""psycopg is imported unchanged, and may be replaced."""


def is_allowed(licence: str) -> bool:
    """Whether one alternative is allowed, in all its parts."""
    return any(
        all(part.strip("() ").startswith(ALLOWED) for part in re.split(r"\bAND\b|;", choice))
        for choice in re.split(r"\bOR\b", licence)
        if choice.strip()
    )
