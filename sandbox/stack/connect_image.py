"""Fills a folder with the plugins that the Connect image has beside Debezium's own.

`python -m sandbox.stack.connect_image DIRECTORY CACHE`: the Avro converter, which Debezium's image
leaves out, and the sink of a lake; the jars that tests run with, each checked against its hash.
"""

import asyncio
import sys
from pathlib import Path

from sandbox.stack.connect import link_jars, make_plugins
from sandbox.stack.jars import fetch_jars, read_lock
from sandbox.stack.reporter import PlainReporter


def make_image_plugins(directory: Path, cache_dir: Path) -> None:
    """Fill `directory` with a folder for each plugin; jars of Maven Central come by `cache_dir`.

    Raises MissingPackageError, DownloadError and UnwritableDirectoryError.
    """
    reporter = PlainReporter(sys.stderr)
    jars = asyncio.run(fetch_jars(read_lock("lake.lock"), cache_dir, reporter))
    make_plugins([], directory)
    (directory / "debezium").rmdir()
    link_jars(jars.values(), directory / "lake")


if __name__ == "__main__":
    make_image_plugins(Path(sys.argv[1]), Path(sys.argv[2]))
