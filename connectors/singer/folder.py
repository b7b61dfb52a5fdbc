"""A private folder for what a tap is given as files: its configuration holds secrets.

It is readable by its owner alone, and so is each file in it. It goes with the process that made it,
by `close` or, where that was killed, as the next one starts: a lock on it tells whether it is used.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "psastream-tap-"
_LOCK: Final = "lock"


class PrivateFolder:
    """A folder of this process, made when it is first written to."""

    def __init__(self, parent: Path | None = None) -> None:
        """`parent` is by default where temporary files go."""
        self._parent = Path(tempfile.gettempdir()) if parent is None else parent
        self._path: Path | None = None
        self._lock = -1

    @contextmanager
    def holding(self, files: Mapping[str, str]) -> Iterator[dict[str, Path]]:
        """Write files; give their paths by name. They are removed afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self._made()))  # mode 0700
        try:
            paths = {name: folder / f"{name}.json" for name in files}
            for name, text in files.items():
                handle = os.open(paths[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
            yield paths
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            os.close(self._lock)
            self._path = None

    def _made(self) -> Path:
        if self._path is None:
            _remove_abandoned(self._parent)
            self._path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent))
            self._lock = os.open(self._path / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self._path


def _remove_abandoned(parent: Path) -> None:
    """Remove folders of ours whose process is gone. Others are left alone."""
    for path in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, made just now, or removed meanwhile
            lock = os.open(path / _LOCK, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
