"""Reads the landscape of the firm and the mappings of its systems."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.landscape import ORDERED_FROM, Landscape, load_landscape
from schemas.mapping import ObjectMapping
from schemas.mapping_loader import load_mappings
from schemas.topics import COMMAND_TARGETS


def read_landscape(settings: Settings) -> Landscape:
    """Return the landscape the settings name, or the packaged one. Raises ConfigError."""
    path = settings.landscape
    if path is None:
        return load_landscape(_text(files("connectors") / "landscape.yaml", "landscape.yaml"))
    text = _text(path, str(path))
    try:
        return load_landscape(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.detail}", hint=error.hint) from error


def mappings_of(landscape: Landscape) -> list[ObjectMapping]:
    """Compile the mapping of every system.

    Raises ConfigError naming every problem, a system that takes no commands and should among them.
    """
    mappings: list[ObjectMapping] = []
    problems: list[str] = []
    for system in landscape.systems:
        name = f"connectors/{system}/mapping.yaml"
        file = files("connectors") / system / "mapping.yaml"
        try:
            if not file.is_file():
                raise ConfigError(f"there is no system {system}: {name}")
            mappings.extend(load_mappings(_text(file, name), name).values())
        except ConfigError as error:
            problems.append(error.detail)
    problems += [
        f"{system} plays the role {role.value}, but psastream has no such commands for it"
        for role in ORDERED_FROM
        for system in landscape.of(role)
        if COMMAND_TARGETS.get(system) is not role
    ]
    if problems:
        raise ConfigError("; ".join(problems), hint="landscape.yaml names the systems of the firm")
    return mappings


def _text(file: Path | Traversable, name: str) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise ConfigError(
            f"{name} cannot be read: {reason}", hint="PSASTREAM_LANDSCAPE names the landscape"
        ) from error
