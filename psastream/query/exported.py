"""An export, asked as the topics are: each of its files is a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl

from psastream.query.export import MANIFEST, Format
from psastream.query.session import Columns
from schemas.errors import ConfigError

_HINT: Final = "psastream export DIR writes an export; a demo that has ended leaves one"
T = TypeVar("T")


class ExportedTables:
    """Gives the rows of the tables that an export holds, each of them once."""

    def __init__(self, directory: Path) -> None:
        """Raises ConfigError where the folder holds no export in Parquet that can be read."""
        said = _manifest(directory)
        try:
            form = Format(said["format"])
            self._files = {each["name"]: directory / each["file"] for each in said["files"]}
        except (KeyError, TypeError, ValueError) as error:
            path = directory / MANIFEST
            raise ConfigError(f"{path} is not that of an export", hint=_HINT) from error
        if form is not Format.PARQUET:
            raise ConfigError(
                f"the files in {directory} are {form.value}, which says no types",
                hint="psastream export --format parquet DIR writes some that can be asked",
            )
        self._given: set[str] = set()

    def columns(self) -> dict[str, Columns]:
        """Return the columns of each table. Raises ConfigError where a file cannot be read."""
        return {name: self._read(name, pl.read_parquet_schema) for name in self._files}

    def __call__(self, names: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the rows of those tables that were not given yet.

        Raises ConfigError where a file cannot be read.
        """
        for name in names:
            if name not in self._given:
                yield name, self._read(name, pl.read_parquet)
                self._given.add(name)

    def _read(self, name: str, read: Callable[[Path], T]) -> T:
        path = self._files[name]
        try:
            return read(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            said = str(error).partition("\n")[0]
            raise ConfigError(f"{path} cannot be read: {said}", hint=_HINT) from error


def _manifest(directory: Path) -> Any:
    path = directory / MANIFEST
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{directory} holds no export", hint=_HINT) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint=_HINT) from error
