"""Writes the locks of the images: `python -m deploy.image`, in the environment of `make setup`.

Each holds those packages of `requirements/all.lock` that its image needs, and no others, so that an
installation can be refused whose hash is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.markers import default_environment
from packaging.requirements import Requirement

REQUIREMENTS: Final = Path(__file__).resolve().parents[2] / "requirements"
ALL: Final = REQUIREMENTS / "all.lock"
PYTHON: Final = "3.11"
"""That of the images."""
EXTRAS: Final[Mapping[str, frozenset[str]]] = {
    "image/psastream.lock": frozenset({"traces"}),
    "image/plugins.lock": frozenset({"sandbox"}),
}
"""Each lock, and the extras of psastream that its image has."""
_ENTRY: Final = re.compile(r"^(\S+?)==.+?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_COMMENT: Final = re.compile(r"^ *#.*\n?", re.MULTILINE)


def locks() -> dict[str, str]:
    """Return the text of each lock by its name."""
    entries = [(_key(it[1]), _COMMENT.sub("", it[0])) for it in _ENTRY.finditer(ALL.read_text())]
    found = {}
    for name, extras in EXTRAS.items():
        needed = closure("psastream", extras)
        head = "# Packages of all.lock that an image needs. Written by `python -m deploy.image`.\n"
        found[name] = head + "".join(text for key, text in entries if key in needed)
    return found


def closure(root: str, extras: Iterable[str]) -> set[str]:
    """Return the names of what a package needs on the platform of the images, without its own."""
    environment: dict[str, str] = {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.0",
    }
    seen: dict[str, set[str]] = {}
    waiting = [(root, set(extras))]
    while waiting:
        name, chosen = waiting.pop()
        key = _key(name)
        if key in seen and chosen <= seen[key]:
            continue
        chosen = seen.setdefault(key, set()) | chosen
        seen[key] = chosen
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # of another platform
        for text in requires:
            needed = Requirement(text)
            marks = [{**environment, "extra": extra} for extra in ("", *chosen)]
            if needed.marker is None or any(needed.marker.evaluate(it) for it in marks):
                waiting.append((needed.name, set(needed.extras)))
    return set(seen) - {_key(root)}


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Write the locks."""
    for name, text in locks().items():
        path = REQUIREMENTS / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
