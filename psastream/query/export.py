"""Writes what can be asked to files: every view and every public topic."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from psastream.lines import instant
from psastream.query.reading import Offsets
from psastream.query.session import Session
from schemas.errors import ConfigError

MANIFEST: Final = "manifest.json"


class Format(Enum):
    """Of the files."""

    PARQUET = "parquet"
    CSV = "csv"

    @property
    def option(self) -> str:
        """What DuckDB's COPY is told."""
        return (
            "FORMAT parquet, COMPRESSION zstd" if self is Format.PARQUET else "FORMAT csv, HEADER"
        )


def write_files(session: Session, directory: Path, form: Format) -> list[dict[str, Any]]:
    """Write the views and tables of a session to files, and say what is in each.

    The session must hold its rows. All are written before the first takes its name, so what was
    there stays where one cannot be written. Raises ConfigError then.
    """
    import duckdb

    relations = [*session.views, *session.topics]
    parts = {name: directory / f".{name}.{os.getpid()}.part" for name in relations}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found = [_write(session, name, parts[name], form) for name in relations]
        for each in found:
            parts[each["name"]].replace(directory / each["file"])
    except (OSError, duckdb.Error) as error:
        raise _unwritable(directory, error) from error
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
    return found


def write_manifest(
    directory: Path, files: Sequence[Mapping[str, Any]], offsets: Sequence[Offsets], form: Format
) -> None:
    """Say what the files hold, and up to which offsets of their topics. Raises ConfigError."""
    said = {
        "exported_at": instant(datetime.now(UTC).replace(microsecond=0)),
        "psastream": version("psastream"),
        "format": form.value,
        "files": files,
        "offsets": {each.topic: each.ends for each in offsets},
    }
    part = directory / f".{MANIFEST}.{os.getpid()}.part"
    try:
        part.write_text(json.dumps(said, indent=2) + "\n")
        part.replace(directory / MANIFEST)
    except OSError as error:
        raise _unwritable(directory, error) from error


def _write(session: Session, name: str, part: Path, form: Format) -> dict[str, Any]:
    rows = session.copy(name, part, form.option)
    columns = [{"name": column, "type": kind} for column, kind in session.columns_of(name)]
    return {"name": name, "file": f"{name}.{form.value}", "rows": rows, "columns": columns}


def _unwritable(directory: Path, error: Exception) -> ConfigError:
    line = str(error).splitlines()[0]
    return ConfigError(
        f"{directory} cannot be written: {line}", hint="name a folder that this user may write to"
    )
