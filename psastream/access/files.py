"""The users of a firm, told from its landscape and its connector files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

from connectors.toolkit.config import read_document
from psastream.access.capture import Capture, capture_of
from psastream.access.rights import User
from psastream.access.users import Connectors, Reads, users_of
from psastream.landscape import FirmSystems
from schemas.errors import ConfigError
from schemas.topics import SOURCE_PREFIX
from streams.agents.registry import SchemaSource
from streams.groups import make_groups

_NOBODY: Final = cast(SchemaSource, None)
"""A registry that is not asked: groups are made, and nothing runs."""


def firm_users(firm: FirmSystems, files: Iterable[Path]) -> tuple[User, ...]:
    """Return the users of a firm whose connectors these files are. Raises ConfigError."""
    return users_of(firm, reads_of(firm), connectors_of(firm, files))


def reads_of(firm: FirmSystems) -> Reads:
    """Return the topics that each agent group of a firm reads, by its name."""
    groups = make_groups(firm.mappings, _NOBODY, firm.landscape, firm.measures)
    return {group.name: list(group.handlers()) for group in groups}


def connectors_of(firm: FirmSystems, files: Iterable[Path]) -> Connectors:
    """Return what connector files of sources and databases say; of others nothing.

    Raises ConfigError where one is of a system that the firm has not.
    """
    polled: dict[str, str] = {}
    objects: dict[str, tuple[str, ...]] = {}
    captures: list[Capture] = []
    for path in files:
        document = read_document(path)
        if isinstance(document.get("config"), dict):
            captures.append(capture_of(document["name"], document["config"], firm.topics))
        elif "object.include.list" in document:
            system = _system_of(document, firm, path)
            polled[system] = str(document["name"])
            listed = str(document["object.include.list"]).split(",")
            objects[system] = tuple(each.strip() for each in listed if each.strip())
    return Connectors(polled, objects, tuple(captures))


def _system_of(document: dict[str, Any], firm: FirmSystems, path: Path) -> str:
    prefix = str(document.get("topic.prefix"))
    system = prefix.removeprefix(f"{SOURCE_PREFIX}.")
    if system not in firm.bundles:
        raise ConfigError(
            f"{path}: topic.prefix: {prefix} is of no system of the firm",
            hint=f"the landscape names {', '.join(firm.bundles)}",
        )
    return system
