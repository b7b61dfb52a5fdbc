"""The folder of one stack: its layout, and the lock that keeps a second supervisor out."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO, Final

from sandbox.stack.errors import (
    DataDirectoryInUseError,
    ForeignDirectoryError,
    UnwritableDirectoryError,
)
from sandbox.stack.process import kill_stale

MARKER: Final = ".psastream-stack"


class DataDirectory:
    """Owned by one supervisor from `open` to `close`; the lock ends with its process."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.logs = self.root / "logs"
        self.ports_path = self.root / "ports.json"
        self._pids = self.root / "pids"
        self._lock: IO[str] | None = None

    def open(self, *, fresh: bool) -> None:
        """Takes the lock, ends what a crashed supervisor left; `fresh` deletes earlier data.

        Raises DataDirectoryInUseError if another supervisor holds the lock,
        ForeignDirectoryError if there is something to delete that is not ours, and
        UnwritableDirectoryError if the folder cannot be written.
        """
        try:
            self._claim(fresh=fresh)
            lock = (self.root / "supervisor.lock").open("a+")
        except OSError as error:
            raise UnwritableDirectoryError(
                f"{self.root} cannot be written: {error.strerror}",
                hint="name a folder of your own with --data-dir",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise DataDirectoryInUseError(
                f"process {owner} already runs a stack in {self.root}",
                hint="stop it, or use another data directory",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        for pid_path in self._pids.glob("*.json"):
            kill_stale(pid_path)
        if fresh:
            self._delete_data(lock.name)
        for folder in (self.logs, self._pids):
            folder.mkdir(exist_ok=True)
        for log in self.logs.glob("*.log"):
            log.unlink()

    def _claim(self, *, fresh: bool) -> None:
        """Marks a new or empty folder as ours; only what is marked is ever emptied."""
        self.root.mkdir(parents=True, exist_ok=True)
        marker = self.root / MARKER
        if marker.exists():
            return
        if not any(self.root.iterdir()):
            marker.touch()
        elif fresh:
            raise ForeignDirectoryError(
                f"{self.root} holds files that no stack of ours wrote; it would be emptied",
                hint="name a new or empty folder, or empty this one yourself",
            )

    def close(self) -> None:
        """Gives the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def part(self, name: str) -> Path:
        """The folder of a part's data and configuration."""
        return self.root / name

    def log_path(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def pid_path(self, name: str) -> Path:
        return self._pids / f"{name}.json"

    def _delete_data(self, kept: str) -> None:
        for entry in self.root.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif str(entry) != kept and entry.name != MARKER:
                entry.unlink()
