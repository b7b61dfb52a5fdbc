"""The name of a worker, the same in every life of it: what it fences its earlier lives by.

It lies in the state directory, which one worker has at a time.
"""

import fcntl
import os
import re
from pathlib import Path
from typing import Final
from uuid import uuid4

from schemas.errors import ConfigError

_FILE: Final = "worker"
_NAME: Final = re.compile("[0-9a-f]{32}")


class WorkerName:
    """The name in a state directory, held until it is released."""

    def __init__(self, directory: Path) -> None:
        """Hold the name, made up where there is none, or no whole one. Blocking.

        Raises ConfigError where another process holds it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._file = os.open(directory / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.read(self._file, 64).decode("ascii", "replace")
            self.text = held if _NAME.fullmatch(held) else self._made_up()
        except BlockingIOError as error:
            self.release()
            raise ConfigError(
                f"another worker uses the state directory {directory}",
                hint="give each worker a directory of its own by PSASTREAM_DATA_DIR",
            ) from error
        except BaseException:
            self.release()
            raise

    def _made_up(self) -> str:
        text = uuid4().hex
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)
        os.fsync(self._file)
        return text

    def release(self) -> None:
        """Let another process have the directory."""
        os.close(self._file)
