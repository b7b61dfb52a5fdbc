"""Reads the measures of the firm's own: SQL files, or folders of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from connectors.systems import read_text
from schemas.errors import ConfigError
from tables.measures.own import OwnMeasure, load_measure

SUFFIX: Final = ".sql"
_HINT: Final = "PSASTREAM_MEASURES names files of measures, or folders that hold them"


def read_measures(paths: Sequence[Path]) -> list[OwnMeasure]:
    """Return the measures of files and folders. Raises ConfigError naming every problem."""
    measures: dict[str, OwnMeasure] = {}
    problems: list[str] = []
    for file in _files(paths, problems):
        try:
            own = load_measure(read_text(file, str(file), hint=_HINT), str(file))
        except ConfigError as error:
            problems.append(error.detail)
            continue
        if own.name in measures:
            problems.append(f"{file}: there is another measure {own.name}")
        measures[own.name] = own
    if problems:
        raise ConfigError("; ".join(problems), problems=problems, hint=_HINT)
    return list(measures.values())


def _files(paths: Sequence[Path], problems: list[str]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not found:
            problems.append(f"{path} holds no file that ends in {SUFFIX}")
        files += found
    return files
