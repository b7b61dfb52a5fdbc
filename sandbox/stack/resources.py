"""Checks that the machine can carry the stack, before anything is started."""

import shutil
from pathlib import Path

import psutil

from sandbox.stack.errors import MissingResourceError

LEAST_FREE_MEMORY_BYTES = 1536 * 1024**2
LEAST_FREE_DISK_BYTES = 2 * 1024**3


def check_resources(directory: Path) -> None:
    """Raises MissingResourceError if memory, or disk space under `directory`, runs short."""
    require(
        "memory",
        psutil.virtual_memory().available,
        LEAST_FREE_MEMORY_BYTES,
        hint="end other programs, or give the address of a Kafka that runs elsewhere",
    )
    require(
        "disk space",
        shutil.disk_usage(directory).free,
        LEAST_FREE_DISK_BYTES,
        hint=f"make room on the disk of {directory}",
    )


def require(resource: str, free_bytes: int, least_bytes: int, *, hint: str) -> None:
    """Raises MissingResourceError with both amounts if `free_bytes` is below `least_bytes`."""
    if free_bytes < least_bytes:
        raise MissingResourceError(
            f"too little {resource}: {free_bytes / 1e9:.1f} GB free, "
            f"the embedded stack needs {least_bytes / 1e9:.1f} GB",
            hint=hint,
        )
