"""Fills a folder with the plugins of the Connect images.

`python -m sandbox.stack.connect_image DIRECTORY CACHE`: Debezium, the Avro converter and the sink
of a lake; the jars that tests run with, each checked against its hash.
"""

import asyncio
import sys
from pathlib import Path

from sandbox.stack.connect import link_jars, make_plugins
from sandbox.stack.jars import LockedJar, fetch_jars, read_lock
from sandbox.stack.reporter import PlainReporter


def image_jars() -> list[LockedJar]:
    """Return what the images have of Maven Central."""
    return [jar for jar in (*read_lock(), *read_lock("lake.lock")) if jar.group != "kafka"]


def make_image_plugins(directory: Path, cache_dir: Path) -> None:
    """Fill `directory` with a folder for each plugin; jars of Maven Central come by `cache_dir`.

    Raises MissingPackageError, DownloadError and UnwritableDirectoryError.
    """
    jars = asyncio.run(fetch_jars(image_jars(), cache_dir, PlainReporter(sys.stderr)))
    make_plugins((path for jar, path in jars.items() if jar.group == "debezium"), directory)
    link_jars((path for jar, path in jars.items() if jar.group == "lake"), directory / "lake")


if __name__ == "__main__":
    make_image_plugins(Path(sys.argv[1]), Path(sys.argv[2]))
